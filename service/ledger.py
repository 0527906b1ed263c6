"""The ledger: what Betz knows of every instance, series, study, job and delivery, and every change as an event.

SQLAlchemy Core on SQLite (WAL) or PostgreSQL. The spool is the truth: this database can be deleted and rebuilt from it.
States change only through `Ledger.move` and `Ledger.file`, by the tables of `service.states`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from service.arrivals import BATCH, Arrival, Filing, arrival_of
from service.config import Destination
from service.order import OUTCOME_FILE, Outcome
from service.spool import Spool
from service.states import (
    DeliveryState,
    Event,
    InstanceState,
    JobState,
    Kind,
    NotAllowed,
    after,
)
from service.tables import (
    KEYS,
    SCHEMA,
    associations,
    deliveries,
    events,
    facts,
    instances,
    jobs,
    meta,
    results,
    series,
    studies,
)

__all__ = [
    "BATCH",
    "SCHEMA",
    "Arrival",
    "Ledger",
    "Row",
    "arrival_of",
    "associations",
    "deliveries",
    "enter",
    "events",
    "facts",
    "inputs_of",
    "instances",
    "jobs",
    "rebuild",
    "results",
    "series",
    "studies",
]

Row = sa.RowMapping
SQLITE_BUSY_S = 30.0  # several processes write; a commit lasts milliseconds, so this long means something is stuck
POSTGRES_SCHEMA_LOCK = 0x6265747A  # "betz": processes that start together make the tables one after the other


class Ledger:
    """One database, many processes; every method is one short transaction unless `transaction` spans several."""

    def __init__(self, url: str) -> None:
        """Open (and create, when empty) the ledger at an SQLAlchemy URL; `sqlite:///…` or `postgresql+pg8000://…`."""
        self.sqlite = url.startswith("sqlite")
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(writes=True)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        """Make the tables of an empty database; turn one of another schema down."""
        with self.transaction() as connection:
            if not self.sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(POSTGRES_SCHEMA_LOCK)))
            meta.create_all(connection)
            held = connection.execute(sa.select(facts.c.value).where(facts.c.name == "schema")).scalar()
            if held is None:
                connection.execute(facts.insert().values(name="schema", value=str(SCHEMA)))
            elif held != str(SCHEMA):
                raise ValueError(
                    f"the ledger has schema {held}, this version of Betz needs {SCHEMA}: run betz doctor --rebuild"
                )

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Several statements that happen together or not at all; the way to write."""
        with self._writer.begin() as connection:
            yield connection

    def all(self, query: sa.Select[Any]) -> list[Row]:
        """Return all rows of a query; waits for no writer."""
        with self.engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def one(self, query: sa.Select[Any]) -> Row | None:
        """Return the first row of a query, or None; waits for no writer."""
        with self.engine.connect() as connection:
            return connection.execute(query).mappings().first()

    def move(
        self,
        kind: Kind,
        key: str | int,
        event: Event,
        reason: str = "",
        *,
        connection: sa.Connection | None = None,
        **columns: Any,
    ) -> str:
        """Apply `event`: the new state by the tables, `columns` beside it, one event row. Returns the new state.

        Raises `NotAllowed` when the tables have no such step, KeyError when there is no such row.
        """
        if connection is None:
            with self.transaction() as own:
                return self.move(kind, key, event, reason, connection=own, **columns)
        table, key_column = KEYS[kind]
        row = connection.execute(sa.select(table).where(key_column == key).with_for_update()).mappings().first()
        if row is None:
            raise KeyError(f"no {kind} {key} in the ledger")
        new = after(kind, row["state"], event)
        connection.execute(table.update().where(key_column == key).values(state=new, reason=reason, **columns))
        self.note(connection, kind, str(key), row["study_uid"], event, row["state"], new, reason)
        return new

    def note(
        self,
        connection: sa.Connection,
        kind: Kind,
        subject: str,
        study_uid: str,
        event: Event,
        was: str,
        now: str,
        reason: str = "",
    ) -> None:
        """Append one event."""
        connection.execute(
            events.insert().values(
                at=time.time(),
                kind=kind,
                subject=subject,
                study_uid=study_uid,
                event=event,
                was=was,
                now=now,
                reason=reason,
            )
        )

    def try_move(self, kind: Kind, key: str | int, event: Event, reason: str = "", **columns: Any) -> bool:
        """Like `move`, False instead of `NotAllowed`: somebody else was faster."""
        try:
            self.move(kind, key, event, reason, **columns)
        except NotAllowed:
            return False
        return True

    def file(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Enter instances, and with them their series and studies; a late one reopens both (study version + 1).

        What is already entered under the same path is passed over, so filing twice is harmless. Returns the arrivals
        that were not entered because another file is the stored instance of their UID: they belong in quarantine.
        """
        with self.transaction() as connection:
            return Filing(self, connection).file(arrivals)

    def open_association(self, association_id: str, calling_ae: str, address: str, at: float) -> None:
        """Remember that somebody is sending."""
        row = {"association_id": association_id, "calling_ae": calling_ae, "address": address, "started_at": at}
        with self.transaction() as connection:
            connection.execute(self.insert_if_new(associations), [row])

    def end_association(self, association_id: str, outcome: str, at: float) -> None:
        """Remember that the sender is gone: released, aborted or lost. Only the first end counts."""
        with self.transaction() as connection:
            connection.execute(
                associations.update()
                .where(associations.c.association_id == association_id, associations.c.ended_at.is_(None))
                .values(ended_at=at, outcome=outcome)
            )

    def insert_if_new(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return the statement that inserts rows, passing over those that break a unique index."""
        if self.sqlite:
            return sqlite.insert(table).on_conflict_do_nothing()
        return postgresql.insert(table).on_conflict_do_nothing()


def enter(ledger: Ledger, spool: Spool, arrivals: Sequence[Arrival]) -> None:
    """File arrivals; one whose UID is already stored elsewhere in the spool goes to quarantine, visibly."""
    refused = ledger.file(arrivals)
    expelled = []
    for arrival in refused:
        if not (spool.path / arrival.path).exists():
            continue  # expelled before a failure in the middle; the spool's quarantine has it
        placed = spool.expel(arrival.path, "the same SOP Instance UID is stored in another series or study")
        expelled.append(replace(arrival, state=InstanceState.QUARANTINED, path=placed.path, reason=placed.reason))
    if expelled:
        ledger.file(expelled)


def rebuild(url: str, spool: Spool, destinations: Sequence[Destination] = ()) -> int:
    """Empty the ledger at `url` and fill it again from the spool alone; how many instances it has then.

    Instances, series and studies come back as they lie on disk, ended jobs and their results from the outcomes in
    results/. Duplicates and associations are nowhere on disk. What had been delivered is unknown: the newest results
    are queued for `destinations` again, which have them or get them under the same UIDs.
    """
    engine = _engine(url)
    with engine.execution_options(writes=True).begin() as connection:
        meta.drop_all(connection)
    engine.dispose()
    ledger = Ledger(url)
    entered = 0
    waiting: list[Arrival] = []
    for kept in spool.scan():
        waiting.append(arrival_of(kept))
        if len(waiting) == BATCH:
            enter(ledger, spool, waiting)
            waiting = []
        entered += 1
    enter(ledger, spool, waiting)
    found = [(path.parent, Outcome.read(path)) for path in spool.path.glob(f"results/*/[!.]*/{OUTCOME_FILE}")]
    newest_first = sorted(found, key=lambda one: (-one[1].at, one[0]))
    restored: set[tuple[str, str]] = set()
    with ledger.transaction() as connection:
        for folder, outcome in newest_first:
            current = (outcome.study_uid, outcome.analysis) not in restored
            restored.add((outcome.study_uid, outcome.analysis))
            relative = folder.relative_to(spool.path).as_posix()
            _restore_job(ledger, connection, outcome, relative, current=current)
            _restore_results(ledger, connection, outcome, relative, destinations if current else ())
    ledger.close()
    return entered


def _restore_job(ledger: Ledger, connection: sa.Connection, outcome: Outcome, folder: str, *, current: bool) -> None:
    """One ended job; `current` = no newer one of the same analysis of the study is on the spool."""
    state = str(outcome.ending) if current else str(JobState.SUPERSEDED)
    job = {
        "job_id": outcome.job_id,
        "study_uid": outcome.study_uid,
        "study_version": outcome.study_version,
        "analysis": outcome.analysis,
        "analysis_version": outcome.version,
        "inputs": json.dumps(dict(outcome.inputs), sort_keys=True),
        "state": state,
        "reason": outcome.reason if current else "replaced by a newer one of its study",
        "attempts": 1,
        "created_at": outcome.at,
        "ended_at": outcome.at + outcome.wall_s,
        "cpu_s": outcome.cpu_s,
        "peak_mb": outcome.peak_mb,
        "folder": folder,
    }
    connection.execute(jobs.insert().values(**job))
    ledger.note(
        connection, Kind.JOB, outcome.job_id, outcome.study_uid, Event.FINISHED, "", state, "found on the spool"
    )
    connection.execute(
        studies.update()
        .where(studies.c.study_uid == outcome.study_uid, studies.c.version < outcome.study_version)
        .values(version=outcome.study_version)
    )


def _restore_results(
    ledger: Ledger, connection: sa.Connection, outcome: Outcome, folder: str, destinations: Sequence[Destination]
) -> None:
    for one in outcome.objects:
        row = {
            "sop_instance_uid": one.sop_instance_uid,
            "sop_class_uid": one.sop_class_uid,
            "series_uid": one.series_uid,
            "study_uid": outcome.study_uid,
            "job_id": outcome.job_id,
            "kind": one.kind,
            "path": f"{folder}/{one.file}",
            "sha256": one.sha256,
        }
        connection.execute(ledger.insert_if_new(results), [row])
        for destination in destinations:
            if one.kind in destination.kinds:
                queued = {
                    "sop_instance_uid": one.sop_instance_uid,
                    "study_uid": outcome.study_uid,
                    "destination": destination.name,
                    "state": DeliveryState.QUEUED,
                    "reason": "the ledger was rebuilt",
                    "queued_at": time.time(),
                }
                connection.execute(ledger.insert_if_new(deliveries), [queued])


def inputs_of(job: Row) -> dict[str, str]:
    """Series UID by need of a job row."""
    found: dict[str, str] = json.loads(job["inputs"])
    return found


def _engine(url: str) -> sa.Engine:
    """Engine for one database: SQLite with its write-ahead log and our BEGIN, PostgreSQL with connections that heal."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    Path(sa.make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_BUSY_S})
    sa.event.listen(engine, "connect", _sqlite_pragmas)
    sa.event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours: see _sqlite_begin
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: sa.Connection) -> None:
    # a writer takes the write lock at once: a read that later wants to write fails with "database is locked", unwaited
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
