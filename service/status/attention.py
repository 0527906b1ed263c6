"""What only a person can put right, with what to do: dead jobs, refused objects, destinations that are down, …"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from service.ledger import Ledger
from service.states import DeliveryState, InstanceState, JobState
from service.status.overview import DestinationLine, Disk, Overview
from service.status.wording import count, duration, size
from service.tables import deliveries, instances, jobs

SHOWN = 20  # of each sort; the rest is counted
DAY_S = 86400.0
QUARANTINE_DAYS = 7
SHORT_S = 600.0  # a destination that restarts is back by then, and nobody had to know


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing: what, why, and what a person can do; `command` is typed as it stands."""

    what: str
    why: str
    todo: str
    command: str = ""
    study_uid: str = ""


def attention(ledger: Ledger, seen: Overview) -> tuple[Attention, ...]:
    """Return everything that needs a person, the most urgent first; empty when all is well."""
    return (
        *_disk(seen.disk),
        *(one for line in seen.destinations for one in _destination(line, seen.at)),
        *_dead(ledger),
        *_refused(ledger),
        *_quarantined(ledger, seen.at),
    )


def _disk(disk: Disk) -> Iterator[Attention]:
    if not disk.total:
        yield Attention("The spool is not there", "its folder cannot be read", "mount it, or correct spool.path")
    elif not disk.enough:
        yield Attention(
            "Nothing is received",
            f"{size(disk.free)} are free, the reserve is {size(disk.reserve)}: senders are answered 0xA700",
            "make room in the spool's file system; receiving goes on by itself",
        )


def _destination(line: DestinationLine, now: float) -> Iterator[Attention]:
    waiting = sum(n for state, n in line.counts if state in (DeliveryState.HELD, DeliveryState.QUEUED))
    waited_s = now - (line.oldest_at or now)
    if line.state == "held" and waited_s > SHORT_S:
        yield Attention(
            f"{count(waiting, 'object')} cannot reach {line.name}, the oldest for {duration(waited_s)}",
            line.trouble,
            f"nothing is lost; next try in {duration((line.next_try_at or now) - now)}. Check the destination and "
            "the network between",
            command="betz doctor",
        )
    elif line.state == "unknown" and waiting:
        yield Attention(
            f"{count(waiting, 'object')} for {line.name}, which is not in the configuration",
            "nobody delivers to it",
            "give the destination back its name in deliver.destinations, or leave them",
        )


def _dead(ledger: Ledger) -> Iterator[Attention]:
    query = sa.select(jobs).where(jobs.c.state == JobState.DEAD).order_by(jobs.c.ended_at.desc())
    for row in ledger.all(query.limit(SHOWN)):
        yield Attention(
            f"{row['analysis']} is dead",
            row["reason"],
            "put right what the reason names, then let it run again",
            command=f"betz replay {row['job_id']}",
            study_uid=row["study_uid"],
        )
    yield from _more(ledger, jobs, JobState.DEAD, "dead job", "betz jobs --dead")


def _refused(ledger: Ledger) -> Iterator[Attention]:
    query = (
        sa.select(
            deliveries.c.destination,
            deliveries.c.study_uid,
            deliveries.c.reason,
            sa.func.count().label("n"),
            sa.func.max(deliveries.c.id).label("newest"),
        )
        .where(deliveries.c.state == DeliveryState.REFUSED)
        .group_by(deliveries.c.destination, deliveries.c.study_uid, deliveries.c.reason)
        .order_by(sa.desc("newest"))
    )
    for row in ledger.all(query.limit(SHOWN)):
        yield Attention(
            f"{row['destination']} refused {count(row['n'], 'object')}",
            row["reason"],
            "let the destination accept it, then send again what it refused; or leave that kind out of its kinds",
            command=f"betz resend {row['destination']}",
            study_uid=row["study_uid"],
        )


def _quarantined(ledger: Ledger, now: float) -> Iterator[Attention]:
    query = (
        sa.select(instances.c.study_uid, instances.c.reason, sa.func.count().label("n"))
        .where(instances.c.state == InstanceState.QUARANTINED, instances.c.received_at > now - QUARANTINE_DAYS * DAY_S)
        .group_by(instances.c.study_uid, instances.c.reason)
        .limit(SHOWN)
    )
    for row in ledger.all(query):
        yield Attention(
            f"{count(row['n'], 'instance')} in quarantine",
            row["reason"],
            "the files are kept in the spool's quarantine folder; ask the sender's vendor why they differ",
            study_uid=row["study_uid"],
        )


def _more(ledger: Ledger, table: sa.Table, state: str, noun: str, command: str) -> Iterator[Attention]:
    row = ledger.one(sa.select(sa.func.count().label("n")).where(table.c.state == state))
    left = (int(row["n"]) if row else 0) - SHOWN
    if left > 0:
        yield Attention(f"{count(left, noun)} more", "", "all of them, with their reasons:", command=command)
