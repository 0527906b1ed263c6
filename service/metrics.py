"""Metrics for Prometheus, read from the ledger and the disk when they are scraped; numbers and states, never a UID."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service import __version__
from service.config import Config
from service.ledger import Ledger
from service.states import DeliveryState, InstanceState, JobState, SeriesState, StudyState
from service.status.overview import UNDELIVERED, UNFINISHED_JOBS, disk
from service.tables import associations, deliveries, instances, jobs, series, studies


def registry(ledger: Ledger, config: Config) -> CollectorRegistry:
    """Return a registry whose one collector asks `ledger` at every scrape."""
    made = CollectorRegistry()
    made.register(LedgerCollector(ledger, config))
    return made


class LedgerCollector(Collector):
    """Everything that the processes of one Betz have written down."""

    def __init__(self, ledger: Ledger, config: Config) -> None:
        """`config` names the destinations and the spool."""
        self._ledger = ledger
        self._config = config

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: registering must not need the ledger."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        build = GaugeMetricFamily("betz_build_info", "Version of Betz; always 1.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield self._states("betz_instances", "Received instances by state.", instances, InstanceState)
        yield self._states("betz_series", "Series by state.", series, SeriesState)
        yield self._states("betz_studies", "Studies by state.", studies, StudyState)
        yield from self._jobs()
        yield from self._deliveries()
        yield self._roles()
        opened = self._number(sa.select(sa.func.count()).where(associations.c.ended_at.is_(None)))
        yield GaugeMetricFamily("betz_open_associations", "Associations that senders have open.", opened)
        room = disk(self._config)
        yield GaugeMetricFamily("betz_spool_free_bytes", "Free room in the spool's file system.", room.free)
        yield GaugeMetricFamily("betz_spool_size_bytes", "Size of the spool's file system.", room.total)
        yield GaugeMetricFamily("betz_spool_reserve_bytes", "Nothing is received below this.", room.reserve)

    def _jobs(self) -> Iterator[Metric]:
        table = jobs
        family = GaugeMetricFamily("betz_jobs", "Jobs by analysis and state.", labels=["analysis", "state"])
        cpu = CounterMetricFamily("betz_job_cpu_seconds", "Processor time of ended jobs.", labels=["analysis"])
        wall = CounterMetricFamily("betz_job_seconds", "Time from start to end of ended jobs.", labels=["analysis"])
        peak = GaugeMetricFamily("betz_job_peak_bytes", "Largest memory of any job.", labels=["analysis"])
        counted = self._counts(table, table.c.analysis)
        for analysis in sorted({name for name, _ in counted}):
            for state in JobState:
                family.add_metric([analysis, state], counted.get((analysis, state), 0))
        ended = sa.select(
            table.c.analysis,
            sa.func.sum(table.c.cpu_s).label("cpu"),
            sa.func.sum(table.c.ended_at - table.c.started_at).label("wall"),
            sa.func.max(table.c.peak_mb).label("peak"),
        ).where(table.c.ended_at.is_not(None))
        for row in self._ledger.all(ended.group_by(table.c.analysis)):
            cpu.add_metric([row["analysis"]], row["cpu"] or 0.0)
            wall.add_metric([row["analysis"]], row["wall"] or 0.0)
            peak.add_metric([row["analysis"]], (row["peak"] or 0.0) * 2**20)
        yield from (family, cpu, wall, peak)
        oldest = self._number(sa.select(sa.func.min(table.c.created_at)).where(table.c.state.in_(UNFINISHED_JOBS)))
        yield GaugeMetricFamily("betz_oldest_job_seconds", "Age of the oldest unfinished job.", _age(oldest))

    def _deliveries(self) -> Iterator[Metric]:
        table = deliveries
        family = GaugeMetricFamily(
            "betz_deliveries", "Deliveries by destination and state.", labels=["destination", "state"]
        )
        age = GaugeMetricFamily(
            "betz_oldest_delivery_seconds", "Age of the oldest undelivered object.", labels=["destination"]
        )
        counted = self._counts(table, table.c.destination)
        names = {one.name for one in self._config.deliver.destinations} | {name for name, _ in counted}
        query = sa.select(table.c.destination, sa.func.min(table.c.queued_at).label("at"))
        waiting = self._ledger.all(query.where(table.c.state.in_(UNDELIVERED)).group_by(table.c.destination))
        since = {row["destination"]: row["at"] for row in waiting}
        for name in sorted(names):
            for state in DeliveryState:
                family.add_metric([name, state], counted.get((name, state), 0))
            age.add_metric([name], _age(since.get(name, 0.0)))
        yield from (family, age)

    def _roles(self) -> Metric:
        family = GaugeMetricFamily("betz_series_roles", "Classified series by role and body.", labels=["role", "body"])
        query = sa.select(series.c.role, series.c.body, sa.func.count().label("n")).where(series.c.role.is_not(None))
        for row in self._ledger.all(query.group_by(series.c.role, series.c.body)):
            family.add_metric([row["role"], row["body"] or ""], row["n"])
        return family

    def _states(self, name: str, meaning: str, table: sa.Table, states: type[StrEnum]) -> Metric:
        family = GaugeMetricFamily(name, meaning, labels=["state"])
        query = sa.select(table.c.state, sa.func.count().label("n")).group_by(table.c.state)
        counted = {row["state"]: row["n"] for row in self._ledger.all(query)}
        for state in states:
            family.add_metric([state], counted.get(state, 0))
        return family

    def _counts(self, table: sa.Table, column: sa.ColumnElement[str]) -> dict[tuple[str, str], int]:
        query = sa.select(column.label("name"), table.c.state, sa.func.count().label("n"))
        return {
            (row["name"], row["state"]): row["n"] for row in self._ledger.all(query.group_by(column, table.c.state))
        }

    def _number(self, query: sa.Select[Any]) -> float:
        row = self._ledger.one(query)
        return float(next(iter(row.values())) or 0.0) if row else 0.0


def _age(since: float) -> float:
    return max(0.0, time.time() - since) if since else 0.0
