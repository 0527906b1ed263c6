"""The ledger: what Betz knows of every instance, series, study, job and delivery, and every change as an event.

SQLAlchemy Core on SQLite (WAL) or PostgreSQL. The spool is the truth: this database can be deleted and rebuilt from it.
States change only through `Ledger.move` and `Ledger.file`, by the tables of `service.states`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql, sqlite

from service.config import Destination
from service.order import OUTCOME_FILE, Outcome
from service.spool import Kept, Spool, ledger_uid
from service.states import (
    DeliveryState,
    Event,
    InstanceState,
    JobState,
    Kind,
    NotAllowed,
    SeriesState,
    StudyState,
    after,
)
from service.tables import (
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

KEYS: dict[Kind, tuple[Table, Column[Any]]] = {
    Kind.INSTANCE: (instances, instances.c.id),
    Kind.SERIES: (series, series.c.series_uid),
    Kind.STUDY: (studies, studies.c.study_uid),
    Kind.JOB: (jobs, jobs.c.job_id),
    Kind.DELIVERY: (deliveries, deliveries.c.id),
}

Row = sa.RowMapping
SQLITE_BUSY_S = 30.0  # several processes write; a commit lasts milliseconds, so this long means something is stuck
POSTGRES_SCHEMA_LOCK = 0x6265747A  # "betz": processes that start together make the tables one after the other
BATCH = 400  # arrivals a transaction: a commit costs as much as a hundred rows
ROWS_A_STATEMENT = 400  # 11 columns each: below the 32 766 parameters of SQLite and PostgreSQL


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance that came, as the receiver or the spool tells it; UIDs as `service.spool.ledger_uid` has them."""

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    state: InstanceState
    path: str  # relative to the spool
    size: int
    sha256: str
    received_at: float
    association_id: str = ""
    reason: str = ""


class Ledger:
    """One database, many processes; every method is one short transaction unless `transaction` spans several."""

    def __init__(self, url: str) -> None:
        """Open (and create, when empty) the ledger at an SQLAlchemy URL; `sqlite:///…` or `postgresql+pg8000://…`."""
        self.sqlite = url.startswith("sqlite")
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(writes=True)
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
        refused: list[Arrival] = []
        with self.transaction() as connection:
            stored = [a for a in arrivals if a.state is InstanceState.STORED]
            new = self._enter_stored(connection, stored)
            paths = self._stored_paths(connection, [a.sop_instance_uid for a in stored])
            refused = [a for a in stored if paths.get(a.sop_instance_uid) != a.path]
            others = [a for a in arrivals if a.state is not InstanceState.STORED]
            for arrival in others:
                key = connection.execute(instances.insert().values(**_row(arrival))).inserted_primary_key
                event = Event.CONFLICTED if arrival.state is InstanceState.QUARANTINED else Event.RECEIVED_AGAIN
                subject = str(key[0]) if key else arrival.sop_instance_uid
                self.note(
                    connection, Kind.INSTANCE, subject, arrival.study_uid, event, "", arrival.state, arrival.reason
                )
            self._open(connection, new)
        return refused

    def open_association(self, association_id: str, calling_ae: str, address: str, at: float) -> None:
        """Remember that somebody is sending."""
        row = {"association_id": association_id, "calling_ae": calling_ae, "address": address, "started_at": at}
        with self.transaction() as connection:
            connection.execute(self._insert_if_new(associations, [row]))

    def end_association(self, association_id: str, outcome: str, at: float) -> None:
        """Remember that the sender is gone: released, aborted or lost. Only the first end counts."""
        with self.transaction() as connection:
            connection.execute(
                associations.update()
                .where(associations.c.association_id == association_id, associations.c.ended_at.is_(None))
                .values(ended_at=at, outcome=outcome)
            )

    def _insert_if_new(self, table: Table, rows: Sequence[dict[str, Any]]) -> Any:
        insert = sqlite.insert if self.sqlite else postgresql.insert
        return insert(table).values(list(rows)).on_conflict_do_nothing()

    def _enter_stored(self, connection: sa.Connection, stored: Sequence[Arrival]) -> list[Arrival]:
        """Insert stored instances that are not there; those that were inserted, in order."""
        entered: set[str] = set()
        # always in the same order: two processes with the same instances wait for each other instead of deadlocking
        ordered = sorted({a.sop_instance_uid: a for a in reversed(stored)}.items())
        for start in range(0, len(ordered), ROWS_A_STATEMENT):
            rows = [_row(arrival) for _, arrival in ordered[start : start + ROWS_A_STATEMENT]]
            statement = self._insert_if_new(instances, rows).returning(instances.c.path)
            entered.update(connection.execute(statement).scalars())
        return [arrival for _, arrival in ordered if arrival.path in entered]

    def _stored_paths(self, connection: sa.Connection, uids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(uids), ROWS_A_STATEMENT):
            query = sa.select(instances.c.sop_instance_uid, instances.c.path).where(
                instances.c.state == InstanceState.STORED,
                instances.c.sop_instance_uid.in_(uids[start : start + ROWS_A_STATEMENT]),
            )
            found.update((row.sop_instance_uid, row.path) for row in connection.execute(query))
        return found

    def _open(self, connection: sa.Connection, new: Sequence[Arrival]) -> None:
        """Series and studies of newly stored instances are open: made when unknown, reopened when they had gone on."""
        for study_uid in sorted({a.study_uid for a in new}):
            times = [a.received_at for a in new if a.study_uid == study_uid]
            row = {
                "study_uid": study_uid,
                "state": StudyState.RECEIVING,
                "version": 1,
                "first_at": min(times),
                "last_instance_at": max(times),
            }
            self._open_one(connection, Kind.STUDY, row, len(times))
        for series_uid in sorted({a.series_uid for a in new}):
            here = [a for a in new if a.series_uid == series_uid]
            row = {
                "series_uid": series_uid,
                "study_uid": here[0].study_uid,
                "state": SeriesState.OPEN,
                "instances": 0,
                "last_instance_at": max(a.received_at for a in here),
            }
            self._open_one(connection, Kind.SERIES, row, len(here))

    def _open_one(self, connection: sa.Connection, kind: Kind, row: dict[str, Any], arrived: int) -> None:
        table, key_column = KEYS[kind]
        key = row[key_column.name]
        made = connection.execute(self._insert_if_new(table, [row]).returning(key_column)).first()
        held = connection.execute(sa.select(table).where(key_column == key).with_for_update()).mappings().one()
        late = max(held["last_instance_at"], row["last_instance_at"])
        columns: dict[str, Any] = {"last_instance_at": late}
        if kind is Kind.SERIES:
            columns["instances"] = held["instances"] + arrived
        if made is not None:
            self.note(connection, kind, key, held["study_uid"], Event.RECEIVED, "", held["state"])
        elif after(kind, held["state"], Event.RECEIVED) != held["state"]:
            reason = f"{arrived} late instance{'s' if arrived > 1 else ''} arrived"
            if kind is Kind.STUDY:
                columns["version"] = held["version"] + 1
            self.move(kind, key, Event.RECEIVED, reason, connection=connection, **columns)
            return
        connection.execute(table.update().where(key_column == key).values(**columns))


def _row(arrival: Arrival) -> dict[str, Any]:
    return {**asdict(arrival), "state": str(arrival.state)}


def enter(ledger: Ledger, spool: Spool, arrivals: Sequence[Arrival]) -> None:
    """File arrivals; one whose UID is already stored elsewhere in the spool goes to quarantine, visibly."""
    refused = ledger.file(arrivals)
    expelled = []
    for arrival in refused:
        placed = spool.expel(arrival.path, "the same SOP Instance UID is stored in another series or study")
        expelled.append(replace(arrival, state=InstanceState.QUARANTINED, path=placed.path, reason=placed.reason))
    if expelled:
        ledger.file(expelled)


def arrival_of(kept: Kept) -> Arrival:
    """What a file of the spool tells of its arrival; by which association it came is not written there."""
    return Arrival(
        sop_instance_uid=ledger_uid(kept.uids.sop_instance_uid),
        sop_class_uid=ledger_uid(kept.uids.sop_class_uid),
        series_uid=ledger_uid(kept.uids.series_uid),
        study_uid=ledger_uid(kept.uids.study_uid),
        state=kept.state,
        path=kept.path,
        size=kept.size,
        sha256=kept.sha256,
        received_at=kept.received_at,
        reason=kept.reason,
    )


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
            _restore_results(connection, outcome, relative, destinations if current else ())
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
    connection: sa.Connection, outcome: Outcome, folder: str, destinations: Sequence[Destination]
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
        connection.execute(results.insert().values(**row))
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
                connection.execute(deliveries.insert().values(**queued))


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
