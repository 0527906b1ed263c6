"""What the service is doing now, read from ledger and disk: for the status page and `/status`.

Nothing about a patient: studies are shortened UIDs and the dates of their arrival.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from analyses.contract import Body
from service import __version__
from service.config import Config, Destination
from service.ledger import Ledger, Row
from service.states import DeliveryState, JobState, StudyState
from service.status.wording import count, duration
from service.tables import associations, deliveries, jobs, series, studies

STUDIES_SHOWN = 50
JOBS_SHOWN = 100
DAY_S = 86400.0
UNFINISHED_JOBS = (JobState.RUNNING, JobState.QUEUED, JobState.WAITING, JobState.FAILED)
JOB_WORDS = {
    JobState.RUNNING: "running",
    JobState.QUEUED: "queued",
    JobState.WAITING: "waiting",
    JobState.FAILED: "to be tried again",
}
UNDELIVERED = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.HELD)


@dataclass(frozen=True, slots=True)
class Disk:
    """Room in the spool's file system, bytes; below the reserve nothing is received."""

    free: int
    total: int
    reserve: int

    @property
    def enough(self) -> bool:
        """Whether the receiver still takes objects."""
        return self.free >= self.reserve

    @property
    def used_fraction(self) -> float:
        """0 … 1."""
        return 1 - self.free / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One study: where it is, and what waits for what."""

    study_uid: str
    state: StudyState
    version: int
    first_at: float
    last_at: float
    instances: int
    series: tuple[tuple[str, int], ...]  # (role and body, how many)
    jobs: tuple[tuple[JobState, int], ...]
    deliveries: tuple[tuple[DeliveryState, int], ...]
    waits: str  # a sentence; empty when nothing is left to do


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job that is not finished."""

    job_id: str
    study_uid: str
    analysis: str
    state: JobState
    reason: str
    since: float
    attempts: int
    next_try_at: float


@dataclass(frozen=True, slots=True)
class DestinationLine:
    """One destination: how it is, and how much is on its way to it."""

    name: str
    place: str  # AE title and address; empty when it is no longer in the configuration
    kinds: tuple[str, ...]
    confirm: bool
    state: str  # idle, working, held, unknown
    counts: tuple[tuple[DeliveryState, int], ...]
    trouble: str  # why it is held
    next_try_at: float | None
    oldest_at: float | None  # of what is not delivered yet
    delivered_at: float | None  # the newest Success


@dataclass(frozen=True, slots=True)
class AssociationLine:
    """An association that a sender has open."""

    calling_ae: str
    address: str
    started_at: float


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the first page."""

    at: float
    site: str
    version: str
    disk: Disk
    studies_by_state: dict[StudyState, int]
    jobs_by_state: dict[JobState, int]
    deliveries_by_state: dict[DeliveryState, int]
    received_today: int  # studies whose first instance came within a day
    oldest_job_at: float | None
    oldest_delivery_at: float | None
    studies: tuple[StudyLine, ...]
    jobs: tuple[JobLine, ...]
    destinations: tuple[DestinationLine, ...]
    associations: tuple[AssociationLine, ...]


def overview(ledger: Ledger, config: Config, now: float) -> Overview:
    """Read everything; `now` in UTC seconds."""
    lines = study_lines(ledger, config, now)
    return Overview(
        at=now,
        site=config.site.name,
        version=__version__,
        disk=disk(config),
        studies_by_state=_by_state(ledger, studies, StudyState),
        jobs_by_state=_by_state(ledger, jobs, JobState),
        deliveries_by_state=_by_state(ledger, deliveries, DeliveryState),
        received_today=_scalar(ledger, sa.select(sa.func.count()).where(studies.c.first_at > now - DAY_S)) or 0,
        oldest_job_at=_scalar(
            ledger, sa.select(sa.func.min(jobs.c.created_at)).where(jobs.c.state.in_(UNFINISHED_JOBS))
        ),
        oldest_delivery_at=_scalar(
            ledger, sa.select(sa.func.min(deliveries.c.queued_at)).where(deliveries.c.state.in_(UNDELIVERED))
        ),
        studies=lines,
        jobs=job_lines(ledger),
        destinations=destination_lines(ledger, config),
        associations=tuple(
            AssociationLine(row["calling_ae"], row["address"], row["started_at"])
            for row in ledger.all(
                sa.select(associations).where(associations.c.ended_at.is_(None)).order_by(associations.c.started_at)
            )
        ),
    )


def disk(config: Config) -> Disk:
    """Room for the spool; nothing is free where the folder is missing."""
    reserve = config.spool.reserve_mb * 2**20
    try:
        usage = shutil.disk_usage(config.spool.path)
    except OSError:
        return Disk(0, 0, reserve)
    return Disk(usage.free, usage.total, reserve)


def job_lines(ledger: Ledger) -> tuple[JobLine, ...]:
    """Jobs that are not finished, oldest first."""
    query = sa.select(jobs).where(jobs.c.state.in_(UNFINISHED_JOBS)).order_by(jobs.c.created_at).limit(JOBS_SHOWN)
    return tuple(
        JobLine(
            job_id=row["job_id"],
            study_uid=row["study_uid"],
            analysis=row["analysis"],
            state=JobState(row["state"]),
            reason=row["reason"],
            since=row["started_at"] if row["state"] == JobState.RUNNING and row["started_at"] else row["created_at"],
            attempts=row["attempts"],
            next_try_at=row["next_try_at"],
        )
        for row in ledger.all(query)
    )


def destination_lines(ledger: Ledger, config: Config) -> tuple[DestinationLine, ...]:
    """Destinations of the configuration, then those that only the ledger still knows."""
    held = deliveries.c.state == DeliveryState.HELD
    rows = ledger.all(
        sa.select(
            deliveries.c.destination,
            deliveries.c.state,
            sa.func.count().label("n"),
            sa.func.min(deliveries.c.queued_at).label("oldest"),
            sa.func.max(deliveries.c.sent_at).label("newest"),
            sa.func.min(sa.case((held, deliveries.c.next_try_at))).label("next"),
            sa.func.max(sa.case((held, deliveries.c.reason))).label("trouble"),
        ).group_by(deliveries.c.destination, deliveries.c.state)
    )
    by_name: dict[str, list[Row]] = {one.name: [] for one in config.deliver.destinations}
    for row in rows:
        by_name.setdefault(row["destination"], []).append(row)
    known = {one.name: one for one in config.deliver.destinations}
    return tuple(_destination_line(name, known.get(name), found) for name, found in by_name.items())


def _destination_line(name: str, destination: Destination | None, rows: Sequence[Row]) -> DestinationLine:
    counts = {DeliveryState(row["state"]): int(row["n"]) for row in rows}
    waiting = [row for row in rows if row["state"] in UNDELIVERED]
    held = next((row for row in rows if row["state"] == DeliveryState.HELD), None)
    if destination is None:
        state = "unknown"
    elif held is not None:
        state = "held"
    else:
        state = "working" if waiting else "idle"
    return DestinationLine(
        name=name,
        place=f"{destination.ae_title} at {destination.host}:{destination.port}" if destination else "",
        kinds=destination.kinds if destination else (),
        confirm=destination.confirm if destination else False,
        state=state,
        counts=_ordered(DeliveryState, counts),
        trouble=held["trouble"] if held else "",
        next_try_at=held["next"] if held else None,
        oldest_at=min((row["oldest"] for row in waiting), default=None),
        delivered_at=max((row["newest"] for row in rows if row["newest"]), default=None),
    )


def study_lines(ledger: Ledger, config: Config, now: float) -> tuple[StudyLine, ...]:
    """Studies, those with something left to do first, each group newest first."""
    finished = studies.c.state == StudyState.FINISHED
    query = sa.select(studies).order_by(finished, studies.c.last_instance_at.desc()).limit(STUDIES_SHOWN)
    rows = ledger.all(query)
    uids = [row["study_uid"] for row in rows]
    of_series = _grouped(ledger, series, uids, series.c.role, series.c.body, sa.func.sum(series.c.instances).label("i"))
    of_jobs = _grouped(ledger, jobs, uids, jobs.c.analysis, jobs.c.state, jobs.c.reason)
    of_deliveries = _grouped(ledger, deliveries, uids, deliveries.c.destination, deliveries.c.state)
    return tuple(
        _study_line(
            row, of_series[row["study_uid"]], of_jobs[row["study_uid"]], of_deliveries[row["study_uid"]], config, now
        )
        for row in rows
    )


def _study_line(
    row: Row, of_series: list[Row], of_jobs: list[Row], of_deliveries: list[Row], config: Config, now: float
) -> StudyLine:
    roles: dict[str, int] = defaultdict(int)
    for one in of_series:
        roles[role_name(one)] += one["n"]
    return StudyLine(
        study_uid=row["study_uid"],
        state=StudyState(row["state"]),
        version=row["version"],
        first_at=row["first_at"],
        last_at=row["last_instance_at"],
        instances=sum(int(one["i"] or 0) for one in of_series),
        series=tuple(sorted(roles.items())),
        jobs=_ordered(JobState, _summed(of_jobs)),
        deliveries=_ordered(DeliveryState, _summed(of_deliveries)),
        waits=waits(row, of_jobs, of_deliveries, config, now),
    )


def role_name(row: Row) -> str:
    """Role and body of a series in words; the body is left out where there is none."""
    if not row["role"]:
        return "not classified yet"
    return str(row["role"]) if row["body"] in (None, "", Body.NONE) else f"{row['role']} {row['body']}"


def waits(study: Row, of_jobs: Iterable[Row], of_deliveries: Iterable[Row], config: Config, now: float) -> str:
    """What a study waits for, as a sentence; empty when nothing is left to do."""
    if study["state"] == StudyState.RECEIVING:
        quiet = duration(now - study["last_instance_at"])
        limit = duration(config.settle.quiet_s)
        return f"the sender: quiet for {quiet}, settles {limit} after the last instance and association"
    if study["state"] in (StudyState.SETTLED, StudyState.PLANNED):
        return "classification and planning"
    open_jobs = [row for row in of_jobs if row["state"] in UNFINISHED_JOBS]
    if open_jobs:
        # the job that holds up the others: what runs, then what is next to run
        first = min(open_jobs, key=lambda row: UNFINISHED_JOBS.index(row["state"]))
        why = f": {first['reason']}" if first["reason"] else ""
        return f"{first['analysis']}, {JOB_WORDS[first['state']]}{why}"
    undelivered = [row for row in of_deliveries if row["state"] in UNDELIVERED]
    if undelivered:
        names = sorted({row["destination"] for row in undelivered})
        return f"{count(sum(row['n'] for row in undelivered), 'object')} to reach {' and '.join(names)}"
    dead = sorted({f"{row['analysis']} is dead" for row in of_jobs if row["state"] == JobState.DEAD})
    refused = sorted(
        {f"{row['destination']} refused" for row in of_deliveries if row["state"] == DeliveryState.REFUSED}
    )
    return f"a person: {', '.join([*dead, *refused])}" if dead or refused else ""


def _by_state(ledger: Ledger, table: sa.Table, states: Any) -> dict[Any, int]:
    rows = ledger.all(sa.select(table.c.state, sa.func.count().label("n")).group_by(table.c.state))
    found = {row["state"]: int(row["n"]) for row in rows}
    return {state: found.get(state, 0) for state in states}


def _grouped(ledger: Ledger, table: sa.Table, uids: list[str], *columns: Any) -> dict[str, list[Row]]:
    """Rows of some studies, counted by the columns, by study."""
    keys = [table.c.study_uid, *(one for one in columns if isinstance(one, sa.Column))]
    query = sa.select(table.c.study_uid, *columns, sa.func.count().label("n"))
    found: dict[str, list[Row]] = defaultdict(list)
    for row in ledger.all(query.where(table.c.study_uid.in_(uids)).group_by(*keys)):
        found[row["study_uid"]].append(row)
    return found


def _summed(rows: Iterable[Row]) -> dict[Any, int]:
    counts: dict[Any, int] = defaultdict(int)
    for row in rows:
        counts[row["state"]] += int(row["n"])
    return counts


def _ordered(states: Any, counts: dict[Any, int]) -> tuple[tuple[Any, int], ...]:
    return tuple((state, counts[state]) for state in states if counts.get(state))


def _scalar(ledger: Ledger, query: sa.Select[Any]) -> Any:
    row = ledger.one(query)
    return next(iter(row.values())) if row else None
