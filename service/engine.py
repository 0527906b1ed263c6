"""Where jobs run: Dask `distributed` as queue and placement; each task is a child process (`service.child`).

A cluster of our own on this machine by default, or a site's scheduler. Tasks carry paths and small records, never
arrays. The ledger, not Dask, remembers: what was not done when the engine ends is submitted again.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import dask
import psutil
from distributed import Client, Future, KilledWorker, LocalCluster

from service import child
from service.child import MB, Task
from service.order import Ending, Order, Outcome

ALLOWED_FAILURES = 2  # Dask counts from nought: a job that killed three workers is dead
MEMORY_SHARE = 0.75  # of the machine's memory, for jobs
LOOPBACK = "127.0.0.1"
CPU = "cpu"
MEMORY = "memory_mb"
SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # an idle engine must cost nothing, and Dask looks after itself fifty times a second
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "30s",
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.client.scheduler-info-interval": "30s",
    "distributed.worker.memory.target": False,  # workers hold no data, the children are watched by us
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}


class Engine:
    """Runs tasks and tells how they ended; one thread uses it."""

    def __init__(
        self, *, workers: int = 1, threads: int = 0, memory_mb: int = 0, scheduler: str = "", processes: bool = True
    ) -> None:
        """Start a cluster on this machine, or join the one at `scheduler`.

        threads, memory_mb: in all, over all workers; 0 = all cores, three quarters of the memory. processes=False:
        the workers are threads of this process (jobs are child processes all the same): quick, for one study by hand.
        A site's workers must offer `cpu` and `memory_mb` (dask worker --resources "cpu=8 memory_mb=24000").
        """
        dask.config.set(SETTINGS)
        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._cluster: LocalCluster | None = None
        if not scheduler:
            self._cluster = _local_cluster(workers, threads or cores(), memory_mb or usable_memory_mb(), processes)
        self._client = Client(self._cluster or scheduler, set_as_default=False)
        self._running: dict[str, tuple[Task, Future[Outcome]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def jobs(self) -> frozenset[str]:
        """Jobs that were submitted and whose end was not collected yet."""
        return frozenset(self._running)

    def submit(self, task: Task) -> None:
        """Queue a task; a job that asks for more than any worker has runs alone, within what there is."""
        fitted = self._fitted(task)
        future = self._client.submit(
            run_task,
            asdict(fitted),
            key=f"{task.job_id}-{task.folder.name}",
            resources={CPU: fitted.threads, MEMORY: fitted.memory_mb},
            pure=False,
        )
        self._running[task.job_id] = (fitted, future)

    def started(self, job_id: str) -> bool:
        """Whether a worker has taken up the job."""
        return child.progress(self._running[job_id][0].folder) is not None

    def cancel(self, job_id: str) -> None:
        """End a job, also while it runs; it ends as CANCELLED."""
        task, future = self._running[job_id]
        child.cancel(task.folder)
        if not self.started(job_id):
            future.cancel()

    def collect(self) -> list[Outcome]:
        """The outcomes of the jobs that ended since the last call."""
        ended = [job_id for job_id, (_, future) in self._running.items() if future.done()]
        return [_outcome(*self._running.pop(job_id)) for job_id in ended]

    def close(self) -> None:
        """End the engine and every job that it runs."""
        for task, _ in self._running.values():
            child.cancel(task.folder)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _fitted(self, task: Task) -> Task:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        offers = [worker["resources"] for worker in workers if {CPU, MEMORY} <= worker["resources"].keys()]
        threads = max((int(offer[CPU]) for offer in offers), default=task.threads)
        memory_mb = max((int(offer[MEMORY]) for offer in offers), default=task.memory_mb)
        return Task(
            task.job_id,
            task.command,
            task.scratch,
            min(task.threads, threads),
            min(task.memory_mb, memory_mb),
            task.time_limit_s,
        )


def run_task(values: dict[str, Any]) -> Outcome:
    """What a Dask worker does: run the child process and return how it ended."""
    return child.run(Task(**{**values, "command": tuple(values["command"])}))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def usable_memory_mb() -> int:
    """Three quarters of the machine's memory."""
    return int(psutil.virtual_memory().total * MEMORY_SHARE / MB)


def _local_cluster(workers: int, threads: int, memory_mb: int, processes: bool) -> LocalCluster:
    each = max(1, threads // workers)
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=each,
        processes=processes,
        memory_limit=None,
        host=LOOPBACK if processes else None,
        dashboard_address=f"{LOOPBACK}:0",  # no pages are served there, but Dask listens all the same
        worker_dashboard_address=f"{LOOPBACK}:0",
        silence_logs=logging.ERROR,
        resources={CPU: each, MEMORY: memory_mb // workers},
    )


def _outcome(task: Task, future: Future[Outcome]) -> Outcome:
    order = Order.read(task.folder / child.ORDER_FILE)
    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    if future.status == "error":
        error = future.exception()
        if isinstance(error, KilledWorker):
            times = ALLOWED_FAILURES + 1
            return Outcome.of(order, Ending.DEAD, f"{order.analysis} took its worker down with it {times} times")
        return Outcome.of(order, Ending.FAILED, f"the engine could not run {order.analysis}: {type(error).__name__}")
    if (task.folder / child.CANCEL_FILE).exists():
        return Outcome.of(order, Ending.CANCELLED, "superseded before it ran")
    return Outcome.of(order, Ending.FAILED, f"the engine lost {order.analysis}: its scheduler went away")
