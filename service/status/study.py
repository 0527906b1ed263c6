"""One study: its series, jobs, results, deliveries and what happened when; nothing about the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydicom.uid import UID

from service.ledger import Ledger, Row, inputs_of
from service.states import Kind
from service.status.wording import short_uid
from service.tables import deliveries, events, jobs, results, series, studies

EVENTS_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Job:
    """A job and the series that it uses."""

    row: Row
    inputs: tuple[tuple[str, str], ...]  # (need, name of the series)


@dataclass(frozen=True, slots=True)
class Result:
    """A result object and its deliveries."""

    row: Row
    sop_class: str
    deliveries: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, with its subject in words."""

    row: Row
    subject: str


@dataclass(frozen=True, slots=True)
class Study:
    """The study's page."""

    row: Row
    series: tuple[Row, ...]
    jobs: tuple[Job, ...]
    results: tuple[Result, ...]
    happenings: tuple[Happening, ...]  # newest first
    older: int  # events that are not shown


def study(ledger: Ledger, study_uid: str) -> Study | None:
    """Read it; None when the ledger does not know the study."""
    row = ledger.one(sa.select(studies).where(studies.c.study_uid == study_uid))
    if row is None:
        return None
    of_series = _of(ledger, series, study_uid, series.c.number, series.c.series_uid)
    of_jobs = _of(ledger, jobs, study_uid, jobs.c.created_at, jobs.c.job_id)
    of_results = _of(ledger, results, study_uid, results.c.job_id, results.c.kind, results.c.sop_instance_uid)
    of_deliveries = _of(ledger, deliveries, study_uid, deliveries.c.id)
    names: dict[tuple[str, str], str] = {(Kind.STUDY, study_uid): "study"}
    names |= {(Kind.SERIES, one["series_uid"]): series_name(one) for one in of_series}
    names |= {(Kind.JOB, one["job_id"]): one["analysis"] for one in of_jobs}
    kinds = {one["sop_instance_uid"]: one["kind"] for one in of_results}
    for one in of_deliveries:
        what = kinds.get(one["sop_instance_uid"], "object")
        names[Kind.DELIVERY, str(one["id"])] = f"{what} {short_uid(one['sop_instance_uid'])} to {one['destination']}"
    happened = ledger.all(
        sa.select(events).where(events.c.study_uid == study_uid).order_by(events.c.id.desc()).limit(EVENTS_SHOWN)
    )
    total = ledger.one(sa.select(sa.func.count().label("n")).where(events.c.study_uid == study_uid))
    return Study(
        row=row,
        series=of_series,
        jobs=tuple(Job(one, _inputs(one, names)) for one in of_jobs),
        results=tuple(_result(one, of_deliveries) for one in of_results),
        happenings=tuple(Happening(one, names.get((one["kind"], one["subject"]), one["kind"])) for one in happened),
        older=(int(total["n"]) if total else 0) - len(happened),
    )


def series_name(row: Row) -> str:
    """ "series 5", or the end of its UID where it has no number."""
    return f"series {row['number']}" if row["number"] is not None else f"series {short_uid(row['series_uid'])}"


def _of(ledger: Ledger, table: sa.Table, study_uid: str, *order: Any) -> tuple[Row, ...]:
    return tuple(ledger.all(sa.select(table).where(table.c.study_uid == study_uid).order_by(*order)))


def _inputs(job: Row, names: Mapping[tuple[str, str], str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (need, names.get((Kind.SERIES, str(uid)), short_uid(str(uid)))) for need, uid in inputs_of(job).items()
    )


def _result(row: Row, of_deliveries: tuple[Row, ...]) -> Result:
    own = tuple(one for one in of_deliveries if one["sop_instance_uid"] == row["sop_instance_uid"])
    return Result(row, UID(row["sop_class_uid"]).name, own)
