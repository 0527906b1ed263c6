"""A study is whole when there is evidence for it, the strongest wins, and the ledger says which it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
import sqlalchemy as sa
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dicom_io.part10 import Origin, Uids
from service import headers, settle
from service.arrivals import arrival_of
from service.config import Config, Settle
from service.config import Spool as SpoolSettings
from service.ledger import Ledger, Row, associations, events, instances, series, studies
from service.presence import Presence
from service.spool import Spool
from service.states import Event, Kind, SeriesState, StudyState
from tests.service.senders import data_set_of, encoded
from tests.service.studies import Slice, data_set, put, series_of

NOW = 1_800_000_000.0
QUIET_S, GIVE_UP_S = 60.0, 900.0


class House:
    """A spool, its ledger and a clock; what a receiver does, step by step."""

    def __init__(self, folder: Path, url: str) -> None:
        self.spool = Spool(folder / "spool")
        self.ledger = Ledger(url)
        self.config = Config(
            spool=SpoolSettings(path=self.spool.path), settle=Settle(quiet_s=QUIET_S, give_up_s=GIVE_UP_S)
        )
        self.now = NOW

    def connect(self, association: str) -> None:
        self.ledger.open_association(association, "SCANNER", "10.1.2.3", self.now)

    def end(self, association: str, outcome: str = "released") -> None:
        self.ledger.end_association(association, outcome, self.now)

    def receive(self, slices: Sequence[Slice], association: str, announced: int | None = None) -> None:
        for one in slices:
            made = data_set(one)
            if announced is not None:
                made.Manufacturer, made.ImagesInAcquisition = "GE MEDICAL SYSTEMS", announced
            uids = Uids(MRImageStorage, one.uid, one.study_uid, one.series_uid)
            body = memoryview(encoded(made))
            placed = self.spool.place(Origin(MRImageStorage, one.uid, ExplicitVRLittleEndian), uids, body)
            kept = arrival_of(self.spool.read(self.spool.path / placed.path))
            self.ledger.file([replace(kept, received_at=self.now, association_id=association)])

    def settle(self, after_s: float = 0.0) -> list[str]:
        self.now += after_s
        return settle.settle_due(self.ledger, self.spool, self.config, self.now)

    def series(self) -> dict[str, Row]:
        return {row["series_uid"]: row for row in self.ledger.all(sa.select(series))}

    def study(self) -> Row:
        (row,) = self.ledger.all(sa.select(studies))
        return row


@pytest.fixture
def house(tmp_path: Path, ledger_url: str) -> Iterator[House]:
    made = House(tmp_path, ledger_url)
    yield made
    made.ledger.close()


DWI = series_of(slices=3)
T1 = series_of(series=2, description="t1", slices=3)
STUDY = DWI[0].study_uid


def test_complete_headers_and_a_released_association_settle_at_once(house: House) -> None:
    house.connect("a-1")
    house.receive(DWI, "a-1", announced=3)
    assert house.settle() == [], "the sender is still connected"
    house.end("a-1")
    assert house.settle() == [STUDY]
    (one,) = house.series().values()
    assert one["state"] == SeriesState.SETTLED
    assert one["reason"].startswith("complete by its own headers, association released")
    assert "1 of 1 series complete by their own headers" in house.study()["reason"]


def test_an_incomplete_series_waits_for_quiet_and_says_that_it_is_incomplete(house: House) -> None:
    house.connect("a-1")
    house.receive(DWI[:2], "a-1", announced=3)
    house.end("a-1")
    assert house.settle(QUIET_S - 1) == []
    assert house.settle(1) == [STUDY]
    (one,) = house.series().values()
    assert "association released and quiet for 60 s" in one["reason"]
    assert (one["complete"], "2 of 3" in one["reason"]) == (0, True)
    assert "1 incomplete" in house.study()["reason"]


def test_headers_that_do_not_say_wait_for_quiet(house: House) -> None:
    house.connect("a-1")
    house.receive(DWI, "a-1")
    house.end("a-1")
    assert house.settle(QUIET_S - 1) == []
    assert house.settle(1) == [STUDY]
    assert "do not say" in house.study()["reason"]


@pytest.mark.parametrize("outcome", ["aborted", "lost"])
def test_an_association_that_broke_off_is_no_goodbye_even_when_the_headers_are_content(
    house: House, outcome: str
) -> None:
    house.connect("a-1")
    house.receive(DWI, "a-1", announced=3)
    house.end("a-1", outcome)
    assert house.settle(QUIET_S - 1) == []
    assert house.settle(1) == [STUDY]
    assert f"association {outcome} and quiet" in house.series()[DWI[0].series_uid]["reason"]


def test_a_sender_that_never_leaves_is_given_up(house: House) -> None:
    house.connect("a-1")
    house.receive(DWI, "a-1", announced=3)
    assert house.settle(GIVE_UP_S - 1) == []
    assert house.settle(1) == [STUDY]
    assert "an association still open but quiet for 900 s" in house.series()[DWI[0].series_uid]["reason"]


def test_a_study_waits_for_all_of_its_series_and_for_everybody_who_sent_to_it(house: House) -> None:
    house.connect("a-1")
    house.connect("a-2")
    house.receive(DWI, "a-1", announced=3)
    house.receive(T1[:2], "a-2", announced=3)
    house.end("a-1")
    assert house.settle() == []
    states = {uid: row["state"] for uid, row in house.series().items()}
    assert states == {DWI[0].series_uid: "settled", T1[0].series_uid: "open"}
    house.receive(T1[2:], "a-2")
    assert house.settle() == []
    house.end("a-2")
    assert house.settle() == [STUDY]


def test_other_studies_do_not_wait_for_a_sender_that_stays(house: House) -> None:
    house.connect("a-1")
    house.connect("a-2")
    house.receive(DWI, "a-1", announced=3)
    house.receive(series_of(study=2), "a-2", announced=3)
    house.end("a-1")
    assert house.settle() == [STUDY]


def test_a_late_slice_reopens_its_study_and_settles_as_the_next_version(house: House) -> None:
    house.connect("a-1")
    house.receive(DWI[:2], "a-1", announced=3)
    house.receive(T1, "a-1", announced=3)
    house.end("a-1")
    assert house.settle(QUIET_S) == [STUDY]
    for uid in house.series():
        house.ledger.move(Kind.SERIES, uid, Event.CLASSIFIED)
    for event in (Event.PLANNED, Event.STARTED, Event.FINISHED):
        house.ledger.move(Kind.STUDY, STUDY, event)
    house.connect("a-2")
    house.receive(DWI[2:], "a-2", announced=3)
    assert (house.study()["state"], house.study()["version"]) == (StudyState.RECEIVING, 2)
    states = {uid: row["state"] for uid, row in house.series().items()}
    assert states == {DWI[0].series_uid: "open", T1[0].series_uid: "classified"}
    house.end("a-2")
    assert house.settle() == [STUDY], "now its headers say that it is complete"
    assert house.series()[DWI[0].series_uid]["complete"] == 1


def test_each_header_is_read_once_and_planning_finds_it_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = headers.header.read_instance

    def counting(path: Path) -> object:
        read.append(path)
        return real(path)

    monkeypatch.setattr(headers.header, "read_instance", counting)
    house.connect("a-1")
    house.receive(DWI[:2], "a-1", announced=3)
    for _ in range(5):
        house.settle(1)
    assert not read, "while the sender is connected there is nothing to judge"
    house.end("a-1")
    for _ in range(5):
        house.settle(1)
    assert len(read) == 2
    house.connect("a-2")
    house.receive(DWI[2:], "a-2", announced=3)
    house.end("a-2")
    assert house.settle() == [STUDY]
    paths = sorted((house.spool.path / "studies").glob("*/*/*.dcm"))
    assert len(headers.read_series(paths)[0].instances) == 3, "as planning asks for them"
    assert sorted(read) == paths


def test_an_instance_that_comes_while_its_series_is_judged_is_not_settled_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = settle.completeness

    def slow(header: object) -> object:
        house.receive(DWI[2:], "a-2", announced=3)
        return real(header)  # type: ignore[arg-type]

    house.connect("a-1")
    house.receive(DWI[:2], "a-1", announced=2)
    house.end("a-1")
    monkeypatch.setattr(settle, "completeness", slow)
    house.settle(QUIET_S)
    assert house.series()[DWI[0].series_uid]["state"] == SeriesState.OPEN


def test_an_unreadable_header_neither_stops_nor_completes_a_series(house: House) -> None:
    house.connect("a-1")
    house.receive(DWI, "a-1", announced=3)
    house.end("a-1")
    for path in house.spool.series_folder(STUDY, DWI[0].series_uid).glob("*.dcm"):
        path.write_bytes(b"overwritten")
    assert house.settle() == []
    assert house.settle(QUIET_S) == [STUDY]
    assert "none of 3 headers can be read" in house.series()[DWI[0].series_uid]["reason"]


def test_the_first_look_enters_all_that_the_ledger_does_not_know(house: House) -> None:
    for one in DWI:
        put(house.spool, one)
    put(house.spool, replace(DWI[0], patient="P2"))
    assert settle.reconcile(house.ledger, house.spool) == 4
    assert house.series()[DWI[0].series_uid]["instances"] == 3
    states = [row["state"] for row in house.ledger.all(sa.select(instances).order_by(instances.c.state))]
    assert states == ["quarantined", "stored", "stored", "stored"]
    assert settle.reconcile(house.ledger, Spool(house.spool.path)) == 0, "known to the ledger"
    assert len(house.ledger.all(sa.select(events))) == 3


def test_what_a_dead_receiver_took_is_entered_and_its_associations_are_lost(house: House) -> None:
    settle.reconcile(house.ledger, house.spool)
    dead, living = Presence(house.spool.path), Presence(house.spool.path)
    house.connect(f"{dead.token}-1")
    house.connect(f"{living.token}-1")
    put(house.spool, DWI[0])
    assert settle.reconcile(house.ledger, house.spool) == 0, "both live: what is not filed is on its way"
    dead.leave(filed=False)
    assert settle.reconcile(house.ledger, house.spool) == 1
    outcomes = {row["association_id"]: row["outcome"] for row in house.ledger.all(sa.select(associations))}
    assert outcomes == {f"{dead.token}-1": "lost", f"{living.token}-1": None}
    assert settle.reconcile(house.ledger, house.spool) == 0
    living.leave(filed=True)


def test_what_was_found_on_disk_first_still_learns_who_sent_it(house: House) -> None:
    house.connect("a-1")
    house.receive(DWI[:2], "a-1", announced=3)
    house.receive(DWI[2:], "", announced=3)  # conduct starts and reconciles before the receiver has filed it
    house.end("a-1")
    assert house.settle() == [], "nobody knows whether its sender has more"
    house.receive(DWI[2:], "a-1", announced=3)
    assert house.settle() == [STUDY]
    assert house.series()[DWI[0].series_uid]["instances"] == 3


def test_after_a_rebuild_a_quiet_study_settles_again(house: House) -> None:
    for one in DWI:
        put(house.spool, one)
    settle.reconcile(house.ledger, house.spool)
    house.now = house.study()["last_instance_at"]
    assert house.settle(QUIET_S - 1) == []
    assert house.settle(2) == [STUDY]
    assert "association unknown" in house.study()["reason"]


def evidence_sentence(connected: bool, ends: tuple[str, ...], quiet: float, complete: bool | None) -> str | None:
    judged = settle.Completeness(complete, 3, 3, "3 of 3 instances")
    return settle.evidence(settle.Standing(connected, ends, quiet), judged, QUIET_S, GIVE_UP_S)


def test_the_strongest_evidence_wins() -> None:
    strongest = evidence_sentence(False, ("released",), GIVE_UP_S, complete=True)
    assert strongest is not None
    assert strongest.startswith("complete by its own headers")
    second = evidence_sentence(False, ("released",), GIVE_UP_S, complete=None)
    assert second is not None
    assert second.startswith("association released and quiet")
    assert evidence_sentence(True, ("released",), GIVE_UP_S - 1, complete=True) is None


@pytest.mark.data
@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_real_series_without_one_slice_waits_and_with_it_settles_at_once(
    house: House, data: Callable[[str], Path], tmp_path: Path
) -> None:
    files = sorted(data("philips-elition-study").glob("s1301/*"))
    house.connect("a-1")
    *most, last = files
    for path in most:
        receive_file(house, path, "a-1")
    house.end("a-1")
    assert house.settle(1) == []
    (one,) = house.series().values()
    assert one["complete"] == 0, one["completeness"]
    house.connect("a-2")
    receive_file(house, last, "a-2")
    house.end("a-2")
    assert len(house.settle(1)) == 1
    (one,) = house.series().values()
    assert one["reason"].startswith("complete by its own headers"), one["reason"]
    shutil.rmtree(house.spool.path)


def receive_file(house: House, path: Path, association: str) -> None:
    read = pydicom.dcmread(path, stop_before_pixels=True)
    uids = Uids(read.SOPClassUID, read.SOPInstanceUID, read.StudyInstanceUID, read.SeriesInstanceUID)
    origin = Origin(read.SOPClassUID, read.SOPInstanceUID, read.file_meta.TransferSyntaxUID)
    placed = house.spool.place(origin, uids, memoryview(data_set_of(path)))
    kept = arrival_of(house.spool.read(house.spool.path / placed.path))
    house.ledger.file([replace(kept, received_at=house.now, association_id=association)])
