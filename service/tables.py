"""Tables of the ledger. Times are UTC seconds since the epoch; paths are relative to the spool.

`service.ledger` is the way to them: states change only there.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

from service.states import Kind

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
    Column("study_uid", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),  # of the data set
    Column("sha256", String(64), nullable=False),  # of the data set's bytes as received
    Column("association_id", String(64), nullable=False, default=""),  # "" = found on disk
    Column("received_at", Float, nullable=False),
    # who sent to which series of a study, answered from the index alone: asked again and again while a study arrives
    Index("who_sent", "study_uid", "state", "series_uid", "association_id"),
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
    Column("last_instance_at", Float, nullable=False, default=0.0),
    Column("judged", Integer, nullable=False, default=0),  # how many instances the next two speak of
    Column("complete", Integer),  # 1 yes, 0 no, NULL the headers do not say
    Column("completeness", Text, nullable=False, default=""),  # the sentence
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
    Column("folder", Text, nullable=False, default=""),  # results/<study>/<analysis>-<version>-<digest>
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
    Column("path", Text, nullable=False),
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
