"""A peer's answer reaches who waits for it, however the threads of the network library are scheduled."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider

from service import modality
from service.archive import Archive
from service.config import Destination
from service.peer import Parcel, Peer, Verdict
from tests.service.synthetic import CLASSES, data_set

ANSWERED_S = 0.2  # longer than the archive takes over an object
PATIENCE_S = 5.0


class _LateCheckpoint(threading.Event):
    """Where `send_*` stops the library's reactor; a thread is told to go on, and on a loaded machine goes later."""

    def wait(self, timeout: float | None = None) -> bool:
        passed = super().wait(timeout)
        time.sleep(ANSWERED_S)
        return passed


@pytest.fixture
def loaded_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller, too, is taken off its core: between its request and waiting for the answer."""
    made, send = Association.__init__, DIMSEServiceProvider.send_msg

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        if self.is_requestor:
            self._reactor_checkpoint = _LateCheckpoint()
            self._reactor_checkpoint.set()

    def send_and_lose_core(self: DIMSEServiceProvider, *arguments: Any) -> None:
        send(self, *arguments)
        if self.assoc.is_requestor:
            time.sleep(2 * ANSWERED_S)

    monkeypatch.setattr(Association, "__init__", init)
    monkeypatch.setattr(DIMSEServiceProvider, "send_msg", send_and_lose_core)


@pytest.fixture
def parcels(tmp_path: Path) -> list[Parcel]:
    found = []
    for number in range(2):
        path = tmp_path / f"{number}.dcm"
        pydicom.dcmwrite(path, data_set("map", "1.2.3", "1.2.3.4", number), enforce_file_format=True)
        found.append(Parcel(CLASSES["map"], path))
    return found


@pytest.mark.usefixtures("loaded_machine")
def test_a_late_thread_of_the_library_takes_no_answer(parcels: list[Parcel], tmp_path: Path) -> None:
    with Archive(tmp_path / "archive") as archive:
        pacs = Destination(name="pacs", ae_title=archive.ae_title, host="127.0.0.1", port=archive.port)
        peer = Peer(pacs, PATIENCE_S)
        with peer.storing(parcels) as storing:
            assert [storing.store(parcel).verdict for parcel in parcels] == [Verdict.SENT] * 2
        peer.echo()
        assert len(peer.held([("1.2.3", "1.2.3.4")])) == 2


@pytest.mark.usefixtures("loaded_machine")
def test_nor_one_of_several_associations(parcels: list[Parcel], tmp_path: Path) -> None:
    with Archive(tmp_path / "archive") as archive:
        there = modality.destination(f"{archive.ae_title}@127.0.0.1:{archive.port}", "SCANNER")
        counted: list[tuple[int, int]] = []
        sent = modality.send([[one.path] for one in parcels], there, lambda *done: counted.append(done), 2)
        assert len(archive.stored()) == sent.taken == 2
        assert counted == [(1, 2), (2, 2)]
