"""A PostgreSQL of the tests' own: Debian's programs, a data folder that goes away, loopback, a port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

PROGRAMS = "/usr/lib/postgresql/*/bin"
USER = "postgres"  # the server refuses to run as root
START_WITHIN_S = 30.0


class Postgres:
    """One server; `database` empties its database and returns the URL."""

    def __init__(self, port: int) -> None:
        found = sorted(Path("/").glob(f"{PROGRAMS[1:]}/initdb"))
        assert found, "PostgreSQL is missing: run deploy/test-packages.sh"
        self._programs = found[-1].parent
        self._folder = Path(tempfile.mkdtemp(prefix="betz-postgres-"))
        self._as: dict[str, Any] = {"cwd": self._folder}
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._port = port
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        data = str(self._folder / "data")
        make = (str(self._programs / "initdb"), "-D", data, "-U", "betz", "-A", "trust", "-E", "UTF8", "--no-sync")
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, **self._as)
        options = {"listen_addresses": "127.0.0.1", "port": self._port, "unix_socket_directories": "", "fsync": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("wb") as log:
            command = (str(self._programs / "postgres"), "-D", data, *settings)
            self._server = subprocess.Popen(command, stdout=log, stderr=log, **self._as)
        until = time.monotonic() + START_WITHIN_S
        ready = (str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port))
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < until, (self._folder / "log").read_text()
            assert self._server.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)  # its data is thrown away: no checkpoint
            self._server.wait(START_WITHIN_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def database(self) -> str:
        """URL of a database that is empty now: always the same one, emptied; making new ones takes longer."""
        url = f"postgresql+pg8000://betz@127.0.0.1:{self._port}/postgres"
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()
        return url
