"""The engine and the child processes it watches: every way a job can end, and what is left behind (nothing)."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from service import child
from service.child import Task
from service.engine import ALLOWED_FAILURES, Engine
from service.order import Ending, Order, Outcome

FAULTS = (sys.executable, "-P", str(Path(__file__).with_name("faults.py")))

MakeTask = Callable[..., Task]


@pytest.fixture
def task(tmp_path: Path) -> MakeTask:
    """A task whose process behaves as named (see faults.py)."""

    def make(behaviour: str, *, memory_mb: int = 2000, time_limit_s: float = 30.0, threads: int = 1) -> Task:
        name = behaviour.replace(" ", "-")
        scratch = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        order = Order(
            job_id=name,
            study_uid="1.2.3",
            study_version=1,
            analysis=behaviour,
            version="1",
            digest="ab",
            inputs={},
            series={},
            rules=(),
            folder=str(tmp_path / "results" / name),
            at=0.0,
            software_version="0",
            device_serial="d",
            timezone="",
            threads=threads,
        )
        order.write(scratch / child.ORDER_FILE)
        return Task(name, FAULTS, str(scratch), threads, memory_mb, time_limit_s)

    return make


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(workers=1, threads=2, memory_mb=4000) as running:
        yield running


def wait(engine: Engine, jobs: int = 1, patience_s: float = 60.0) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    deadline = time.monotonic() + patience_s
    while len(found) < jobs:
        assert time.monotonic() < deadline, f"only {sorted(found)} ended"
        time.sleep(0.05)
        found |= {outcome.job_id: outcome for outcome in engine.collect()}
    return found


def gone(pid: int) -> bool:
    """Whether a process ends within two seconds; a zombie that nobody waits for has ended."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_a_job_that_raises_has_failed_and_says_how_its_process_ended_without_the_error_s_text(task: MakeTask) -> None:
    outcome = child.run(task("raises"))
    assert outcome.ending is Ending.FAILED
    assert outcome.reason == "the process of raises ended with code 1"


def test_a_job_over_its_memory_is_dead_at_once_and_says_so(task: MakeTask) -> None:
    start = time.monotonic()
    outcome = child.run(task("hoards", memory_mb=300))
    assert outcome.ending is Ending.DEAD
    assert "more than its 300 MB" in outcome.reason
    assert outcome.peak_mb > 300
    assert time.monotonic() - start < 10


def test_memory_of_a_program_that_the_job_starts_counts(task: MakeTask) -> None:
    outcome = child.run(task("hoards through a child", memory_mb=300))
    assert outcome.ending is Ending.DEAD
    assert "more than its 300 MB" in outcome.reason
    assert not [p for p in psutil.Process().children(recursive=True) if p.memory_info().rss > 300 * child.MB]


def test_a_job_over_its_time_is_dead_at_once(task: MakeTask) -> None:
    start = time.monotonic()
    outcome = child.run(task("sleeps", time_limit_s=0.5))
    assert outcome.ending is Ending.DEAD
    assert "longer than its 0.5 s" in outcome.reason
    assert time.monotonic() - start < 5


def test_a_job_that_is_killed_has_failed_and_names_the_signal(task: MakeTask) -> None:
    outcome = child.run(task("kills itself"))
    assert outcome.ending is Ending.FAILED
    assert "SIGKILL" in outcome.reason


def test_a_job_without_an_outcome_has_failed(task: MakeTask) -> None:
    assert child.run(task("says nothing")).ending is Ending.FAILED


def test_what_a_job_leaves_running_is_ended_with_it(task: MakeTask) -> None:
    left = task("leaves a child behind")
    assert child.run(left).ending is Ending.DONE
    orphan = int((left.folder / "orphan").read_text())
    assert gone(orphan)


def test_the_private_folder_is_wiped_and_threads_are_limited(task: MakeTask) -> None:
    writes = task("writes in its folder", threads=3)
    assert child.run(writes).ending is Ending.DONE
    where, threads = (writes.folder / "where").read_text().split("\n")
    assert not Path(where).exists()
    assert Path(where).is_relative_to(writes.folder)
    assert threads == "3"


def test_cpu_seconds_of_a_job_are_its_own(task: MakeTask) -> None:
    computing = child.run(task("computes"))
    assert 0.5 <= computing.cpu_s < 2.0
    assert child.run(task("sleeps", time_limit_s=0.5)).cpu_s < 0.5


def test_the_engine_runs_jobs_and_says_which_data_was_unsuitable(engine: Engine, task: MakeTask) -> None:
    engine.submit(task("is unsuitable"))
    engine.submit(task("computes"))
    found = wait(engine, 2)
    assert found["is-unsuitable"].ending is Ending.UNSUITABLE
    assert found["is-unsuitable"].reason == "is unsuitable"
    assert found["computes"].ending is Ending.DONE


def test_two_jobs_that_need_all_memory_run_one_after_the_other(engine: Engine, task: MakeTask) -> None:
    first, second = task("sleeps", memory_mb=3000, time_limit_s=1.0), task("computes", memory_mb=3000)
    engine.submit(first)
    engine.submit(second)
    while not (engine.started("sleeps") or engine.started("computes")):
        time.sleep(0.02)
    time.sleep(0.4)
    assert engine.started("sleeps") != engine.started("computes")
    assert len(wait(engine, 2)) == 2


def test_a_job_that_asks_for_more_than_there_is_runs_within_what_there_is(engine: Engine, task: MakeTask) -> None:
    engine.submit(task("writes in its folder", memory_mb=10**6, threads=64))
    assert wait(engine)["writes-in-its-folder"].ending is Ending.DONE


def test_a_cancelled_job_ends_while_it_runs(engine: Engine, task: MakeTask) -> None:
    engine.submit(task("sleeps"))
    while not engine.started("sleeps"):
        time.sleep(0.02)
    engine.cancel("sleeps")
    assert wait(engine, patience_s=5)["sleeps"].ending is Ending.CANCELLED


def test_a_job_cancelled_before_it_runs_never_runs(engine: Engine, task: MakeTask) -> None:
    engine.submit(task("sleeps", memory_mb=4000, time_limit_s=1.0))
    engine.submit(task("computes", memory_mb=4000))
    engine.cancel("computes")
    found = wait(engine, 2)
    assert found["computes"].ending is Ending.CANCELLED
    assert found["computes"].cpu_s == 0


def test_a_killed_worker_is_replaced_and_its_job_is_done_by_another(engine: Engine, task: MakeTask) -> None:
    slow = task("sleeps", time_limit_s=2.0)
    engine.submit(slow)
    while not engine.started("sleeps"):
        time.sleep(0.02)
    (watched,) = (p for p in psutil.Process().children(recursive=True) if "faults.py" in " ".join(p.cmdline()))
    worker = watched.parent()
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert wait(engine)["sleeps"].reason.endswith("longer than its 2 s")  # it ran again, to its own end
    assert not watched.is_running()  # the kernel ended it with the worker that watched it


def test_a_job_that_takes_three_workers_down_is_dead_and_the_engine_goes_on(engine: Engine, task: MakeTask) -> None:
    poison = task("kills its worker")
    engine.submit(poison)
    outcome = wait(engine)["kills-its-worker"]
    assert outcome.ending is Ending.DEAD
    assert f"{ALLOWED_FAILURES + 1} times" in outcome.reason
    engine.submit(task("computes"))
    assert wait(engine)["computes"].ending is Ending.DONE


def test_closing_the_engine_ends_the_jobs_that_run(task: MakeTask) -> None:
    with Engine(processes=False, threads=1, memory_mb=1000) as short:
        short.submit(task("sleeps"))
        while not short.started("sleeps"):
            time.sleep(0.02)
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert not [p for p in psutil.Process().children(recursive=True) if "faults.py" in " ".join(p.cmdline())]
