"""The conductor: from a settled study to the outbox, through failures, restarts, repetitions and late instances."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from analyses.contract import Cost, Need, RoleKind, Technique
from service import conduct, jobs, settle
from service.conduct import Conductor
from service.config import Config, Deliver, Destination, RoleRule, Settle, Site
from service.config import Spool as SpoolSettings
from service.engine import Engine
from service.ledger import Ledger, Row, deliveries, events, results, series, studies
from service.order import OUTCOME_FILE, REPORT
from service.routing import TWO_PATIENTS
from service.spool import Spool
from service.states import Kind
from tests.service import studies as made
from tests.service.studies import Slice, put, series_of

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("faults.py")))
PATIENCE_S = 30.0
STUDY = Slice().study_uid
ALL = Destination(name="all", ae_title="A", host="127.0.0.1", port=1)
NUMBERS = Destination(name="numbers", ae_title="B", host="127.0.0.1", port=1, kinds=("sr",))


@dataclass(frozen=True)
class Fake:
    """An analysis whose process behaves as its name says (see faults.py)."""

    name: str
    needs: tuple[Need, ...] = (Need("dwi", RoleKind.DWI),)
    version: str = "1"
    technique: Technique = Technique.DTI
    produces: tuple[()] = ()
    cost: Cost = field(default_factory=lambda: Cost(1, 300, 20))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(processes=False, threads=4, memory_mb=9000) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "RETRY_AFTER_S", 0.0)


class House:
    """A spool, a ledger and a conductor with fake analyses."""

    def __init__(self, folder: Path, engine: Engine, *names: str, needs: Sequence[Need] = ()) -> None:
        self.config = Config(
            spool=SpoolSettings(path=folder / "spool"),
            settle=Settle(quiet_s=0, give_up_s=0),
            roles=tuple(RoleRule(**rule) for rule in made.ROLES),
            deliver=Deliver(destinations=(ALL, NUMBERS)),
        )
        self.engine = engine
        self.analyses = [Fake(name, tuple(needs) or Fake(name).needs) for name in names]
        self.spool = Spool(self.config.spool.path)
        self.ledger = Ledger(self.config.ledger_url)
        self.conductor = self.new_conductor()

    def new_conductor(self, engine: Engine | None = None) -> Conductor:
        return Conductor(self.config, self.ledger, self.spool, engine or self.engine, self.analyses, COMMAND)

    def receive(self, slices: Sequence[Slice]) -> None:
        for one in slices:
            put(self.spool, one)
        self.spool.reconciled = False
        settle.reconcile(self.ledger, self.spool)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.story()
            self.conductor.step()
            time.sleep(0.02)

    def until_finished(self, study_uid: str = STUDY) -> None:
        self.until(lambda: self.study(study_uid)["state"] == "finished")

    def study(self, study_uid: str = STUDY) -> Row:
        row = self.ledger.one(sa.select(studies).where(studies.c.study_uid == study_uid))
        assert row is not None
        return row

    def jobs(self, analysis: str = "", state: str = "") -> list[Row]:
        rows = self.ledger.all(sa.select(jobs.jobs).order_by(jobs.jobs.c.created_at))
        return [row for row in rows if analysis in ("", row["analysis"]) and state in ("", row["state"])]

    def job(self, analysis: str) -> Row:
        (row,) = (row for row in self.jobs(analysis) if row["state"] != "superseded")
        return row

    def kinds(self) -> list[str]:
        return sorted(row["kind"] for row in self.ledger.all(sa.select(results)))

    def deliveries(self, state: str) -> list[tuple[str, str]]:
        query = (
            sa.select(deliveries.c.destination, results.c.kind)
            .join(results, results.c.sop_instance_uid == deliveries.c.sop_instance_uid)
            .where(deliveries.c.state == state)
        )
        return sorted((row["destination"], row["kind"]) for row in self.ledger.all(query))

    def story(self) -> str:
        return "\n".join(
            f"{e['kind']} {e['subject']} {e['now']} {e['reason']}" for e in self.ledger.all(sa.select(events))
        )


@pytest.fixture
def house(tmp_path: Path, engine: Engine) -> Callable[..., House]:
    return lambda *names, **more: House(tmp_path, engine, *names, **more)


def test_a_study_becomes_results_and_one_delivery_for_each_destination_that_takes_the_kind(
    house: Callable[..., House],
) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    assert here.job("good")["state"] == here.job(REPORT)["state"] == "done"
    assert here.kinds() == ["map", "page", "sr"]
    assert here.deliveries("queued") == [("all", "map"), ("all", "page"), ("all", "sr"), ("numbers", "sr")]
    for row in here.ledger.all(sa.select(results)):
        assert (here.spool.path / row["path"]).is_file()
    assert here.job("good")["attempts"] == 1
    assert here.job("good")["peak_mb"] > 5
    assert not any((here.spool.path / "jobs").iterdir())


def test_a_series_gets_its_role_and_the_reason(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive([*series_of(), *series_of(series=2, description="t1")])
    here.until_finished()
    rows = {row["number"]: row for row in here.ledger.all(sa.select(series))}
    assert [(rows[n]["role"], rows[n]["body"], rows[n]["state"]) for n in (1, 2)] == [
        ("DWI", "brain", "classified"),
        ("T1", "brain", "classified"),
    ]
    assert all(row["reason"] for row in rows.values())


def test_what_cannot_run_waits_with_its_reason_and_the_report_is_made_all_the_same(house: Callable[..., House]) -> None:
    here = house("good", needs=[Need("t1", RoleKind.T1)])
    here.receive(series_of())
    here.until_finished()
    assert (here.job("good")["state"], here.job("good")["reason"]) == ("waiting", "no T1 series")
    assert here.kinds() == ["page", "sr"]
    told = next((here.spool.path / "results").rglob("sr.dcm")).read_text()
    assert "no T1 series" in told
    assert "not run" in told


def test_a_job_that_waits_for_something_else_than_before_says_for_what(house: Callable[..., House]) -> None:
    here = house("good", needs=(Need("dwi", RoleKind.DWI), Need("t1", RoleKind.T1)))
    here.receive(series_of(series=3, description="another"))
    here.until_finished()
    first = here.job("good")
    assert (first["state"], first["reason"]) == ("waiting", "no DWI series; no T1 series")
    here.receive(series_of(series=1))
    here.until(lambda: here.study()["version"] > first["study_version"])
    here.until_finished()
    later = here.job("good")
    assert (later["job_id"], later["state"], later["reason"]) == (first["job_id"], "waiting", "no T1 series")
    told = [row["reason"] for row in here.ledger.all(sa.select(events).where(events.c.subject == first["job_id"]))]
    assert told == [first["reason"], later["reason"]]


def test_a_job_that_fails_is_tried_three_times_and_then_dead_with_its_reason(house: Callable[..., House]) -> None:
    here = house("raises", "good")
    here.receive(series_of())
    here.until_finished()
    dead = here.job("raises")
    assert (dead["state"], dead["attempts"]) == ("dead", 3)
    assert dead["reason"] == "the process of raises ended with code 1 (tried 3 times)"
    assert here.job("good")["state"] == "done"
    assert here.job(REPORT)["state"] == "done"
    assert "Doe" not in here.story()


def test_a_job_that_fails_twice_succeeds_at_the_third_attempt(house: Callable[..., House]) -> None:
    here = house("fails twice")
    here.receive(series_of())
    here.until_finished()
    assert (here.job("fails twice")["state"], here.job("fails twice")["attempts"]) == ("done", 3)
    assert here.job("fails twice")["reason"] == "done at attempt 3"


def test_a_job_over_its_memory_is_dead_at_the_first_attempt(house: Callable[..., House]) -> None:
    here = house("hoards")
    here.receive(series_of())
    here.until_finished()
    assert (here.job("hoards")["state"], here.job("hoards")["attempts"]) == ("dead", 1)
    assert "300 MB" in here.job("hoards")["reason"]


def test_unsuitable_data_is_a_normal_end(house: Callable[..., House]) -> None:
    here = house("is unsuitable")
    here.receive(series_of())
    here.until_finished()
    assert (here.job("is unsuitable")["state"], here.job("is unsuitable")["attempts"]) == ("unsuitable", 1)
    assert here.study()["reason"] == "reported"


def test_two_patients_under_one_study_are_refused_and_nothing_is_sent(house: Callable[..., House]) -> None:
    here = house("good", "raises")
    here.receive([*series_of(), Slice(series=2, patient="P2")])
    here.until_finished()
    assert {(job["state"], job["reason"]) for job in here.jobs()} == {("waiting", TWO_PATIENTS)}
    assert here.kinds() == []
    assert here.study()["reason"] == TWO_PATIENTS


def test_instances_that_cannot_be_read_are_told_with_their_series(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive(series_of())
    torn = next((here.spool.path / "studies").rglob("*.dcm"))
    torn.write_bytes(bytes(200))
    here.until_finished()
    (row,) = here.ledger.all(sa.select(series))
    assert "instances cannot be read" in row["reason"]
    assert row["state"] == "classified"


def test_a_second_patient_after_the_report_withdraws_what_was_not_sent(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    assert here.deliveries("queued")
    here.receive([Slice(series=2, patient="P2")])
    here.until(lambda: here.study()["version"] == 2 and here.study()["state"] == "finished")
    assert here.study()["reason"] == TWO_PATIENTS
    assert here.deliveries("queued") == []
    assert here.jobs(REPORT, "superseded")


def test_a_late_instance_supersedes_the_result_and_withdraws_what_was_not_sent(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    before = {row["job_id"] for row in here.jobs()}
    here.receive([Slice(number=SLICES_AND_ONE)])
    assert (here.study()["state"], here.study()["version"]) == ("receiving", 2)
    here.until_finished()
    assert {row["job_id"] for row in here.jobs(state="superseded")} == before
    assert here.job("good")["study_version"] == here.job(REPORT)["study_version"] == 2
    assert len(here.deliveries("withdrawn")) == 4
    assert here.deliveries("queued") == [("all", "map"), ("all", "page"), ("all", "sr"), ("numbers", "sr")]
    newest = here.spool.path / here.job(REPORT)["folder"] / "sr.dcm"
    assert "predecessor sr.dcm" in newest.read_text()


def test_a_late_series_that_no_analysis_uses_keeps_the_job_and_renews_the_report(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    kept = here.job("good")
    here.receive(series_of(series=2, description="t1"))
    here.until_finished()
    assert here.job("good")["job_id"] == kept["job_id"]
    assert here.job("good")["ended_at"] == kept["ended_at"]
    assert here.deliveries("withdrawn") == [("all", "page"), ("all", "sr"), ("numbers", "sr")]


def test_a_late_instance_ends_the_job_that_runs_on_the_old_set(house: Callable[..., House]) -> None:
    here = house("sleeps")
    here.receive(series_of())
    here.until(lambda: bool(here.jobs("sleeps", "running")))
    (old,) = here.jobs("sleeps")
    here.receive([Slice(number=SLICES_AND_ONE)])
    here.until(lambda: old["job_id"] not in here.engine.jobs)
    assert here.jobs("sleeps", "superseded")[0]["job_id"] == old["job_id"]
    here.until(lambda: bool(here.jobs("sleeps", "running")))
    here.engine.cancel(here.job("sleeps")["job_id"])


def test_the_same_study_again_makes_no_second_result(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    first = {path: path.read_bytes() for path in (here.spool.path / "results").rglob("*") if path.is_file()}
    jobs_before = {row["job_id"] for row in here.jobs()}
    here.ledger.close()
    (here.config.spool.path.parent / "betz.db").unlink()
    here.ledger = Ledger(here.config.ledger_url)
    here.conductor = here.new_conductor()
    monkeypatch.setattr(here.engine, "submit", lambda task: pytest.fail(f"{task.job_id} was computed again"))
    here.spool.reconciled = False
    settle.reconcile(here.ledger, here.spool)
    here.until_finished()
    assert {row["job_id"] for row in here.jobs()} == jobs_before
    assert {path: path.read_bytes() for path in (here.spool.path / "results").rglob("*") if path.is_file()} == first
    assert here.deliveries("queued") == [("all", "map"), ("all", "page"), ("all", "sr"), ("numbers", "sr")]


def test_betz_s_own_results_that_come_back_from_a_pacs_start_no_second_report(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    report = here.job(REPORT)["job_id"]
    returned = Slice(series=9, description="came back")
    with here.ledger.transaction() as connection:
        connection.execute(results.update().where(results.c.kind == "map").values(series_uid=returned.series_uid))
    here.receive([returned])
    here.until_finished()
    assert here.study()["version"] == 2
    assert here.job(REPORT)["job_id"] == report


def test_jobs_that_ran_when_the_conductor_died_run_again_after_its_restart(house: Callable[..., House]) -> None:
    here = house("sleeps")
    here.receive(series_of())
    with Engine(processes=False, threads=1, memory_mb=500) as first:
        here.conductor = here.new_conductor(first)
        here.until(lambda: bool(here.jobs("sleeps", "running")))
    here.analyses[:] = [Fake("sleeps", cost=Cost(1, 300, 1))]
    here.conductor = here.new_conductor()
    here.until_finished()
    assert "longer than its 1 s" in here.job("sleeps")["reason"]  # it was run again, to its own end
    assert here.job("sleeps")["attempts"] == 2
    assert any(e["event"] == "worker lost" for e in here.ledger.all(sa.select(events)))


def test_a_restart_on_purpose_is_not_held_against_the_job(house: Callable[..., House]) -> None:
    here = house("sleeps")
    here.receive(series_of())
    for _ in range(jobs.ATTEMPTS + 1):
        with Engine(processes=False, threads=1, memory_mb=500) as first:
            here.conductor = here.new_conductor(first)
            here.until(lambda: bool(here.jobs("sleeps", "running")))
            here.conductor.pause()
    assert (here.job("sleeps")["state"], here.job("sleeps")["attempts"]) == ("failed", 0)


def test_a_job_that_ran_at_three_deaths_of_the_conductor_is_dead(house: Callable[..., House]) -> None:
    here = house("sleeps")
    here.receive(series_of())
    for attempt in range(1, jobs.ATTEMPTS + 1):
        with Engine(processes=False, threads=1, memory_mb=500) as first:
            here.conductor = here.new_conductor(first)
            here.until(lambda: [job["attempts"] for job in here.jobs("sleeps", "running")] == [attempt])  # noqa: B023
    here.conductor = here.new_conductor()
    here.until_finished()
    assert here.job("sleeps")["state"] == "dead"
    assert "stopped while it ran (tried 3 times)" in here.job("sleeps")["reason"]


def test_a_study_that_cannot_be_planned_does_not_stop_another(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = house("good")
    examine = conduct.examine

    def broken(headers: Sequence[object], rules: object) -> object:
        if headers[0].first.study_uid == STUDY:  # type: ignore[attr-defined]
            raise ValueError("Geheim^Gerda")
        return examine(headers, rules)  # type: ignore[arg-type]

    monkeypatch.setattr(conduct, "examine", broken)
    here.receive([*series_of(), *series_of(study=2)])
    here.until_finished(Slice(study=2).study_uid)
    assert here.study()["state"] == "settled"
    assert "ValueError" in caplog.text
    assert "Geheim" not in caplog.text
    assert caplog.text.count("broke_off") == 1
    monkeypatch.setattr(conduct, "examine", examine)
    here.conductor = here.new_conductor()
    here.until_finished()


def test_a_dead_job_can_be_replayed_and_its_study_is_reported_again(house: Callable[..., House]) -> None:
    here = house("raises")
    here.receive(series_of())
    here.until_finished()
    dead, report = here.job("raises"), here.job(REPORT)
    jobs.replay(here.ledger, here.spool.path, dead["job_id"])
    assert here.study()["state"] == "running"
    here.analyses[:] = [Fake("raises")]
    here.conductor.command = (sys.executable, "-P", str(Path(__file__).with_name("faults.py")), "as good")
    here.until_finished()
    assert here.job("raises")["state"] == "done"
    assert here.job(REPORT)["job_id"] != report["job_id"]


def test_a_job_that_waits_over_a_change_of_the_site_s_words_is_run_all_the_same(house: Callable[..., House]) -> None:
    here = house("raises")
    here.receive(series_of())
    here.until_finished()
    jobs.replay(here.ledger, here.spool.path, here.job("raises")["job_id"])
    here.config = here.config.model_copy(update={"site": Site(timezone="+0100")})
    here.conductor = here.new_conductor()
    here.conductor.command = (sys.executable, "-P", str(Path(__file__).with_name("faults.py")), "as good")
    here.until_finished()
    assert here.job("raises")["state"] == "done"


def test_a_done_job_that_is_replayed_is_really_done_again_with_the_same_result(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    done = here.job("good")
    outcome = here.spool.path / done["folder"] / OUTCOME_FILE
    before, objects = outcome.stat().st_mtime_ns, {r["sha256"] for r in here.ledger.all(sa.select(results))}
    jobs.replay(here.ledger, here.spool.path, done["job_id"])
    here.until_finished()
    assert outcome.stat().st_mtime_ns > before
    assert {r["sha256"] for r in here.ledger.all(sa.select(results))} == objects
    assert len(here.deliveries("queued")) == 4


def test_the_report_names_the_version_that_measured_not_the_one_installed_since(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    here.analyses[:] = [Fake("good", version="2")]
    (run,) = here.new_conductor().assigner.order(here.job(REPORT)).runs
    assert run.version == "1"


def test_a_job_that_did_not_end_cannot_be_replayed(house: Callable[..., House]) -> None:
    here = house("good", needs=[Need("t1", RoleKind.T1)])
    here.receive(series_of())
    here.until_finished()
    with pytest.raises(jobs.NotAllowed, match="waiting"):
        jobs.replay(here.ledger, here.spool.path, here.job("good")["job_id"])
    with pytest.raises(KeyError):
        jobs.replay(here.ledger, here.spool.path, "no-such-job")


def test_every_change_of_a_job_is_an_event(house: Callable[..., House]) -> None:
    here = house("good")
    here.receive(series_of())
    here.until_finished()
    query = sa.select(events).where(events.c.kind == Kind.JOB, events.c.subject == here.job("good")["job_id"])
    assert [e["now"] for e in here.ledger.all(query)] == ["waiting", "queued", "running", "done"]


SLICES_AND_ONE = made.SLICES + 1
