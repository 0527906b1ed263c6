"""The path on a real study: `betz serve` gets it over four associations and returns its results to an archive.

Rows are `path.*`. The settle time is taken out: it is a wait that a site chooses. The limit of the same run is the work
itself: wall and CPU seconds of the jobs' own processes. What the path adds to it should stay small.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import sqlalchemy as sa

from bench.row import Better, Row, absolute, against
from dicom_io.header import read_folder
from service import demo, tables
from service.archive import Archive
from service.config import load
from service.ledger import Ledger
from service.states import Event, Kind

STUDY = Path(os.environ.get("BETZ_DATA", Path.home() / ".cache" / "betz-data")) / "philips-elition-study"
MEMORY_LIMIT_MB = 4096  # the whole chain of a study, all processes together
LOOK_EVERY_S = 0.5  # looking at a tree of processes costs 20 ms; oftener it would slow what it measures
MB = 2**20


@dataclass(frozen=True, slots=True)
class Run:
    """What one study cost from its first object to its last result."""

    to_archive_s: float  # study settled -> last result stored in the archive
    jobs_s: float  # wall seconds of the jobs' own processes, one after the other
    receive_s: float
    objects: int
    cpu_s: float  # of all processes of the service, start to stop
    jobs_cpu_s: float
    peak_mb: float  # resident, all processes of the service together


def rows() -> Iterator[Row]:
    """Yield the rows of one run; nothing where the real study is not unpacked."""
    if not STUDY.is_dir():
        return
    with tempfile.TemporaryDirectory() as folder:
        run = measure(Path(folder))
    note = f"settled to archive; {run.objects} objects received in {run.receive_s:.1f} s; peer: the jobs alone"
    yield against("path.seconds", run.to_archive_s, run.jobs_s, Better.AT_MOST, 1.5, "s", note=note)
    note = "all processes, start to stop, receiving included; peer: the jobs alone"
    yield against("path.cpu", run.cpu_s, run.jobs_cpu_s, Better.AT_MOST, 3.0, "s", note=note)
    yield absolute("path.memory", run.peak_mb, Better.AT_MOST, MEMORY_LIMIT_MB, "MB", note="resident, all processes")


def measure(folder: Path) -> Run:
    """Send the study once and watch what it costs."""
    archive_port, receive_port, status_port = (demo.free_port() for _ in range(3))
    config = demo.write_config(folder, archive_port, receive_port, status_port)
    series = read_folder(STUDY).series
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = _Peak()
    with (
        Archive(folder / "archive", port=archive_port),
        contextlib.redirect_stdout(io.StringIO()),
        demo.serving(config, folder / "betz.log", status_port),
        peak,
    ):
        start = time.monotonic()
        demo.send(series, receive_port)
        receive_s = time.monotonic() - start
        demo.wait(config)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    ledger = Ledger(load(config).ledger_url)
    try:
        settled = ledger.one(
            sa.select(sa.func.max(tables.events.c.at).label("at")).where(
                tables.events.c.kind == Kind.STUDY, tables.events.c.event == Event.SETTLED
            )
        )
        sent = ledger.one(sa.select(sa.func.max(tables.deliveries.c.sent_at).label("at")))
        jobs = ledger.all(sa.select(tables.jobs).where(tables.jobs.c.state == "done"))
    finally:
        ledger.close()
    if settled is None or sent is None:
        raise RuntimeError("the study was not settled or nothing was sent")
    return Run(
        to_archive_s=sent["at"] - settled["at"],
        jobs_s=sum(job["ended_at"] - job["started_at"] for job in jobs),
        receive_s=receive_s,
        objects=sum(len(one.instances) for one in series),
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        jobs_cpu_s=sum(job["cpu_s"] for job in jobs),
        peak_mb=peak.mb,
    )


class _Peak:
    """Largest resident memory of all processes below this one, while the block runs."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            total = 0
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
            self.mb = max(self.mb, total / MB)
