"""What sends to the receiver in its tests: data sets, DCMTK's storescu; and receivers as processes of their own."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from tests.service.conftest import free_port

START_WITHIN_S = 30.0
STOP_WITHIN_S = 40.0


def encoded(data_set: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Bytes of a data set alone, as they travel in a C-STORE."""
    file = io.BytesIO()
    written(data_set, file, syntax)
    return behind_meta(file.getvalue())


def written(data_set: Dataset, file: io.BytesIO | Path, syntax: str = ExplicitVRLittleEndian) -> None:
    """Write a data set as a file for storescu."""
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    pydicom.dcmwrite(file, data_set, enforce_file_format=True)


def data_set_of(path: Path) -> bytes:
    """Bytes of a file behind its file meta group."""
    return behind_meta(path.read_bytes())


def behind_meta(content: bytes) -> bytes:
    """What follows the file meta group, by the group length (0002,0000) that comes first in it."""
    (length,) = struct.unpack_from("<L", content, 140)
    return content[144 + length :]


class Receivers:
    """Receiver processes on one port, started as the supervisor starts them."""

    def __init__(self, folder: Path, processes: int = 1, peers: Sequence[str] = ("SCANNER",), more: str = "") -> None:
        self.port = free_port()
        self.spool = folder / "spool"
        self.config = folder / "betz.toml"
        self.log = folder / "betz.log"
        self.children: list[subprocess.Popen[bytes]] = []
        folder.mkdir(exist_ok=True)
        listed = "".join(f'[[receive.peers]]\nae_title = "{peer}"\n' for peer in peers)
        self.config.write_text(
            f'[spool]\npath = "{self.spool}"\nreserve_mb = 1\n'
            f'[receive]\nhost = "127.0.0.1"\nport = {self.port}\n{more}\n{listed}'
        )
        for _ in range(processes):
            self.start()
        self.wait_for("receiver.listening", processes)

    def __enter__(self) -> Receivers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.spool.parent / 'betz.db'}"

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = (sys.executable, "-m", "service.supervise", "receive", str(self.config))
            self.children.append(subprocess.Popen(command, stdout=log, stderr=log))
        return self.children[-1]

    def wait_for(self, text: str, times: int = 1) -> None:
        until = time.monotonic() + START_WITHIN_S
        while self.log.read_text().count(text) < times:
            assert time.monotonic() < until, self.log.read_text()
            assert all(child.poll() is None for child in self.children), self.log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        for child in self.children:
            child.send_signal(signal.SIGKILL)
            child.wait()
        self.children.clear()

    def stop(self) -> None:
        for child in self.children:
            child.terminate()
        codes = [child.wait(STOP_WITHIN_S) for child in self.children]
        self.children.clear()
        assert all(code == 0 for code in codes), self.log.read_text()

    def stored(self) -> list[Path]:
        return sorted(self.spool.glob("studies/*/*/*.dcm"))

    def quarantined(self) -> list[Path]:
        return sorted(self.spool.glob("quarantine/*/*.dcm"))


def storescu(program: str, port: int, what: Sequence[Path], *options: str) -> subprocess.Popen[str]:
    """Start DCMTK's storescu on files or folders; its log names each instance and the response to it."""
    command = (program, "-v", "-aet", "SCANNER", "-aec", "BETZ", "+sd", *options, "127.0.0.1", str(port))
    environment = {**os.environ, "TCP_NODELAY": "1"}  # else each response waits for a delayed acknowledgement
    return subprocess.Popen(
        (*command, *map(str, what)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def acknowledged(log: str) -> list[Path]:
    """Files for which storescu's log has a Success."""
    found, sending = [], None
    for line in log.splitlines():
        if "Sending file:" in line:
            sending = Path(line.split("Sending file:", 1)[1].strip())
        if "Received Store Response (Success)" in line and sending is not None:
            found.append(sending)
    return found


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
