"""Delivery against real peers: nothing is lost, nothing is silent, and one destination never holds up another."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from pydicom.uid import ImplicitVRLittleEndian, RLELossless, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    ComprehensiveSRStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
)

from service import deliver
from service.archive import Archive
from service.cli import main
from service.config import Config, Destination
from service.ledger import Ledger
from service.states import Event, JobState, Kind
from service.tables import deliveries, events, jobs
from tests.service.conftest import Orthanc, free_port
from tests.service.synthetic import CLASSES, config, data_set, queue, states

pytestmark = [
    pytest.mark.integration,
    # pynetdicom 3.0.4 leaves the socket of a refused connection to the garbage collector
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

UNREACHED_S = 20.0
FAST = (0.0, 0.3, 0.6)


def destination(name: str, port: int, ae_title: str = "PACS", **settings: Any) -> Destination:
    return Destination(name=name, ae_title=ae_title, host="127.0.0.1", port=port, **settings)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "POLL_S", 0.1)
    monkeypatch.setattr(deliver, "LOOK_AFTER_S", FAST)


@contextmanager
def delivering(made_for: Config) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=deliver.run, args=(made_for, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(deliver.STOP_WITHIN_S + 2)
        assert not thread.is_alive(), "deliver.run did not stop"


def until(condition: Callable[[], bool], what: str, seconds: float = UNREACHED_S) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def all_are(ledger: Ledger, name: str, state: str) -> Callable[[], bool]:
    return lambda: {now for now, _ in states(ledger, name)} == {state}


def wait_for(ledger: Ledger, name: str, state: str) -> None:
    try:
        until(all_are(ledger, name, state), f"{name} {state}")
    except AssertionError:
        raise AssertionError(f"{name}: expected {state}, found {states(ledger, name)}") from None


@contextmanager
def pacs(port: int, classes: tuple[str, ...] = tuple(CLASSES.values()), **handlers: Any) -> Iterator[list[Any]]:
    """A PACS of pynetdicom with a behaviour: `store(event) -> status`, `find(event)`; yields the data sets it took."""
    taken: list[Any] = []
    entity = AE("PACS")
    for sop_class in classes:
        entity.add_supported_context(sop_class, handlers.pop("syntax", None) or None)
    bound: list[Any] = []
    store = handlers.get("store", lambda event: 0x0000)

    def keep(event: Any) -> Any:
        status = store(event)
        if status == 0x0000:
            taken.append(event.dataset)
        return status

    bound.append((evt.EVT_C_STORE, keep))
    if "find" in handlers:
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        bound.append((evt.EVT_C_FIND, handlers["find"]))
    if "accepted" in handlers:
        bound.append((evt.EVT_ACCEPTED, handlers["accepted"]))
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=bound)
    try:
        yield taken
    finally:
        server.shutdown()


def test_results_arrive_in_orthanc_and_are_confirmed_by_query(orthanc: Orthanc, tmp_path: Path) -> None:
    made_for = config(tmp_path, destination("pacs", orthanc.port, orthanc.ae_title))
    ledger = Ledger(made_for.ledger_url)
    sent = queue(made_for, ledger, generate_uid()) + queue(made_for, ledger, generate_uid(), ("map",), RLELossless)
    with delivering(made_for):
        wait_for(ledger, "pacs", "confirmed")
    assert orthanc.instances() == {one.SOPInstanceUID for one in sent}


def test_a_pacs_that_was_away_gets_everything_when_it_is_back(
    start_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    one = start_orthanc()
    one.stop()
    made_for = config(tmp_path, destination("pacs", one.port, one.ae_title))
    ledger = Ledger(made_for.ledger_url)
    first = queue(made_for, ledger, generate_uid())
    with delivering(made_for):
        until(lambda: states(ledger, "pacs")[0][0] == "held", "held")
        assert "does not answer" in states(ledger, "pacs")[0][1]
        second = queue(made_for, ledger, generate_uid())
        time.sleep(1.0)
        assert not {state for state, _ in states(ledger, "pacs")} - {"held", "queued", "sending"}
        one.start()
        wait_for(ledger, "pacs", "confirmed")
    assert one.instances() == {made.SOPInstanceUID for made in first + second}


def test_orthanc_that_forbids_queries_leaves_sent_with_the_reason(
    start_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    one = start_orthanc(callers=())
    made_for = config(tmp_path, destination("pacs", one.port, one.ae_title))
    ledger = Ledger(made_for.ledger_url)
    queue(made_for, ledger, generate_uid(), ("sr",))
    with delivering(made_for):
        until(lambda: "nobody has seen it there" in states(ledger, "pacs")[0][1], "given up asking")
    ((state, reason),) = states(ledger, "pacs")
    assert state == "sent", reason


def test_storescp_takes_results_that_nobody_can_ask_for(program: Callable[[str], str], tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "taken").mkdir()
    command = [program("storescp"), "-od", str(tmp_path / "taken"), "-aet", "PACS", str(port)]
    child = subprocess.Popen(command)
    try:
        made_for = config(tmp_path, destination("pacs", port), destination("quiet", port, confirm=False))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid())
        with delivering(made_for):
            wait_for(ledger, "pacs", "sent")
            wait_for(ledger, "quiet", "sent")
            until(lambda: all("nobody has seen" in why for _, why in states(ledger, "pacs")), "given up asking")
        assert all("confirm = false" in reason for _, reason in states(ledger, "quiet"))
        assert len(list((tmp_path / "taken").iterdir())) == 3
    finally:
        child.terminate()
        child.wait(10)


def test_what_is_referred_to_goes_first_over_one_association(tmp_path: Path) -> None:
    port, associations = free_port(), []
    with pacs(port, accepted=associations.append) as taken:
        made_for = config(tmp_path, destination("pacs", port, confirm=False))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("page", "sr", "map", "page", "map"))
        with delivering(made_for):
            wait_for(ledger, "pacs", "sent")
    assert [one.Modality for one in taken] == ["MR", "MR", "SR", "OT", "OT"]
    assert len(associations) == 1


def test_only_what_is_sent_is_proposed(tmp_path: Path) -> None:
    port, proposed = free_port(), set()

    def note(event: Any) -> None:
        proposed.update(str(one.abstract_syntax) for one in event.assoc.requestor.requested_contexts)

    with pacs(port, accepted=note):
        made_for = config(tmp_path, destination("pacs", port, confirm=False, kinds=("sr",)))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid())
        with delivering(made_for):
            wait_for(ledger, "pacs", "sent")
    assert proposed == {ComprehensiveSRStorage}


def test_a_refused_class_is_refused_and_the_rest_arrives(tmp_path: Path) -> None:
    port = free_port()
    with pacs(port, classes=(MRImageStorage, SecondaryCaptureImageStorage)) as taken:
        made_for = config(tmp_path, destination("pacs", port, confirm=False))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr", "page", "map"))
        with delivering(made_for):
            until(lambda: len(taken) == 2 and "queued" not in dict(states(ledger, "pacs")), "two sent")
    (sr, *others) = states(ledger, "pacs")
    assert sr[0] == "refused"
    assert "does not accept Comprehensive SR Storage" in sr[1]
    assert {state for state, _ in others} == {"sent"}


def test_what_was_refused_is_sent_again_when_a_person_says_so(tmp_path: Path) -> None:
    port = free_port()
    made_for = config(tmp_path, destination("pacs", port, confirm=False))
    ledger = Ledger(made_for.ledger_url)
    queue(made_for, ledger, generate_uid(), ("sr",))
    with pacs(port, classes=(MRImageStorage,)), delivering(made_for):
        wait_for(ledger, "pacs", "refused")
    (tmp_path / "betz.toml").write_text(
        f"""[spool]
path = "{made_for.spool.path}"
[[deliver.destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {port}
"""
    )
    asked = CliRunner().invoke(main, ["resend", "pacs", "--config", str(tmp_path / "betz.toml")])
    assert asked.output == "1 object will be sent to pacs again\n"
    with pacs(port) as taken, delivering(made_for):
        wait_for(ledger, "pacs", "sent")
    assert len(taken) == 1


def test_a_pacs_that_takes_no_class_at_all_refuses_each_object(tmp_path: Path) -> None:
    port = free_port()
    with pacs(port, classes=(MRImageStorage,)):
        made_for = config(tmp_path, destination("pacs", port, confirm=False))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr",))
        with delivering(made_for):
            wait_for(ledger, "pacs", "refused")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *((status, "sent") for status in (0x0000, 0xB000, 0xB007, 0x0111)),
        *((status, "held") for status in (0xA700, 0x0110, 0xFE17)),
        *((status, "refused") for status in (0xA900, 0xC001, 0x0122, 0x0124)),
    ],
)
def test_each_status_has_its_state(status: int, state: str, tmp_path: Path) -> None:
    port = free_port()

    def answer(event: Any) -> Any:
        from pydicom.dataset import Dataset

        said = Dataset()
        said.Status = status
        said.ErrorComment = "the peer's own words"
        return said

    with pacs(port, store=answer):
        made_for = config(tmp_path, destination("pacs", port, confirm=False), first_retry_s=60, longest_retry_s=60)
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr",))
        with delivering(made_for):
            wait_for(ledger, "pacs", state)
    ((_, reason),) = states(ledger, "pacs")
    assert status == 0x0000 or (f"0x{status:04X}" in reason and "the peer's own words" in reason)


def test_a_full_pacs_is_left_alone_and_then_gets_everything(tmp_path: Path) -> None:
    port, calls = free_port(), []

    def full_at_first(event: Any) -> int:
        calls.append(time.monotonic())
        return 0xA700 if len(calls) <= 2 else 0x0000

    with pacs(port, store=full_at_first) as taken:
        made_for = config(tmp_path, destination("pacs", port, confirm=False), first_retry_s=0.5, longest_retry_s=5)
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid())
        with delivering(made_for):
            wait_for(ledger, "pacs", "sent")
    assert len(taken) == 3
    assert calls[1] - calls[0] >= 0.5
    assert calls[2] - calls[1] >= 1.0, "the wait doubles"


def test_an_implicit_only_pacs_gets_implicit(tmp_path: Path) -> None:
    port = free_port()
    with pacs(port, syntax=[ImplicitVRLittleEndian], classes=(MRImageStorage,)) as taken:
        made_for = config(tmp_path, destination("pacs", port, confirm=False))
        ledger = Ledger(made_for.ledger_url)
        sent = queue(made_for, ledger, generate_uid(), ("map",)) + queue(
            made_for, ledger, generate_uid(), ("map",), RLELossless
        )
        with delivering(made_for):
            wait_for(ledger, "pacs", "sent")
    assert {one.SOPInstanceUID for one in taken} == {one.SOPInstanceUID for one in sent}
    plain = data_set("map", generate_uid()).PixelData
    assert all(one.PixelData == plain for one in taken), "also what was compressed"


def test_one_destination_down_and_one_silent_never_hold_up_another(tmp_path: Path) -> None:
    slow_port, good_port = free_port(), free_port()
    release = threading.Event()

    def slow(event: Any) -> int:
        release.wait(30)
        return 0x0000

    with pacs(slow_port, store=slow), Archive(tmp_path / "good", good_port, "PACS"):
        made_for = config(
            tmp_path,
            destination("down", free_port()),
            destination("slow", slow_port),
            destination("good", good_port),
        )
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid())
        began = time.monotonic()
        with delivering(made_for):
            wait_for(ledger, "good", "confirmed")
            until(lambda: "held" in dict(states(ledger, "down")), "held")
            assert "sending" in dict(states(ledger, "slow"))
        stopped = time.monotonic() - began
        release.set()
    assert stopped < UNREACHED_S
    assert {state for state, _ in states(ledger, "slow")} <= {"queued", "sending"}


def test_an_object_that_ends_the_association_waits_alone(tmp_path: Path) -> None:
    port = free_port()

    def poisoned(event: Any) -> int:
        if event.dataset.Modality == "MR":
            event.assoc.abort()
        return 0x0000

    with pacs(port, store=poisoned):
        made_for = config(tmp_path, destination("pacs", port, confirm=False), first_retry_s=60, longest_retry_s=600)
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("map", "sr", "page"))
        queue(made_for, ledger, generate_uid(), ("sr",))
        with delivering(made_for):
            until(
                lambda: [state for state, _ in states(ledger, "pacs")] == ["held", "sent", "sent", "sent"], "rest sent"
            )


def test_a_rejected_calling_title_is_held_and_says_so(tmp_path: Path) -> None:
    with Archive(tmp_path / "other", ae_title="OTHER") as other:
        made_for = config(tmp_path, destination("pacs", other.port))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr",))
        with delivering(made_for):
            wait_for(ledger, "pacs", "held")
            ((_, reason),) = states(ledger, "pacs")
    assert "rejects the association: Called AE title not recognised" in reason


def test_a_host_without_an_address_is_held_and_says_so(tmp_path: Path) -> None:
    unknown = Destination(name="pacs", ae_title="PACS", host="pacs.invalid", port=104)
    made_for = config(tmp_path, unknown)
    ledger = Ledger(made_for.ledger_url)
    queue(made_for, ledger, generate_uid(), ("sr",))
    with delivering(made_for):
        wait_for(ledger, "pacs", "held")
    assert "pacs.invalid" in states(ledger, "pacs")[0][1]


def test_accepted_but_never_found_is_sent_again_and_then_given_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, stored = free_port(), []

    def empty(event: Any) -> Iterator[tuple[int, None]]:
        yield 0x0000, None

    with pacs(port, store=lambda event: stored.append(1) or 0x0000, find=empty):
        made_for = config(tmp_path, destination("pacs", port))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr",))
        with delivering(made_for):
            wait_for(ledger, "pacs", "refused")
    assert len(stored) == deliver.MOST_SENDS
    assert "never found by query" in states(ledger, "pacs")[0][1]


def test_a_slow_index_is_waited_for_without_sending_twice(tmp_path: Path) -> None:
    port, asked = free_port(), []

    def late(event: Any) -> Iterator[tuple[int, Any]]:
        asked.append(event.identifier)
        if len(asked) > 1:
            from pydicom.dataset import Dataset

            answer = Dataset()
            answer.QueryRetrieveLevel = "IMAGE"
            answer.SOPInstanceUID = taken[0].SOPInstanceUID
            yield 0xFF00, answer
        yield 0x0000, None

    with pacs(port, find=late) as taken:
        made_for = config(tmp_path, destination("pacs", port))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr",))
        with delivering(made_for):
            wait_for(ledger, "pacs", "confirmed")
    assert len(taken) == 1
    assert asked[0].QueryRetrieveLevel == "IMAGE"


def test_a_lost_file_is_held_with_its_reason(tmp_path: Path) -> None:
    with Archive(tmp_path / "a", ae_title="PACS") as archive:
        made_for = config(tmp_path, destination("pacs", archive.port))
        ledger = Ledger(made_for.ledger_url)
        (one,) = queue(made_for, ledger, generate_uid(), ("sr",))
        next(made_for.spool.path.rglob(f"{one.SOPInstanceUID}.dcm")).unlink()
        with delivering(made_for):
            wait_for(ledger, "pacs", "held")
    assert "its file cannot be read" in states(ledger, "pacs")[0][1]


def test_kill_in_the_middle_of_sending_loses_and_doubles_nothing(tmp_path: Path) -> None:
    port = free_port()
    made_for = config(tmp_path, destination("pacs", port))
    ledger = Ledger(made_for.ledger_url)
    sent = queue(made_for, ledger, generate_uid(), ("map",) * 40)
    program = textwrap.dedent(f"""
        import threading
        from service import deliver
        from service.config import Config
        deliver.POLL_S = 0.05
        deliver.run(Config.model_validate_json({made_for.model_dump_json()!r}), threading.Event())
    """)
    with Archive(tmp_path / "pacs", port, "PACS") as archive:
        for goal in (5, 15, 25):
            child = subprocess.Popen([sys.executable, "-c", program])
            try:
                until(lambda goal=goal: len(archive.stored()) >= goal, f"{goal} sent")
            finally:
                child.kill()
                child.wait(10)
        with delivering(made_for):
            wait_for(ledger, "pacs", "confirmed")
        assert {path.stem for path in archive.stored()} == {one.SOPInstanceUID for one in sent}
    query = sa.select(events).where(events.c.event == Event.REPLAYED)
    assert ledger.all(query), "at least one kill hit a sending"


def test_a_withdrawn_delivery_is_not_sent(tmp_path: Path) -> None:
    with Archive(tmp_path / "a", ae_title="PACS") as archive:
        made_for = config(tmp_path, destination("pacs", archive.port))
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr", "page"))
        first = ledger.one(sa.select(deliveries.c.id).order_by(deliveries.c.id))
        assert first is not None
        ledger.move(Kind.DELIVERY, first["id"], Event.REPLACED)
        with delivering(made_for):
            until(lambda: [state for state, _ in states(ledger, "pacs")] == ["withdrawn", "confirmed"], "one confirmed")
        assert len(archive.stored()) == 1


def test_what_is_withdrawn_just_before_it_is_sent_stays_withdrawn(tmp_path: Path) -> None:
    with Archive(tmp_path / "a", ae_title="PACS") as archive:
        there = destination("pacs", archive.port)
        made_for = config(tmp_path, there)
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr", "page"))
        courier = deliver.Courier(made_for, ledger, there, deliver.Times(1, 1, FAST), threading.Event())
        (rows,) = courier._due()
        ledger.move(Kind.DELIVERY, rows[0]["id"], Event.REPLACED)
        assert courier._send_study(rows)
        assert [state for state, _ in states(ledger, "pacs")] == ["withdrawn", "sent"]
        assert len(archive.stored()) == 1


def supersede(ledger: Ledger) -> None:
    """The job of every queued result is superseded, its deliveries left as they are."""
    row = {"job_id": "job-1", "study_uid": "1.2", "study_version": 1, "analysis": "dti", "analysis_version": "1"}
    with ledger.transaction() as connection:
        connection.execute(jobs.insert().values(**row, state=JobState.SUPERSEDED, created_at=0.0))


def test_a_result_that_was_superseded_on_its_way_and_did_not_arrive_is_withdrawn(tmp_path: Path) -> None:
    with Archive(tmp_path / "a", ae_title="PACS") as archive:
        there = destination("pacs", archive.port)
        made_for = config(tmp_path, there)
        ledger = Ledger(made_for.ledger_url)
        queue(made_for, ledger, generate_uid(), ("sr", "page"))
        courier = deliver.Courier(made_for, ledger, there, deliver.Times(1, 1, FAST), threading.Event())
        courier._start(courier._due()[0])
        supersede(ledger)
        deliver.requeue_interrupted(ledger)
        courier.round()
        assert [state for state, _ in states(ledger, "pacs")] == ["withdrawn", "withdrawn"]
        assert not archive.stored()


def test_a_refused_result_that_was_superseded_since_is_not_sent_again(tmp_path: Path) -> None:
    made_for = config(tmp_path, destination("pacs", 1))
    ledger = Ledger(made_for.ledger_url)
    queue(made_for, ledger, generate_uid(), ("sr",))
    for event in (Event.STARTED, Event.PEER_REFUSED):
        ledger.move(Kind.DELIVERY, 1, event)
    supersede(ledger)
    assert deliver.resend(ledger, "pacs") == 0
    assert [state for state, _ in states(ledger, "pacs")] == ["refused"]


def test_the_wait_doubles_up_to_the_longest() -> None:
    times = deliver.Times(60, 3600, (0.0,))
    assert [times.retry_s(n) for n in (1, 2, 3, 6, 7, 500)] == [60, 120, 240, 1920, 3600, 3600]
    assert replace(times, first_retry_s=0).retry_s(10) == 0
