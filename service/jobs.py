"""Job rows of the ledger: which jobs a study version wants, how they end, and the results and deliveries that follow.

A job's id is a function of what it works on, so that wanting it again finds it again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.config import Config, Destination
from service.ledger import Ledger, Row, deliveries, jobs, results, studies
from service.order import Outcome
from service.spool import safe_name
from service.states import DeliveryState, Event, JobState, Kind, NotAllowed, StudyState

ATTEMPTS = 3
RETRY_AFTER_S = 10.0  # times the attempts so far
ENDED = (JobState.DONE, JobState.UNSUITABLE, JobState.DEAD)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that a study version wants; without `runnable` it waits, and the reason says for what."""

    analysis: str
    version: str
    digest: str
    inputs: Mapping[str, str]  # need -> series UID
    runnable: bool
    reason: str

    @property
    def job_id(self) -> str:
        """Name of the job, the same for the same work."""
        return f"{self.analysis}-{self.digest}"

    def folder(self, study_uid: str) -> str:
        """Results folder relative to the spool; "" for a job that cannot run."""
        return f"results/{safe_name(study_uid)}/{self.analysis}-{self.version}-{self.digest}" if self.runnable else ""


def digest_of(job: Row) -> str:
    """Return the digest that a job's id ends with."""
    return str(job["job_id"]).rpartition("-")[2]


def of_study(ledger: Ledger, study_uid: str) -> list[Row]:
    """Jobs of a study that were not superseded."""
    return ledger.all(
        sa.select(jobs)
        .where(jobs.c.study_uid == study_uid, jobs.c.state != JobState.SUPERSEDED)
        .order_by(jobs.c.job_id)
    )


def want(ledger: Ledger, connection: sa.Connection, study_uid: str, version: int, wanted: Wanted) -> None:
    """Make the job exist and belong to the newest study version: insert it, keep it, or take it up again."""
    row = connection.execute(sa.select(jobs).where(jobs.c.job_id == wanted.job_id)).mappings().first()
    if row is None:
        connection.execute(
            jobs.insert().values(
                job_id=wanted.job_id,
                study_uid=study_uid,
                study_version=version,
                analysis=wanted.analysis,
                analysis_version=wanted.version,
                inputs=json.dumps(dict(wanted.inputs), sort_keys=True),
                state=JobState.WAITING,
                reason=wanted.reason,
                created_at=time.time(),
                folder=wanted.folder(study_uid),
            )
        )
        ledger.note(connection, Kind.JOB, wanted.job_id, study_uid, Event.PLANNED, "", JobState.WAITING, wanted.reason)
        return
    if row["state"] == JobState.SUPERSEDED:
        ledger.move(Kind.JOB, wanted.job_id, Event.REPLAYED, wanted.reason, connection=connection, attempts=0)
    newest: dict[str, Any] = {"study_version": version}
    if row["state"] == JobState.WAITING and row["reason"] != wanted.reason:  # it waits for something else now
        newest["reason"] = wanted.reason
        ledger.note(
            connection, Kind.JOB, wanted.job_id, study_uid, Event.PLANNED, row["state"], row["state"], wanted.reason
        )
    connection.execute(jobs.update().where(jobs.c.job_id == wanted.job_id).values(**newest))


def supersede(ledger: Ledger, connection: sa.Connection, job: Row, reason: str) -> None:
    """Mark a job as replaced and withdraw those of its results that were not sent yet."""
    ledger.move(Kind.JOB, job["job_id"], Event.REPLACED, reason, connection=connection)
    unsent = connection.execute(
        sa.select(deliveries.c.id)
        .join(results, results.c.sop_instance_uid == deliveries.c.sop_instance_uid)
        .where(
            results.c.job_id == job["job_id"],
            deliveries.c.state.in_((DeliveryState.QUEUED, DeliveryState.HELD)),
        )
    ).scalars()
    for delivery in list(unsent):
        ledger.move(Kind.DELIVERY, delivery, Event.REPLACED, reason, connection=connection)


def finish(ledger: Ledger, config: Config, job: Row, outcome: Outcome) -> None:
    """Record a job that is done: its state, its results, and one delivery for each destination that takes them."""
    # the reason of an attempt that failed is no reason of the one that did not; its event keeps it
    reason = job["reason"] if job["attempts"] <= 1 else f"done at attempt {job['attempts']}"
    with ledger.transaction() as connection:
        ledger.move(Kind.JOB, job["job_id"], Event.FINISHED, reason, connection=connection, **_spent(outcome))
        for one in outcome.objects:
            values = {
                "sop_instance_uid": one.sop_instance_uid,
                "sop_class_uid": one.sop_class_uid,
                "series_uid": one.series_uid,
                "study_uid": job["study_uid"],
                "job_id": job["job_id"],
                "kind": one.kind,
                "path": f"{job['folder']}/{one.file}",
                "sha256": one.sha256,
            }
            connection.execute(results.delete().where(results.c.sop_instance_uid == one.sop_instance_uid))
            connection.execute(results.insert().values(**values))
            for destination in config.deliver.destinations:
                if one.kind in destination.kinds:
                    _queue(ledger, connection, job["study_uid"], one.sop_instance_uid, destination)


def _queue(
    ledger: Ledger, connection: sa.Connection, study_uid: str, sop_instance_uid: str, destination: Destination
) -> None:
    """Queue an object for a destination, once; one that was withdrawn is wanted again."""
    held = (
        connection.execute(
            sa.select(deliveries).where(
                deliveries.c.sop_instance_uid == sop_instance_uid, deliveries.c.destination == destination.name
            )
        )
        .mappings()
        .first()
    )
    if held is None:
        row = connection.execute(
            deliveries.insert().values(
                sop_instance_uid=sop_instance_uid,
                study_uid=study_uid,
                destination=destination.name,
                state=DeliveryState.QUEUED,
                queued_at=time.time(),
            )
        )
        (key,) = row.inserted_primary_key or (None,)
        ledger.note(connection, Kind.DELIVERY, str(key), study_uid, Event.SUBMITTED, "", DeliveryState.QUEUED)
    elif held["state"] == DeliveryState.WITHDRAWN:
        ledger.move(Kind.DELIVERY, held["id"], Event.REPLAYED, connection=connection, queued_at=time.time())


def refuse(ledger: Ledger, job: Row, outcome: Outcome) -> None:
    """Record a job whose data cannot answer."""
    ledger.move(Kind.JOB, job["job_id"], Event.REFUSED_INPUT, outcome.reason, **_spent(outcome))


def fail(ledger: Ledger, job: Row, reason: str, outcome: Outcome | None = None, event: Event = Event.RAISED) -> None:
    """Record a failed attempt; after the last one the job is dead."""
    spent: dict[str, Any] = _spent(outcome) if outcome else {}
    if job["attempts"] >= ATTEMPTS:
        bury(ledger, job, f"{reason} (tried {job['attempts']} times)", **spent)
        return
    again = time.time() + RETRY_AFTER_S * job["attempts"]
    ledger.move(Kind.JOB, job["job_id"], event, reason, next_try_at=again, **spent)


def bury(ledger: Ledger, job: Row, reason: str, **columns: Any) -> None:
    """Put a job among the dead, where a person finds it with its reason and can replay it."""
    ledger.move(Kind.JOB, job["job_id"], Event.GAVE_UP, reason, **{"ended_at": time.time(), **columns})


def replay(ledger: Ledger, spool: Path, job_id: str) -> None:
    """Let a job that ended run again, and its study with it; `NotAllowed` or KeyError when it cannot."""
    job = ledger.one(sa.select(jobs).where(jobs.c.job_id == job_id))
    if job is None:
        raise KeyError(job_id)
    if job["state"] not in ENDED or not job["folder"]:
        raise NotAllowed(f"{job_id} is {job['state']}: only a job that ended can be replayed")
    shutil.rmtree(spool / job["folder"], ignore_errors=True)  # else its old outcome would be found again
    with ledger.transaction() as connection:
        fresh: dict[str, Any] = {"attempts": 0, "next_try_at": 0.0}
        ledger.move(Kind.JOB, job_id, Event.REPLAYED, "replayed by hand", connection=connection, **fresh)
        study = sa.select(studies.c.state).where(studies.c.study_uid == job["study_uid"])
        if connection.execute(study).scalar() == StudyState.FINISHED:
            reason = f"{job_id} is replayed"
            ledger.move(Kind.STUDY, job["study_uid"], Event.REPLAYED, reason, connection=connection)


def _spent(outcome: Outcome) -> dict[str, Any]:
    return {"ended_at": time.time(), "cpu_s": round(outcome.cpu_s, 2), "peak_mb": round(outcome.peak_mb, 1)}
