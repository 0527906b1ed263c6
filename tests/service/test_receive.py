"""The receiver against real senders: what was acknowledged is there, byte for byte, whatever happens to the process."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import sqlalchemy as sa
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)
from pynetdicom import AE, build_context
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicom_io.part10 import Origin, read_file_head, scan_uids
from service.config import Peer
from service.filing import Filer
from service.intake import Intake
from service.ledger import Ledger, associations, instances, series
from service.receive import LAST_OF_COMMAND, may_send, plain_address, success_of
from service.settle import reconcile
from service.sop_classes import PRIVATE, STORAGE, TRANSFER_SYNTAXES
from service.spool import Spool
from tests.service.conftest import free_port
from tests.service.senders import Receivers, acknowledged, data_set_of, encoded, listens, storescu, written
from tests.service.studies import Slice, data_set, series_of

SUCCESS, MISMATCH, CANNOT_UNDERSTAND, UNDECODABLE, NO_ROOM = 0x0000, 0xA900, 0xC000, 0xC001, 0xA700
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    """Two receiver processes on one port, shared by the tests that do not stop them."""
    with Receivers(tmp_path_factory.mktemp("receivers"), processes=2) as running:
        yield running


def rows(receivers: Receivers, query: sa.Select[Any], until: Callable[[list[Any]], bool]) -> list[Any]:
    """Rows of the ledger once they are as expected: it follows the spool by a moment."""
    ledger = Ledger(receivers.ledger_url)
    give_up = time.monotonic() + PATIENCE_S
    while not until(found := ledger.all(query)):
        assert time.monotonic() < give_up, found
        time.sleep(0.05)
    ledger.close()
    return found


def associate(port: int, calling: str = "SCANNER", called: str = "BETZ", syntax: str = ExplicitVRLittleEndian) -> Any:
    ae = AE(ae_title=calling)
    for uid in STORAGE:
        ae.add_requested_context(uid, syntax)
    return ae.associate("127.0.0.1", port, ae_title=called)


def send(port: int, made: Dataset, body: bytes | None = None, uid: str | None = None, cls: str = MRImageStorage) -> Any:
    """Send one object as raw bytes with pynetdicom, command UIDs as told; the response."""
    association = associate(port)
    assert association.is_established
    try:
        request = C_STORE()
        request.MessageID = 1
        request.AffectedSOPClassUID = cls
        request.AffectedSOPInstanceUID = uid or made.SOPInstanceUID
        request.Priority = 2
        request.DataSet = BytesIO(encoded(made) if body is None else body)
        context = next(cx for cx in association.accepted_contexts if cx.abstract_syntax == MRImageStorage)
        association._reactor_checkpoint.clear()
        association.dimse.send_msg(request, context.context_id)
        _, response = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        return response
    finally:
        association.release()


def fresh(number: int, study: int = 500) -> Dataset:
    return data_set(Slice(study=study, series=1, number=number))


@pytest.mark.integration
@pytest.mark.data
def test_four_associations_of_storescu_to_two_processes_arrive_byte_for_byte(
    data: Callable[[str], Path], program: Callable[[str], str], tmp_path: Path
) -> None:
    study = data("philips-elition-study")
    files = sorted(study.glob("s2001/*"))[::4] + sorted(study.glob("s1301/*"))[::4]
    folders = [tmp_path / f"part{part}" for part in range(4)]
    for part, folder in enumerate(folders):
        folder.mkdir()
        for path in files[part::4]:
            (folder / path.name).symlink_to(path)
    with Receivers(tmp_path / "betz", processes=2) as receivers:
        senders = [storescu(program("storescu"), receivers.port, [folder]) for folder in folders]
        logs = [sender.communicate(timeout=120)[0] for sender in senders]
        assert [sender.returncode for sender in senders] == [0] * 4, logs
        closed = rows(receivers, sa.select(associations), lambda found: all(row["outcome"] for row in found) and found)
        assert [row["outcome"] for row in closed] == ["released"] * 4
        count = sa.select(sa.func.count().label("n")).select_from(instances)
        rows(receivers, count, lambda found: found[0]["n"] == len(files))
        sizes = rows(receivers, sa.select(series), lambda found: sum(row["instances"] for row in found) == len(files))
        assert len(sizes) == 2
    sent = as_dcmtk_receives_it(files, program, tmp_path / "reference")
    assert len(sent) == len(files)
    assert {path.stem for path in receivers.stored()} == set(sent)
    for path in receivers.stored():
        assert data_set_of(path) == sent[path.stem]
        assert pydicom.dcmread(path, stop_before_pixels=True).file_meta.SourceApplicationEntityTitle == "SCANNER"


def as_dcmtk_receives_it(files: list[Path], program: Callable[[str], str], folder: Path) -> dict[str, bytes]:
    """Data sets by SOP Instance UID as storescu puts them on the wire (it encodes sequences anew), kept by storescp."""
    folder.mkdir()
    port = free_port()
    command = (program("storescp"), "--bit-preserving", "-od", str(folder), "-uf", str(port))
    keeper = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + PATIENCE_S
        while not listens(port):
            assert time.monotonic() < until
            time.sleep(0.05)
        sender = storescu(program("storescu"), port, files)
        assert sender.communicate(timeout=120) is not None
        assert sender.returncode == 0
    finally:
        keeper.terminate()
        keeper.wait(PATIENCE_S)
    kept = [path for path in folder.iterdir() if path.is_file()]
    return {pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID: data_set_of(path) for path in kept}


@pytest.mark.integration
def test_echo_is_for_listed_peers_only(receivers: Receivers, program: Callable[[str], str]) -> None:
    def echo(calling: str, called: str) -> tuple[int, str]:
        command = (program("echoscu"), "-aet", calling, "-aec", called, "127.0.0.1", str(receivers.port))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert echo("SCANNER", "BETZ")[0] == 0
    code, said = echo("STRANGER", "BETZ")
    assert (code, "Calling AE Title Not Recognized" in said) == (1, True)
    code, said = echo("SCANNER", "PACS")
    assert (code, "Called AE Title Not Recognized" in said) == (1, True)


@pytest.mark.parametrize(
    ("peers", "calling", "address", "may"),
    [
        ((), "SCANNER", "127.0.0.1", False),
        ((Peer(ae_title="SCANNER"),), "SCANNER", "127.0.0.1", True),
        ((Peer(ae_title="SCANNER"),), "SCANNER", "::1", True),
        ((Peer(ae_title="SCANNER"),), "SCANNER", "10.1.2.3", False),
        ((Peer(ae_title="SCANNER"),), "scanner", "127.0.0.1", False),
        ((Peer(ae_title="SCANNER", addresses=("10.1.2.0/24",)),), "SCANNER", "10.1.2.200", True),
        ((Peer(ae_title="SCANNER", addresses=("10.1.2.0/24",)),), "SCANNER", "10.1.3.1", False),
        ((Peer(ae_title="SCANNER", addresses=("10.1.2.7",)),), "SCANNER", "10.1.2.7", True),
        (
            (Peer(ae_title="A", addresses=("10.1.2.7",)), Peer(ae_title="B", addresses=("10.1.2.8",))),
            "A",
            "10.1.2.8",
            False,
        ),
    ],
)
def test_who_may_send_is_an_ae_title_at_an_address(
    peers: tuple[Peer, ...], calling: str, address: str, may: bool
) -> None:
    assert may_send(peers, calling, address) is may


def test_an_ipv4_peer_is_itself_on_an_ipv6_socket() -> None:
    assert plain_address("::ffff:10.1.2.3") == "10.1.2.3"
    assert plain_address("fe80::1%eth0") == "fe80::1"


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.integration
def test_each_transfer_syntax_is_kept_as_it_was_sent(
    receivers: Receivers, program: Callable[[str], str], tmp_path: Path, syntax: str
) -> None:
    option = {
        ExplicitVRLittleEndian: "-xe",
        ImplicitVRLittleEndian: "-xi",
        ExplicitVRBigEndian: "-xb",
        DeflatedExplicitVRLittleEndian: "-xd",
    }[syntax]
    made = fresh(10 + len(receivers.stored()))
    written(made, tmp_path / "one.dcm", syntax)
    sender = storescu(program("storescu"), receivers.port, [tmp_path / "one.dcm"], "-R", option)
    log = sender.communicate(timeout=60)[0]
    assert sender.returncode == 0, log
    (path,) = (path for path in receivers.stored() if path.stem == made.SOPInstanceUID)
    kept = pydicom.dcmread(path)
    assert kept.file_meta.TransferSyntaxUID == syntax
    assert kept.PixelData == made.PixelData
    if syntax != DeflatedExplicitVRLittleEndian:  # DCMTK deflates anew
        assert len(data_set_of(path)) == len(data_set_of(tmp_path / "one.dcm"))


def test_every_class_and_syntax_of_the_tables_is_negotiated(receivers: Receivers) -> None:
    wanted = [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in STORAGE]
    ae = AE(ae_title="SCANNER")
    association = ae.associate("127.0.0.1", receivers.port, contexts=wanted, ae_title="BETZ")
    assert association.is_established
    assert {cx.abstract_syntax for cx in association.accepted_contexts} == set(STORAGE)
    association.release()
    for syntax in TRANSFER_SYNTAXES:
        association = associate(receivers.port, syntax=syntax)
        assert not association.rejected_contexts, syntax
        association.release()


def test_a_class_that_no_scanner_sends_is_refused(receivers: Receivers) -> None:
    ae = AE(ae_title="SCANNER")
    ct = build_context("1.2.840.10008.5.1.4.1.1.2")
    association = ae.associate(
        "127.0.0.1", receivers.port, contexts=[ct, build_context(MRImageStorage)], ae_title="BETZ"
    )
    assert [cx.abstract_syntax for cx in association.rejected_contexts] == [ct.abstract_syntax]
    association.release()


@pytest.mark.parametrize("private", sorted(PRIVATE))
def test_private_classes_are_stored(receivers: Receivers, private: str) -> None:
    made = fresh(200 + sorted(PRIVATE).index(private))
    made.SOPClassUID = private
    association = associate(receivers.port)
    assert association.is_established
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    assert association.send_c_store(made).Status == SUCCESS
    association.release()


def test_the_maximum_pdu_is_larger_than_the_librarys(receivers: Receivers) -> None:
    association = associate(receivers.port)
    answer = association.acceptor.primitive
    assert isinstance(answer, A_ASSOCIATE)
    assert answer.maximum_length_received == 131072
    association.release()


def test_the_same_instance_again_is_success_and_nothing_new(receivers: Receivers) -> None:
    made = fresh(1)
    assert [send(receivers.port, made).Status for _ in range(3)] == [SUCCESS] * 3
    assert [path.stem for path in receivers.stored()].count(made.SOPInstanceUID) == 1
    query = sa.select(instances.c.state).where(instances.c.sop_instance_uid == made.SOPInstanceUID)
    found = rows(receivers, query, lambda found: len(found) == 3)
    assert sorted(row["state"] for row in found) == ["duplicate", "duplicate", "stored"]


def test_other_bytes_under_a_known_uid_are_success_quarantined_and_visible(receivers: Receivers) -> None:
    made = fresh(2)
    first = encoded(made)
    made.PatientID = "somebody else"
    second = encoded(made)
    assert send(receivers.port, made, first).Status == SUCCESS
    assert send(receivers.port, made, second).Status == SUCCESS
    (stored,) = (path for path in receivers.stored() if path.stem == made.SOPInstanceUID)
    assert data_set_of(stored) == first
    assert [data_set_of(path) for path in receivers.quarantined()].count(second) == 1
    query = sa.select(instances).where(
        instances.c.sop_instance_uid == made.SOPInstanceUID, instances.c.state == "quarantined"
    )
    (row,) = rows(receivers, query, lambda found: len(found) == 1)
    assert "other bytes" in row["reason"]
    assert data_set_of(receivers.spool / row["path"]) == second


def test_a_data_set_that_is_not_the_commands_is_a900(receivers: Receivers) -> None:
    response = send(receivers.port, fresh(3), uid="1.2.3.4.5")
    assert response.Status == MISMATCH
    assert "not the command" in response.ErrorComment


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_study_or_series_is_c000_and_not_stored(receivers: Receivers, missing: str) -> None:
    made = fresh(4)
    delattr(made, missing)
    before = receivers.stored(), receivers.quarantined()
    assert send(receivers.port, made).Status == CANNOT_UNDERSTAND
    assert (receivers.stored(), receivers.quarantined()) == before


def test_undecodable_bytes_are_c001_and_quarantined(receivers: Receivers) -> None:
    made = fresh(5)
    implicit = encoded(made, ImplicitVRLittleEndian)
    assert send(receivers.port, made, implicit).Status == UNDECODABLE
    found = [path for path in receivers.quarantined() if data_set_of(path) == implicit]
    assert len(found) == 1
    assert "no value representation" in found[0].with_suffix(".reason").read_text()


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"])
def test_success_is_encoded_as_the_library_encodes_it(uid: str) -> None:
    response = C_STORE()
    response.MessageIDBeingRespondedTo = 258
    response.AffectedSOPClassUID = MRImageStorage
    response.AffectedSOPInstanceUID = uid
    response.Status = SUCCESS
    message = C_STORE_RSP()
    message.primitive_to_message(response)
    (pdata,) = message.encode_msg(1, 16382)
    assert pdata.presentation_data_value_list == [(1, LAST_OF_COMMAND + success_of(response))]


def test_a_command_of_another_class_than_its_context_is_refused(receivers: Receivers) -> None:
    made = fresh(6)
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    assert send(receivers.port, made, cls=made.SOPClassUID).Status == 0x0122


def test_a_pdu_of_a_gigabyte_is_not_waited_for(receivers: Receivers) -> None:
    with socket.create_connection(("127.0.0.1", receivers.port)) as peer:
        peer.sendall(struct.pack(">BBL", 1, 0, 1 << 30) + bytes(1000))
        peer.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(100) == b""
    association = associate(receivers.port)
    assert association.is_established
    association.release()


def test_no_name_of_a_patient_is_in_the_log(receivers: Receivers) -> None:
    assert send(receivers.port, fresh(7)).Status == SUCCESS
    assert "Geheim" not in receivers.log.read_text()


def test_a_disk_below_its_reserve_answers_a700(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    filer = Filer(f"sqlite:///{tmp_path / 'betz.db'}", spool)
    body = memoryview(encoded(fresh(1)))
    origin = Origin(MRImageStorage, fresh(1).SOPInstanceUID, ExplicitVRLittleEndian)
    assert Intake(spool, filer, reserve_mb=1 << 40).take(origin, body, "a").status == NO_ROOM
    assert Intake(spool, filer, reserve_mb=0).take(origin, body, "a").status == SUCCESS
    assert filer.close(PATIENCE_S)


def test_a_disk_that_fails_is_never_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    spool = Spool(tmp_path / "spool")
    filer = Filer(f"sqlite:///{tmp_path / 'betz.db'}", spool)
    origin = Origin(MRImageStorage, fresh(1).SOPInstanceUID, ExplicitVRLittleEndian)
    monkeypatch.setattr(os, "fsync", fail)
    assert Intake(spool, filer, 0).take(origin, memoryview(encoded(fresh(1))), "a").status == NO_ROOM
    monkeypatch.undo()
    assert filer.close(PATIENCE_S)


def test_success_does_not_wait_for_the_ledger_which_catches_up(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    blocked = tmp_path / "place"
    blocked.write_text("a file where the ledger's folder should be")
    filer = Filer(f"sqlite:///{blocked / 'betz.db'}", spool)
    origin = Origin(MRImageStorage, fresh(1).SOPInstanceUID, ExplicitVRLittleEndian)
    assert Intake(spool, filer, 0).take(origin, memoryview(encoded(fresh(1))), "a").status == SUCCESS
    time.sleep(0.5)
    blocked.unlink()
    assert filer.close(PATIENCE_S), "filed as soon as the ledger is there"
    ledger = Ledger(f"sqlite:///{blocked / 'betz.db'}")
    assert len(ledger.all(sa.select(instances))) == 1
    ledger.close()


@pytest.mark.integration
def test_a_receiver_killed_at_any_moment_has_all_that_it_acknowledged(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for one in series_of(slices=200) + series_of(series=2, slices=200):
        made = data_set(one)
        made.Rows = made.Columns = 128
        made.PixelData = random.Random(one.uid).randbytes(128 * 128 * 2)
        written(made, source / f"{one.uid}.dcm")
    moment = random.Random(7)
    acknowledged_in_all = 0
    with Receivers(tmp_path / "betz", processes=2) as receivers:
        for turn in range(4):
            senders = [storescu(program("storescu"), receivers.port, [source]) for _ in range(2)]
            enough = moment.randint(20, 90)
            while sum(1 for _ in receivers.spool.glob("studies/*/*/*.dcm")) < enough:
                time.sleep(0.001)
            receivers.kill()
            sent = [path for sender in senders for path in acknowledged(sender.communicate(timeout=60)[0])]
            acknowledged_in_all += len(sent)
            stored = {path.stem: path for path in receivers.stored()}
            for path in sent:
                assert data_set_of(stored[path.stem]) == data_set_of(path)
            for path in stored.values():
                content = path.read_bytes()
                head = read_file_head(content)
                assert scan_uids(content[head.data_set_at :], head.transfer_syntax_uid).sop_instance_uid == path.stem
                assert content.endswith(pydicom.dcmread(source / path.name).PixelData)
            spool, ledger = Spool(receivers.spool), Ledger(receivers.ledger_url)
            reconcile(ledger, spool)
            known = {row["path"] for row in ledger.all(sa.select(instances.c.path))}
            assert {path.relative_to(receivers.spool).as_posix() for path in stored.values()} == known
            assert not [row for row in ledger.all(sa.select(associations)) if row["ended_at"] is None]
            ledger.close()
            if turn < 3:
                shutil.rmtree(receivers.spool / "studies")
                (receivers.spool / "studies").mkdir()
                for name in ("betz.db", "betz.db-wal", "betz.db-shm"):
                    (receivers.spool.parent / name).unlink(missing_ok=True)
                receivers.log.write_text("")
                for _ in range(2):
                    receivers.start()
                receivers.wait_for("receiver.listening", 2)
    assert acknowledged_in_all > 50


def test_a_sibling_answers_when_one_receiver_dies(tmp_path: Path) -> None:
    with Receivers(tmp_path, processes=2) as receivers:
        dead = receivers.children.pop(0)
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        for number in range(8):
            assert send(receivers.port, fresh(number)).Status == SUCCESS


def test_a_sender_in_the_middle_may_finish_when_betz_stops(tmp_path: Path) -> None:
    with Receivers(tmp_path) as receivers:
        association = associate(receivers.port)
        (child,) = receivers.children
        child.terminate()
        time.sleep(0.5)
        late = associate(receivers.port)
        assert late.is_rejected
        made = fresh(1)
        made.file_meta = pydicom.dataset.FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        assert association.send_c_store(made).Status == SUCCESS
        association.release()
        assert child.wait(PATIENCE_S) == 0
        assert not listens(receivers.port)
        assert not list(receivers.spool.glob("receivers/*")), "everything was filed"
    assert len(receivers.stored()) == 1
