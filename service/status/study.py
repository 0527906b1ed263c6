"""One study: its series, jobs, results, deliveries and what happened when; nothing about the patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydicom.uid import UID

from service.deliver import ORDER
from service.ledger import Ledger, Row, inputs_of
from service.states import DeliveryState, Kind
from service.status.wording import short_uid
from service.tables import deliveries, events, jobs, results, series, studies

EVENTS_READ = 5000
MINUTE_S = 60.0
MANY = (Kind.DELIVERY, Kind.INSTANCE)  # what there is so much of that the like is told together
Names = dict[tuple[str, str], str]  # (kind, key) of anything of the study -> what it is called on the page


@dataclass(frozen=True, slots=True)
class Job:
    """A job and the series that it uses."""

    row: Row
    inputs: tuple[tuple[str, str], ...]  # (need, name of the series)


@dataclass(frozen=True, slots=True)
class Way:
    """Objects that are in the same state on their way to the same destination."""

    destination: str
    state: str
    reason: str
    objects: int
    confirmed_at: float | None  # the newest


@dataclass(frozen=True, slots=True)
class Result:
    """Result objects of one series and class, and where they went."""

    kind: str
    sop_class: str
    series_uid: str
    made_by: str
    objects: int
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, or the like events of many objects within a minute."""

    at: float  # of the last
    subject: str
    event: str
    was: str
    now: str
    reason: str
    times: int


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
    sent = _sent(ledger, study_uid)
    names: Names = {(Kind.STUDY, study_uid): "study"}
    names |= {(Kind.SERIES, one["series_uid"]): series_name(one) for one in of_series}
    names |= {(Kind.JOB, one["job_id"]): one["analysis"] for one in of_jobs}
    names |= {(Kind.DELIVERY, str(one["id"])): f"{one['kind']} to {one['destination']}" for one in sent}
    query = sa.select(events).where(events.c.study_uid == study_uid).order_by(events.c.id.desc())
    happened = ledger.all(query.limit(EVENTS_READ))
    total = ledger.one(sa.select(sa.func.count().label("n")).where(events.c.study_uid == study_uid))
    return Study(
        row=row,
        series=of_series,
        jobs=tuple(Job(one, _inputs(one, names)) for one in of_jobs),
        results=_results(ledger, study_uid, sent, names),
        happenings=_happenings(happened, names),
        older=(int(total["n"]) if total else 0) - len(happened),
    )


def series_name(row: Row) -> str:
    """Return "series 5", or the end of its UID where it has no number."""
    return f"series {row['number']}" if row["number"] is not None else f"series {short_uid(row['series_uid'])}"


def _of(ledger: Ledger, table: sa.Table, study_uid: str, *order: Any) -> tuple[Row, ...]:
    return tuple(ledger.all(sa.select(table).where(table.c.study_uid == study_uid).order_by(*order)))


def _inputs(job: Row, names: Names) -> tuple[tuple[str, str], ...]:
    return tuple(
        (need, names.get((Kind.SERIES, str(uid)), short_uid(str(uid)))) for need, uid in inputs_of(job).items()
    )


def _sent(ledger: Ledger, study_uid: str) -> list[Row]:
    query = (
        sa.select(deliveries, results.c.kind, results.c.series_uid, results.c.sop_class_uid)
        .join(results, results.c.sop_instance_uid == deliveries.c.sop_instance_uid)
        .where(deliveries.c.study_uid == study_uid)
    )
    return ledger.all(query.order_by(deliveries.c.destination, deliveries.c.id))


def _results(ledger: Ledger, study_uid: str, sent: Iterable[Row], names: Names) -> tuple[Result, ...]:
    """Results by series and class, in the order in which they are sent."""
    columns = (results.c.series_uid, results.c.sop_class_uid, results.c.kind, results.c.job_id)
    query = sa.select(*columns, sa.func.count().label("n")).where(results.c.study_uid == study_uid).group_by(*columns)
    found = [
        Result(
            kind=row["kind"],
            sop_class=UID(row["sop_class_uid"]).name,
            series_uid=row["series_uid"],
            made_by=names.get((Kind.JOB, row["job_id"]), short_uid(row["job_id"])),
            objects=int(row["n"]),
            ways=_ways(
                one
                for one in sent
                if (one["series_uid"], one["sop_class_uid"]) == (row["series_uid"], row["sop_class_uid"])
            ),
        )
        for row in ledger.all(query)
    ]
    return tuple(sorted(found, key=lambda one: (ORDER.index(one.kind), one.series_uid, one.sop_class)))


def _ways(sent: Iterable[Row]) -> tuple[Way, ...]:
    alike: dict[tuple[str, str, str], list[Row]] = {}
    for one in sent:
        reason = "" if one["state"] == DeliveryState.CONFIRMED else one["reason"]
        alike.setdefault((one["destination"], one["state"], reason), []).append(one)
    return tuple(
        Way(*key, len(rows), max((one["confirmed_at"] for one in rows if one["confirmed_at"]), default=None))
        for key, rows in alike.items()
    )


def _happenings(rows: Iterable[Row], names: Names) -> tuple[Happening, ...]:
    """Events in words, newest first; a hundred slices that were sent within a minute are one line."""
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        subject = names.get((row["kind"], row["subject"]), row["kind"])
        within = int(row["at"] // MINUTE_S) if row["kind"] in MANY else row["id"]
        alike.setdefault((within, subject, row["event"], row["was"], row["now"], row["reason"]), []).append(row)
    return tuple(
        Happening(found[0]["at"], subject, event, was, now, reason, len(found))
        for (_, subject, event, was, now, reason), found in alike.items()
    )
