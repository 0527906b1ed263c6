"""The conductor: studies that settled are classified, planned, run and reported; every step is a row in the ledger.

One process does this, in a loop of short looks. It keeps nothing that the ledger does not have: it can stop anywhere.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from analyses.contract import Analysis, Body, RoleKind
from analyses.registry import ANALYSES
from dicom_io.header import SeriesHeader, Unreadable
from service import child, headers, jobs, settle
from service.assign import Assigner, Held
from service.child import Task
from service.config import Config
from service.engine import Engine
from service.fault import path_to
from service.ledger import Ledger, Row, series, studies
from service.ledger import jobs as job_rows
from service.order import OUTCOME_FILE, REPORT, Ending, Outcome
from service.plan import Candidate
from service.routing import TWO_PATIENTS, examine, plan_study, rules_of
from service.spool import Spool
from service.states import Event, JobState, Kind, NotAllowed, SeriesState, StudyState

LOOK_EVERY_S = 0.25
AGAIN_AFTER_S = 60.0  # a study whose planning broke off is tried again, without filling the log
JOB_COMMAND = (sys.executable, "-P", "-m", "service.job")
JOBS_FOLDER = "jobs"

LOG = logging.getLogger("betz.conduct")


def run(config: Config, stop: threading.Event) -> None:
    """Conduct until `stop`; jobs that run then are ended and done again after the next start."""
    settings = config.engine
    ledger = Ledger(config.ledger_url)
    with Engine(
        workers=settings.workers,
        threads=settings.threads,
        memory_mb=settings.memory_mb,
        scheduler=settings.scheduler,
    ) as engine:
        conductor = Conductor(config, ledger, Spool(config.spool.path), engine)
        while not stop.wait(LOOK_EVERY_S):
            conductor.step()
        conductor.pause()
    ledger.close()


class Conductor:
    """Moves every study one step on, as far as it can go now."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        spool: Spool,
        engine: Engine,
        analyses: Sequence[Analysis] = ANALYSES,
        command: tuple[str, ...] = JOB_COMMAND,
    ) -> None:
        """`command` is what starts a job's process; the order's path is added to it."""
        self.config = config
        self.ledger = ledger
        self.spool = spool
        self.engine = engine
        self.analyses = tuple(analyses)
        self.command = command
        self.assigner = Assigner(config, ledger, spool, {analysis.name: analysis for analysis in analyses})
        self._not_before: dict[str, float] = {}

    def step(self) -> None:
        """Look once at everything; a fault in one study is logged and stays there."""
        with self._rim("settling"):
            settle.reconcile(self.ledger, self.spool)
            settle.settle_due(self.ledger, self.spool, self.config, time.time())
        self._each_study(StudyState.SETTLED, self._plan)
        self._each_job((JobState.RUNNING,), self._note_loss)
        self._each_job((JobState.WAITING, JobState.FAILED, JobState.QUEUED), self._submit)
        self._each_job((JobState.QUEUED,), self._note_start)
        for outcome in self.engine.collect():
            with self._rim("collecting", outcome.job_id):
                self._collect(outcome)
        self._each_study(StudyState.RUNNING, self._conclude)

    def pause(self) -> None:
        """Give up the jobs that run, without blaming them."""
        for job in self._jobs((JobState.RUNNING,)):
            columns = {"attempts": job["attempts"] - 1, "next_try_at": 0.0}
            self.ledger.try_move(Kind.JOB, job["job_id"], Event.WORKER_LOST, "Betz was stopped while it ran", **columns)

    # one study

    def _plan(self, study: Row) -> None:
        """Classify the series of a settled study, and want the jobs that follow."""
        study_uid = study["study_uid"]
        held = self.assigner.instances(study_uid)
        candidates, unreadable = self._examine(held)
        wanted = self.assigner.wanted(study_uid, plan_study(candidates, self.analyses), held)
        with self.ledger.transaction() as connection:
            self._classified(connection, study_uid, candidates, unreadable)
            keep = {one.job_id for one in wanted}
            for job in jobs.of_study(self.ledger, study_uid):
                if job["analysis"] != REPORT and job["job_id"] not in keep:
                    self._supersede(connection, job, study["version"])
            for one in wanted:
                jobs.want(self.ledger, connection, study_uid, study["version"], one)
            summary = f"{sum(one.runnable for one in wanted)} of {len(wanted)} analyses can run"
            self.ledger.move(Kind.STUDY, study_uid, Event.PLANNED, summary, connection=connection)
            self.ledger.move(Kind.STUDY, study_uid, Event.STARTED, summary, connection=connection)

    def _examine(self, held: Held) -> tuple[tuple[Candidate, ...], dict[str, str]]:
        """Candidates of the study, and why the other series could not be read."""
        read: list[SeriesHeader] = []
        unreadable: dict[str, str] = {}
        torn: dict[str, str] = {}
        for series_uid, rows in held.items():
            try:
                header, bad = headers.read_series(self.spool.path / row["path"] for row in rows)
            except Unreadable as reason:
                unreadable[series_uid] = f"cannot be read: {reason}"
                continue
            read.append(header)
            if bad:
                torn[series_uid] = f"{len(bad)} of {len(rows)} instances cannot be read: {bad[0][1]}"
        candidates = examine(read, rules_of(self.assigner.rules))
        return tuple(_torn(one, torn.get(one[0].first.series_uid, "")) for one in candidates), unreadable

    def _classified(
        self,
        connection: sa.Connection,
        study_uid: str,
        candidates: Sequence[Candidate],
        unreadable: Mapping[str, str],
    ) -> None:
        found: dict[str, dict[str, Any]] = {
            header.first.series_uid: {
                "role": str(role.kind),
                "body": str(role.body),
                "reason": role.reason,
                "number": header.first.series_number,
                "description": header.first.series_description,
            }
            for header, role, _ in candidates
        }
        found |= {uid: _unknown(why) for uid, why in unreadable.items()}
        rows = connection.execute(sa.select(series).where(series.c.study_uid == study_uid)).mappings().all()
        for row in rows:
            columns = found.get(row["series_uid"], _unknown("it has no instances"))
            if row["state"] == SeriesState.SETTLED:
                reason = columns.pop("reason")
                self.ledger.move(
                    Kind.SERIES, row["series_uid"], Event.CLASSIFIED, reason, connection=connection, **columns
                )
            else:
                connection.execute(series.update().where(series.c.series_uid == row["series_uid"]).values(**columns))

    def _conclude(self, study: Row) -> None:
        """Report a study whose analyses have all ended; finish it when the report has ended too."""
        study_uid = study["study_uid"]
        all_jobs = jobs.of_study(self.ledger, study_uid)
        runs = [job for job in all_jobs if job["analysis"] != REPORT]
        if any(job["state"] not in jobs.ENDED and job["folder"] for job in runs):
            return
        if runs and all(job["reason"] == TWO_PATIENTS for job in runs):
            with self.ledger.transaction() as connection:  # what an earlier version found must not leave any more
                for job in all_jobs:
                    if job["analysis"] == REPORT:
                        self._supersede(connection, job, study["version"])
            self._finish(study_uid, TWO_PATIENTS)
            return
        if any(job["job_id"] in self.engine.jobs for job in all_jobs):
            return
        wanted = self.assigner.wanted_report(study_uid)
        report = next((job for job in all_jobs if job["job_id"] == wanted.job_id), None)
        if report is None:
            with self.ledger.transaction() as connection:
                for job in all_jobs:
                    if job["analysis"] == REPORT:
                        self._supersede(connection, job, study["version"])
                jobs.want(self.ledger, connection, study_uid, study["version"], wanted)
        elif report["state"] in jobs.ENDED:
            failed = report["state"] != JobState.DONE
            self._finish(study_uid, f"the report failed: {report['reason']}" if failed else "reported")

    def _finish(self, study_uid: str, reason: str) -> None:
        self.ledger.try_move(Kind.STUDY, study_uid, Event.FINISHED, reason, finished_at=time.time())

    def _supersede(self, connection: sa.Connection, job: Row, version: int) -> None:
        jobs.supersede(self.ledger, connection, job, f"replaced by version {version} of its study")
        if job["job_id"] in self.engine.jobs:
            self.engine.cancel(job["job_id"])

    # one job

    def _submit(self, job: Row) -> None:
        """Give a job to the engine, unless its results are there already."""
        if not job["folder"] or job["job_id"] in self.engine.jobs or job["next_try_at"] > time.time():
            return
        there = self.spool.path / job["folder"] / OUTCOME_FILE
        if not there.exists() and not self.assigner.is_current(job):
            return  # a late instance has come: the study is about to be planned again, and this job replaced
        if job["state"] != JobState.QUEUED:
            self.ledger.move(Kind.JOB, job["job_id"], Event.SUBMITTED, job["reason"])
        if there.exists():
            self._end(job["job_id"], Outcome.read(there))
            return
        order, cost = self.assigner.order(job), self.assigner.cost(job)
        scratch = self._scratch(job)
        order.write(scratch / child.ORDER_FILE)
        headers.hand_over(scratch, headers.take_over(scratch, order.series).values())
        self.engine.submit(
            Task(order.job_id, self.command, str(scratch), cost.threads, cost.memory_mb, cost.time_limit_s)
        )

    def _scratch(self, job: Row) -> Path:
        """A new folder for one attempt: a lost attempt may still be writing into its own."""
        folder = self.spool.path / JOBS_FOLDER / job["job_id"]
        folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{job['attempts'] + 1}-", dir=folder))

    def _note_start(self, job: Row) -> None:
        if job["job_id"] in self.engine.jobs and self.engine.started(job["job_id"]):
            self._start(job)

    def _note_loss(self, job: Row) -> None:
        """A job that runs for the ledger but not for the engine ran in a conductor or an engine that is no more."""
        if job["job_id"] not in self.engine.jobs:
            jobs.fail(self.ledger, job, "Betz or its engine stopped while it ran", event=Event.WORKER_LOST)

    def _start(self, job: Row) -> None:
        columns = {"attempts": job["attempts"] + 1, "started_at": time.time()}
        self.ledger.move(Kind.JOB, job["job_id"], Event.STARTED, job["reason"], **columns)

    def _collect(self, outcome: Outcome) -> None:
        self._end(outcome.job_id, outcome)
        folder = self.spool.path / JOBS_FOLDER / outcome.job_id
        if outcome.ending in (Ending.DONE, Ending.UNSUITABLE, Ending.CANCELLED):
            shutil.rmtree(folder, ignore_errors=True)
        for private in folder.glob(f"*/{child.TEMPORARY_FOLDER}"):  # of an attempt whose worker was killed
            shutil.rmtree(private, ignore_errors=True)

    def _end(self, job_id: str, outcome: Outcome) -> None:
        job = self._job(job_id)
        if job["state"] == JobState.QUEUED:
            self._start(job)
            job = self._job(job_id)
        if job["state"] != JobState.RUNNING:
            return  # superseded while it ran
        LOG.info(
            "job.ended job=%s study=%s ending=%s reason=%r", job_id, job["study_uid"], outcome.ending, outcome.reason
        )
        if outcome.ending is Ending.DONE:
            jobs.finish(self.ledger, self.config, job, outcome)
        elif outcome.ending is Ending.UNSUITABLE:
            jobs.refuse(self.ledger, job, outcome)
        elif outcome.ending is Ending.DEAD:
            jobs.bury(self.ledger, job, outcome.reason)
        else:
            jobs.fail(self.ledger, job, outcome.reason, outcome)

    # rows, and the rim

    def _job(self, job_id: str) -> Row:
        row = self.ledger.one(sa.select(job_rows).where(job_rows.c.job_id == job_id))
        if row is None:
            raise KeyError(job_id)
        return row

    def _jobs(self, states: Sequence[JobState]) -> list[Row]:
        return self.ledger.all(sa.select(job_rows).where(job_rows.c.state.in_(states)))

    def _each_job(self, states: Sequence[JobState], act: Callable[[Row], None]) -> None:
        for job in self._jobs(states):
            self._try("job", job["job_id"], act, job)

    def _each_study(self, state: StudyState, act: Callable[[Row], None]) -> None:
        for study in self.ledger.all(sa.select(studies).where(studies.c.state == state)):
            self._try("study", study["study_uid"], act, study)

    def _try(self, what: str, key: str, act: Callable[[Row], None], row: Row) -> None:
        if self._not_before.get(key, 0.0) > time.monotonic():
            return
        with self._rim(what, key):
            act(row)
            self._not_before.pop(key, None)

    @contextmanager
    def _rim(self, what: str, key: str = "") -> Iterator[None]:
        """Where faults of one study or job stop."""
        try:
            yield
        except NotAllowed as reason:
            LOG.info(
                "conduct.overtaken %s=%s reason=%r", what, key, str(reason)
            )  # somebody else was faster: the next look sees the new state
        except Exception as error:  # noqa: BLE001  the rim of a study or a job
            LOG.error("conduct.broke_off %s=%s again_in_s=%.0f fault=%r", what, key, AGAIN_AFTER_S, path_to(error))
            self._not_before[key] = time.monotonic() + AGAIN_AFTER_S


def _torn(candidate: Candidate, why: str) -> Candidate:
    """Return the candidate as an incomplete series that says so, where some of its instances cannot be read."""
    header, role, facts = candidate
    if not why:
        return candidate
    return header, replace(role, reason=f"{role.reason}; {why}"), replace(facts, complete=False, completeness=why)


def _unknown(reason: str) -> dict[str, Any]:
    return {"role": str(RoleKind.UNKNOWN), "body": str(Body.NONE), "reason": reason}
