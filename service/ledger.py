"""The ledger: what Betz knows of every instance, series, study, job and delivery, and every change as an event.

SQLAlchemy Core on SQLite (WAL) or PostgreSQL. The spool is the truth: this database can be deleted and rebuilt from it.
States change only through `Ledger.move`, by the tables of `service.states`. Times are UTC seconds since the epoch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

from service.states import Event, Kind, NotAllowed, after

SCHEMA = 1
meta = MetaData()

facts = Table("facts", meta, Column("name", String(64), primary_key=True), Column("value", Text, nullable=False))

associations = Table(
    "associations",
    meta,
    Column("association_id", String(64), primary_key=True),
    Column("calling_ae", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),  # NULL while open
    Column("outcome", String(32)),  # released, aborted, lost
)

instances = Table(
    "instances",
    meta,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sop_instance_uid", String(64), nullable=False, index=True),
    Column("sop_class_uid", String(64), nullable=False),
    Column("series_uid", String(64), nullable=False, index=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("path", Text, nullable=False),  # relative to the spool
    Column("size", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),  # of the data set's bytes as received
    Column("association_id", String(64), nullable=False, default=""),
    Column("received_at", Float, nullable=False),
    Index(
        "one_stored_instance",
        "sop_instance_uid",
        unique=True,
        sqlite_where=sa.text("state = 'stored'"),
        postgresql_where=sa.text("state = 'stored'"),
    ),
)

series = Table(
    "series",
    meta,
    Column("series_uid", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),  # settled: the completeness sentence; classified: why this role
    Column("role", String(32)),
    Column("body", String(16)),
    Column("number", Integer),
    Column("description", Text, nullable=False, default=""),
    Column("instances", Integer, nullable=False, default=0),
    Column("completeness", Text, nullable=False, default=""),
)

studies = Table(
    "studies",
    meta,
    Column("study_uid", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),  # settled: the evidence
    Column("version", Integer, nullable=False, default=1),
    Column("first_at", Float, nullable=False),
    Column("last_instance_at", Float, nullable=False),
    Column("finished_at", Float),
)

jobs = Table(
    "jobs",
    meta,
    Column("job_id", String(64), primary_key=True),  # a function of (study, analysis, analysis version, inputs' digest)
    Column("study_uid", String(64), nullable=False, index=True),
    Column("study_version", Integer, nullable=False),  # the newest study version that wants this job
    Column("analysis", String(64), nullable=False),  # "report" for the study's report
    Column("analysis_version", String(32), nullable=False),
    Column("inputs", Text, nullable=False, default="{}"),  # JSON {need: series_uid}
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_try_at", Float, nullable=False, default=0.0),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("cpu_s", Float),
    Column("peak_mb", Float),
    Column(
        "folder", Text, nullable=False, default=""
    ),  # relative to the spool: results/<study>/<analysis>-<version>-<digest>
)

results = Table(
    "results",
    meta,
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("sop_class_uid", String(64), nullable=False),
    Column("series_uid", String(64), nullable=False),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("job_id", String(64), nullable=False, index=True),
    Column("kind", String(16), nullable=False),  # sr, map, page
    Column("path", Text, nullable=False),  # relative to the spool
    Column("sha256", String(64), nullable=False),
)

deliveries = Table(
    "deliveries",
    meta,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sop_instance_uid", String(64), nullable=False, index=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("destination", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Text, nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_try_at", Float, nullable=False, default=0.0),
    Column("queued_at", Float, nullable=False),
    Column("sent_at", Float),  # when the destination last answered Success
    Column("confirmed_at", Float),
    sa.UniqueConstraint("sop_instance_uid", "destination"),
)

events = Table(
    "events",
    meta,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(64), nullable=False, index=True),  # UID, job id or delivery id
    Column("study_uid", String(64), nullable=False, index=True),
    Column("event", String(32), nullable=False),
    Column("was", String(16), nullable=False),
    Column("now", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
)

KEYS: dict[Kind, tuple[Table, Column[Any]]] = {
    Kind.INSTANCE: (instances, instances.c.id),
    Kind.SERIES: (series, series.c.series_uid),
    Kind.STUDY: (studies, studies.c.study_uid),
    Kind.JOB: (jobs, jobs.c.job_id),
    Kind.DELIVERY: (deliveries, deliveries.c.id),
}

Row = sa.RowMapping
SQLITE_BUSY_S = 30.0  # several processes write; a commit lasts milliseconds, so this long means something is stuck


class Ledger:
    """One database, many processes; every method is one short transaction unless `transaction` spans several."""

    def __init__(self, url: str) -> None:
        """Open (and create, when empty) the ledger at an SQLAlchemy URL; `sqlite:///…` or `postgresql+pg8000://…`."""
        arguments = {"timeout": SQLITE_BUSY_S} if url.startswith("sqlite") else {}
        self.engine = sa.create_engine(url, connect_args=arguments)
        if url.startswith("sqlite"):
            sa.event.listen(self.engine, "connect", _sqlite_pragmas)
            sa.event.listen(self.engine, "begin", _sqlite_begin)
        with self.engine.begin() as connection:
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
        """Several statements that happen together or not at all."""
        with self.engine.begin() as connection:
            yield connection

    def all(self, query: sa.Select[Any]) -> list[Row]:
        """Return all rows of a query."""
        with self.engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def one(self, query: sa.Select[Any]) -> Row | None:
        """Return the first row of a query, or None."""
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


def inputs_of(job: Row) -> dict[str, str]:
    """Series UID by need of a job row."""
    found: dict[str, str] = json.loads(job["inputs"])
    return found


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours: see _sqlite_begin
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: sa.Connection) -> None:
    # take the write lock at once: a read that later wants to write would fail with "database is locked" without waiting
    connection.exec_driver_sql("BEGIN IMMEDIATE")
