"""Real peers of the service tests, started on loopback as children: Debian's Orthanc as the PACS, PostgreSQL."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.postgres import Postgres

START_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Orthanc:
    """Debian's Orthanc with a storage of its own; `stop` and `start` keep what it has."""

    ae_title = "ORTHANC"
    host = "127.0.0.1"

    def __init__(self, program: str, folder: Path, callers: tuple[str, ...] = ("BETZ",), **settings: Any) -> None:
        self._program = program
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.http_port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": self.port,
            "DicomAet": self.ae_title,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomModalities": {
                name: {"AET": name, "Host": "127.0.0.1", "Port": 1, "AllowFind": True, "AllowGet": True}
                for name in callers
            },
            "OverwriteInstances": True,
            "StableAge": 1,
            "SaveJobs": False,
            **settings,
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))

    def start(self) -> None:
        """Start and wait until it answers."""
        log = (self._folder / "orthanc.log").open("ab")
        with log:
            self._child = subprocess.Popen([self._program, str(self._folder / "orthanc.json")], stdout=log, stderr=log)
        until = time.monotonic() + START_WITHIN_S
        while time.monotonic() < until:
            try:
                self.rest("/system")
                socket.create_connection((self.host, self.port), 1).close()
            except OSError:
                assert self._child.poll() is None, (self._folder / "orthanc.log").read_text()
                time.sleep(0.05)
            else:
                return
        raise AssertionError("Orthanc does not answer: " + (self._folder / "orthanc.log").read_text())

    def stop(self) -> None:
        """End it; what it stored stays."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait(STOP_WITHIN_S)
            self._child = None

    def kill(self) -> None:
        """End it at once; what it stored may be gone."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(STOP_WITHIN_S)
            self._child = None

    def rest(self, path: str) -> Any:
        """Answer of its REST interface."""
        with urllib.request.urlopen(f"http://{self.host}:{self.http_port}{path}", timeout=5) as answer:
            return json.load(answer)

    def instances(self) -> set[str]:
        """SOP Instance UIDs that it has."""
        rows = self.rest("/instances?expand")
        return {row["MainDicomTags"]["SOPInstanceUID"] for row in rows}


@pytest.fixture
def start_orthanc(program: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Start Orthancs, each with a storage of its own; keyword arguments are its settings, `callers` who may query."""
    started: list[Orthanc] = []

    def start(**settings: Any) -> Orthanc:
        one = Orthanc(program("Orthanc"), tmp_path / f"orthanc-{len(started)}", **settings)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def orthanc(start_orthanc: Callable[..., Orthanc]) -> Orthanc:
    """A running Orthanc that lets BETZ store, query and retrieve."""
    return start_orthanc()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL, one for all tests."""
    server = Postgres(free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty ledger, on each database that Betz supports."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'betz.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()
