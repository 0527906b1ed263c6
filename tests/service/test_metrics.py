"""Metrics: every state is a series from the start, the numbers are the ledger's, and nothing names a study."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.config import Config
from service.ledger import Ledger
from service.metrics import registry
from service.states import DeliveryState, StudyState
from tests.service import scenes

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def made_for(tmp_path: Path) -> Config:
    return scenes.site(tmp_path)


@pytest.fixture
def ledger(made_for: Config) -> Iterator[Ledger]:
    scenes.NOW = time.time()
    one = Ledger(made_for.ledger_url)
    yield one
    one.close()


def scrape(ledger: Ledger, made_for: Config) -> Samples:
    text = generate_latest(registry(ledger, made_for)).decode()
    assert scenes.ROOT not in text, "no UID"
    families = text_string_to_metric_families(text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_an_empty_betz_has_every_state_at_zero(ledger: Ledger, made_for: Config) -> None:
    found = scrape(ledger, made_for)
    assert all(found["betz_studies", (("state", state),)] == 0 for state in StudyState)
    for state in DeliveryState:
        assert found["betz_deliveries", (("destination", "pacs"), ("state", state))] == 0
    assert found["betz_oldest_delivery_seconds", (("destination", "pacs"),)] == 0
    assert found["betz_spool_free_bytes", ()] > 0
    assert found["betz_spool_reserve_bytes", ()] == 100 * 2**20


def test_numbers_are_those_of_the_ledger(ledger: Ledger, made_for: Config) -> None:
    scenes.failing(ledger)
    found = scrape(ledger, made_for)
    assert found["betz_jobs", (("analysis", "dti"), ("state", "dead"))] == 1
    assert found["betz_jobs", (("analysis", "dti"), ("state", "done"))] == 9
    assert found["betz_deliveries", (("destination", "pacs"), ("state", "held"))] == 4
    assert found["betz_oldest_delivery_seconds", (("destination", "pacs"),)] == pytest.approx(8000, abs=30)
    assert found["betz_instances", (("state", "quarantined"),)] == 3
    assert found["betz_series_roles", (("body", "brain"), ("role", "DWI"))] == 13
    assert found["betz_open_associations", ()] == 1
    # nine done, one dead, one unsuitable and one to be tried again: 210 s each
    assert found["betz_job_cpu_seconds_total", (("analysis", "dti"),)] == 12 * 210
    assert found["betz_job_seconds_total", (("analysis", "dti"),)] == pytest.approx(12 * 180)
