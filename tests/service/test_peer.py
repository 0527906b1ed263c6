"""A peer's answer reaches who waits for it, however the threads of the network library are scheduled."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Callable
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
from tests.service.conftest import free_port
from tests.service.senders import listens
from tests.service.synthetic import CLASSES, data_set

OBJECTS = 12
DELAYED_ACKNOWLEDGEMENT_S = 0.04  # Linux, TCP_DELACK_MIN
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


@pytest.mark.integration
def test_a_peer_that_answers_in_two_parts_does_not_wait_for_our_acknowledgement(
    parcels: list[Parcel], program: Callable[[str], str], tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "stored").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}  # as most run it
    command = [program("storescp"), "-od", str(tmp_path / "stored"), "-aet", "STORE", str(port)]
    with subprocess.Popen(command, env=environment) as child:
        try:
            end = time.monotonic() + PATIENCE_S
            while not listens(port) and time.monotonic() < end:
                time.sleep(0.05)
            there = modality.destination(f"STORE@127.0.0.1:{port}", "SCANNER")
            answered: list[float] = []
            share = [parcels[0].path] * OBJECTS
            assert modality.send([share], there, lambda *_: answered.append(time.monotonic())).taken == OBJECTS
        finally:
            child.terminate()
    assert min(later - one for one, later in itertools.pairwise(answered)) < DELAYED_ACKNOWLEDGEMENT_S
