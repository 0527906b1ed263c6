"""The ledger, the same tests on SQLite and PostgreSQL: filing, moving, several writers, rebuilding from the spool."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.arrivals import Arrival, arrival_of
from service.config import Destination
from service.ledger import (
    Ledger,
    associations,
    deliveries,
    enter,
    events,
    facts,
    instances,
    jobs,
    rebuild,
    results,
    series,
    studies,
)
from service.order import OUTCOME_FILE, Ending, Outcome, ResultObject
from service.spool import Spool
from service.states import Event, InstanceState, Kind, NotAllowed, SeriesState, StudyState
from tests.service.studies import Slice, put, series_of

NOW = 1_800_000_000.0


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    yield opened
    opened.close()


def arrival(number: int = 1, series_uid: str = "1.2.1", study_uid: str = "1.2", **more: Any) -> Arrival:
    uid = f"{series_uid}.{number}"
    path = f"studies/{study_uid}/{series_uid}/{uid}.dcm"
    stored = Arrival(uid, "1.4", series_uid, study_uid, InstanceState.STORED, path, 10, "00", NOW + number, "a-1")
    return replace(stored, **more)


def happened(ledger: Ledger, kind: Kind) -> list[tuple[str, str, str]]:
    query = sa.select(events).where(events.c.kind == kind).order_by(events.c.id)
    return [(row["event"], row["was"], row["now"]) for row in ledger.all(query)]


def test_arrivals_open_their_series_and_study_with_one_event_each(ledger: Ledger) -> None:
    assert ledger.file([arrival(1), arrival(2), arrival(1, "1.2.2")]) == []
    study = ledger.one(sa.select(studies))
    assert study is not None
    assert (study["state"], study["version"], study["first_at"], study["last_instance_at"]) == (
        "receiving",
        1,
        NOW + 1,
        NOW + 2,
    )
    counted = {row["series_uid"]: row["instances"] for row in ledger.all(sa.select(series))}
    assert counted == {"1.2.1": 2, "1.2.2": 1}
    ledger.file([arrival(3)])
    assert happened(ledger, Kind.SERIES) == [("received", "", "open")] * 2
    assert happened(ledger, Kind.STUDY) == [("received", "", "receiving")]


def test_filing_twice_is_filing_once(ledger: Ledger) -> None:
    for _ in range(2):
        assert ledger.file([arrival(1), arrival(2)]) == []
    row = ledger.one(sa.select(series))
    assert row is not None
    assert row["instances"] == 2
    assert len(ledger.all(sa.select(instances))) == 2


def test_a_late_instance_reopens_series_and_study_as_a_new_version(ledger: Ledger) -> None:
    ledger.file([arrival(1)])
    ledger.move(Kind.SERIES, "1.2.1", Event.SETTLED)
    ledger.move(Kind.SERIES, "1.2.1", Event.CLASSIFIED, role="DWI")
    for event in (Event.SETTLED, Event.PLANNED, Event.STARTED, Event.FINISHED):
        ledger.move(Kind.STUDY, "1.2", event)
    ledger.file([arrival(2), arrival(3)])
    study, one = ledger.one(sa.select(studies)), ledger.one(sa.select(series))
    assert study is not None
    assert one is not None
    assert (study["state"], study["version"], study["reason"]) == ("receiving", 2, "2 late instances arrived")
    assert (one["state"], one["instances"]) == ("open", 3)
    assert happened(ledger, Kind.STUDY)[-1] == ("received", "finished", "receiving")


def test_a_duplicate_reopens_nothing_and_can_be_seen(ledger: Ledger) -> None:
    ledger.file([arrival(1)])
    ledger.move(Kind.SERIES, "1.2.1", Event.SETTLED)
    ledger.file([arrival(1, state=InstanceState.DUPLICATE, reason="same bytes again")])
    one = ledger.one(sa.select(series))
    assert one is not None
    assert (one["state"], one["instances"]) == ("settled", 1)
    assert happened(ledger, Kind.INSTANCE) == [("received again", "", "duplicate")]


def test_a_uid_stored_elsewhere_is_refused_and_enters_as_quarantined(ledger: Ledger, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    first = arrival_of(spool.read(spool.path / put(spool, Slice(series=1)).path))
    stranger = replace(Slice(series=2), number=1)
    second = arrival_of(spool.read(spool.path / put(spool, stranger).path))
    second = replace(second, sop_instance_uid=first.sop_instance_uid)
    enter(ledger, spool, [first, second])
    states = {row["path"]: row["state"] for row in ledger.all(sa.select(instances))}
    assert states.pop(first.path) == "stored"
    ((path, state),) = states.items()
    assert state == "quarantined"
    assert path.startswith("quarantine/")
    assert (spool.path / path).exists()
    assert not (spool.path / second.path).exists()


def test_a_forbidden_step_changes_nothing(ledger: Ledger) -> None:
    ledger.file([arrival(1)])
    with pytest.raises(NotAllowed):
        ledger.move(Kind.STUDY, "1.2", Event.PLANNED)
    with pytest.raises(KeyError):
        ledger.move(Kind.STUDY, "1.3", Event.SETTLED)
    assert ledger.try_move(Kind.STUDY, "1.2", Event.PLANNED) is False
    assert happened(ledger, Kind.STUDY) == [("received", "", "receiving")]


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    ledger.file([arrival(1)])

    def settle_and_fail() -> None:
        with ledger.transaction() as connection:
            ledger.move(Kind.STUDY, "1.2", Event.SETTLED, connection=connection)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        settle_and_fail()
    study = ledger.one(sa.select(studies))
    assert study is not None
    assert study["state"] == StudyState.RECEIVING


def test_only_one_of_many_wins_a_step(ledger: Ledger, ledger_url: str) -> None:
    ledger.file([arrival(1)])
    others = [Ledger(ledger_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda one: one.try_move(Kind.STUDY, "1.2", Event.SETTLED), others))
    for one in others:
        one.close()
    assert sorted(won) == [False, False, False, True]
    assert happened(ledger, Kind.STUDY)[1:] == [("settled", "receiving", "settled")]


def test_many_receivers_file_into_one_study_and_every_instance_counts_once(ledger: Ledger, ledger_url: str) -> None:
    def send(process: int) -> None:
        own = Ledger(ledger_url)
        for start in range(0, 40, 4):
            numbers = range(start, start + 4) if process % 2 else reversed(range(start, start + 4))
            own.file([arrival(number, f"1.2.{number % 3}") for number in numbers])
        own.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))
    assert len(ledger.all(sa.select(instances))) == 40
    assert sum(row["instances"] for row in ledger.all(sa.select(series))) == 40


def test_a_reader_waits_for_no_writer(ledger: Ledger) -> None:
    ledger.file([arrival(1)])
    seen: list[str] = []

    def read() -> None:
        row = ledger.one(sa.select(studies))
        seen.append(row["state"] if row else "nothing")

    with ledger.transaction() as connection:
        ledger.move(Kind.STUDY, "1.2", Event.SETTLED, connection=connection)
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(5)
        assert seen == ["receiving"], "the reader sees what was committed, at once"


def test_processes_that_start_together_make_the_tables_once(ledger_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda _: Ledger(ledger_url), range(6)))
    assert len(opened[0].all(sa.select(facts))) == 1
    for one in opened:
        one.close()


def test_a_ledger_of_another_schema_says_what_to_do(ledger: Ledger, ledger_url: str) -> None:
    with ledger.transaction() as connection:
        connection.execute(facts.update().values(value="0"))
    with pytest.raises(ValueError, match="betz doctor --rebuild"):
        Ledger(ledger_url)


def test_only_the_first_end_of_an_association_counts(ledger: Ledger) -> None:
    ledger.open_association("a-1", "SCANNER", "10.1.2.3", NOW)
    ledger.open_association("a-1", "SCANNER", "10.1.2.3", NOW)
    ledger.end_association("a-1", "released", NOW + 1)
    ledger.end_association("a-1", "lost", NOW + 2)
    row = ledger.one(sa.select(associations))
    assert row is not None
    assert (row["outcome"], row["ended_at"]) == ("released", NOW + 1)


def outcome(job: str, at: float, version: int, ending: Ending = Ending.DONE) -> Outcome:
    one = ResultObject(f"1.9.{job[-1]}", "1.4", "1.9", "map", "fa.dcm", "00")
    objects = (one,) if ending is Ending.DONE else ()
    return Outcome(
        job, "1.2.826.1", version, "dti", "1", {"dwi": "1.2.826.1.1"}, ending, "", at, objects, 3.0, 100.0, 9.0
    )


def remembered(url: str) -> dict[str, Any]:
    """What the ledger knows of instances, series, studies, jobs and results, without what time and order leave."""
    ledger = Ledger(url)
    found = {
        "instances": {
            (row["path"], row["state"], row["sop_instance_uid"], row["series_uid"], row["size"], row["sha256"])
            for row in ledger.all(sa.select(instances).where(instances.c.state != InstanceState.DUPLICATE))
        },
        "series": {(row["series_uid"], row["study_uid"], row["instances"]) for row in ledger.all(sa.select(series))},
        "studies": {(row["study_uid"], row["version"]) for row in ledger.all(sa.select(studies))},
        "jobs": {(row["job_id"], row["state"], row["folder"], row["inputs"]) for row in ledger.all(sa.select(jobs))},
        "results": {(row["sop_instance_uid"], row["job_id"], row["path"]) for row in ledger.all(sa.select(results))},
    }
    ledger.close()
    return found


def test_the_ledger_comes_back_from_the_spool_alone(ledger: Ledger, ledger_url: str, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for one in series_of() + series_of(series=2) + series_of(study=2):
        enter(ledger, spool, [arrival_of(spool.read(spool.path / put(spool, one).path))])
    conflict = put(spool, replace(Slice(), patient="P2"))
    assert conflict.state is InstanceState.QUARANTINED
    enter(ledger, spool, [arrival_of(spool.read(spool.path / conflict.path))])
    for job, at, version in (("dti-a", NOW, 1), ("dti-b", NOW + 1, 3)):
        folder = spool.path / "results" / "1.2.826.1" / f"dti-1-{job[-1]}"
        folder.mkdir(parents=True)
        outcome(job, at, version).write(folder / OUTCOME_FILE)
    half = spool.path / "results" / "1.2.826.1" / ".dti-1-c.half"
    half.mkdir()
    outcome("dti-c", NOW, 1).write(half / OUTCOME_FILE)
    pacs = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
    other = Destination(name="reports", ae_title="R", host="127.0.0.1", port=104, kinds=("sr",))

    before = remembered(ledger_url)
    assert rebuild(ledger_url, spool, [pacs, other]) == 10
    after = remembered(ledger_url)
    for what in ("instances", "series"):
        assert after[what] == before[what], what
    assert after["studies"] == {("1.2.826.1", 3), ("1.2.826.2", 1)}
    assert {(job, state) for job, state, _, _ in after["jobs"]} == {("dti-a", "superseded"), ("dti-b", "done")}
    assert after["results"] == {
        (f"1.9.{one}", f"dti-{one}", f"results/1.2.826.1/dti-1-{one}/fa.dcm") for one in ("a", "b")
    }
    queued = [(row["sop_instance_uid"], row["destination"], row["state"]) for row in ledger.all(sa.select(deliveries))]
    assert queued == [("1.9.b", "pacs", "queued")], "the newest result only, where its kind is wanted"
    assert rebuild(ledger_url, spool, [pacs]) == 10
    assert remembered(ledger_url) == after, "rebuilding again changes nothing"


def test_a_rebuilt_series_is_open_and_its_study_waits_to_settle(ledger_url: str, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    put(spool, Slice())
    rebuild(ledger_url, spool)
    ledger = Ledger(ledger_url)
    one, study = ledger.one(sa.select(series)), ledger.one(sa.select(studies))
    ledger.close()
    assert one is not None
    assert study is not None
    assert (one["state"], study["state"]) == (SeriesState.OPEN, StudyState.RECEIVING)
    assert abs(study["last_instance_at"] - time.time()) < 60
