"""One job as a child process: started with its thread limits, watched for time and memory, measured, ended when over.

The child is a session of its own, so that all it starts can be ended with it, and it dies with its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from service.order import OUTCOME_FILE, Ending, Order, Outcome, write_json

ORDER_FILE = "order.json"
PROGRESS_FILE = "progress.json"
CANCEL_FILE = "cancel"
LOG_FILE = "log.txt"
TEMPORARY_FOLDER = "tmp"
PARENT_VARIABLE = "BETZ_PARENT"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
LOOK_EVERY_S = 0.2  # how often memory and time are looked at: a look costs about 1 ms
FIRST_LOOK_S = 0.02  # and soon after the start, each look twice as late as the one before: short jobs are measured too
MB = 2**20
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker needs to run a job: a command that takes the order's path, the job's own folder, and its limits."""

    job_id: str
    command: tuple[str, ...]
    scratch: str
    threads: int
    memory_mb: int
    time_limit_s: float

    @property
    def folder(self) -> Path:
        """The attempt's own folder: order, outcome, progress, log."""
        return Path(self.scratch)


@dataclass(slots=True)
class _Use:
    """What the child has used so far."""

    peak_bytes: int = 0
    cpu_s: float = 0.0
    overrun: str = ""
    cancelled: bool = False


def run(task: Task) -> Outcome:
    """Run the job of `task` to its end, whatever that is; never raises for what the child does."""
    order = Order.read(task.folder / ORDER_FILE)
    start = time.monotonic()
    note_progress(task.folder, 0.0, "starting")
    use = _Use()
    with _private_folder(task.folder) as private, (task.folder / LOG_FILE).open("wb") as log:
        process = subprocess.Popen(
            [*task.command, str(task.folder / ORDER_FILE)],
            cwd=private,
            env=_environment(task, private),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _watch(process, task, use)
        finally:
            if process.returncode is None:
                _kill_session(process.pid)
                process.wait()
    outcome = _outcome(order, task, process.returncode, use)
    return replace(
        outcome, cpu_s=use.cpu_s, peak_mb=max(use.peak_bytes / MB, outcome.peak_mb), wall_s=time.monotonic() - start
    )


def cancel(folder: Path) -> None:
    """Ask whoever watches the job in `folder` to end it."""
    (folder / CANCEL_FILE).touch()


def note_progress(folder: Path, fraction: float, sentence: str) -> None:
    """Write how far a job has come; the file's existence says that it was started."""
    write_json(folder / PROGRESS_FILE, {"fraction": round(fraction, 4), "sentence": sentence})


def progress(folder: Path) -> tuple[float, str] | None:
    """How far the job in `folder` has come (0 to 1) and what it is doing; None when it has not started."""
    try:
        values = json.loads((folder / PROGRESS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return float(values["fraction"]), str(values["sentence"])


def die_with_parent() -> None:
    """Make the kernel end this process when the one that watches it ends (prctl(2)); nothing when nobody does."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it ended before we could ask
        os.kill(os.getpid(), signal.SIGKILL)


def own_peak_mb() -> float:
    """Largest resident size of this process so far.

    VmHWM, not ru_maxrss: the latter begins at the size of the process that forked us.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MB
    return 0.0


@contextmanager
def _private_folder(scratch: Path) -> Iterator[Path]:
    private = scratch / TEMPORARY_FOLDER
    shutil.rmtree(private, ignore_errors=True)
    private.mkdir(mode=0o700)
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _environment(task: Task, private: Path) -> dict[str, str]:
    threads = dict.fromkeys(THREAD_VARIABLES, str(task.threads))
    return {**os.environ, **threads, "TMPDIR": str(private), PARENT_VARIABLE: str(os.getpid())}


def _watch(process: subprocess.Popen[bytes], task: Task, use: _Use) -> None:
    """Wait for the end of the child; end it when it is over a limit or cancelled."""
    deadline = time.monotonic() + task.time_limit_s
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        look_after_s = FIRST_LOOK_S
        while not poll.poll(look_after_s * 1000):
            look_after_s = min(2 * look_after_s, LOOK_EVERY_S)
            use.peak_bytes = max(use.peak_bytes, _resident_bytes(process.pid))
            if use.peak_bytes > task.memory_mb * MB:
                use.overrun = f"it needed more than its {task.memory_mb} MB of memory"
            elif time.monotonic() > deadline:
                use.overrun = f"it took longer than its {task.time_limit_s:g} s"
            use.cancelled = (task.folder / CANCEL_FILE).exists()
            if use.overrun or use.cancelled:
                break
        _kill_session(process.pid)  # before it is waited for: until then nobody else can get its number
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        os.close(descriptor)
    process.returncode = os.waitstatus_to_exitcode(status)
    use.cpu_s = usage.ru_utime + usage.ru_stime


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process and all that descend from it."""
    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += int(member.memory_info().rss)
        except psutil.NoSuchProcess:  # ended while we looked
            continue
    return total


def _kill_session(leader: int) -> None:
    """End `leader` and every process of its session, also those that left its process group."""
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _outcome(order: Order, task: Task, code: int, use: _Use) -> Outcome:
    if use.overrun:
        return Outcome.of(order, Ending.DEAD, f"{order.analysis} was ended: {use.overrun}")
    if use.cancelled:
        return Outcome.of(order, Ending.CANCELLED, "superseded while it ran")
    if code == 0:
        try:
            return Outcome.read(task.folder / OUTCOME_FILE)
        except (OSError, ValueError, KeyError, TypeError):
            return Outcome.of(order, Ending.FAILED, f"{order.analysis} ended without an outcome")
    how = f"was ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
    return Outcome.of(order, Ending.FAILED, f"the process of {order.analysis} {how}")
