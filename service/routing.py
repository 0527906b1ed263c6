"""From files to a plan: what each series of a study is, which analyses follow, and `routing.json` that tells it.

The same few steps for the service, `betz analyse` and `betz explain`. No pixel data is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from analyses.contract import Analysis
from dicom_io import facts
from dicom_io.classify import SiteRule, classify_all
from dicom_io.header import SeriesHeader, one_patient
from dicom_io.part10 import Undecodable, read_file_head
from service.plan import Candidate, Plan, plan, refuse_all

ROUTING_SCHEMA = 1
TWO_PATIENTS = "two patients under one study: nothing is analysed and nothing is sent"


def rules_of(table: Iterable[Mapping[str, str]]) -> tuple[SiteRule, ...]:
    """Return the site's table of roles as the classifier takes it."""
    known = {field.name for field in fields(SiteRule)}
    return tuple(SiteRule(**{key: value for key, value in row.items() if key in known}) for row in table)


def examine(series: Iterable[SeriesHeader], rules: Sequence[SiteRule] = ()) -> tuple[Candidate, ...]:
    """Find the role and the facts of every series, in the order of the scanner's numbers."""
    ordered = sorted(series, key=lambda one: (one.first.series_number or 0, one.first.series_uid))
    roles = classify_all(ordered, rules)
    return tuple((one, role, facts.facts(one, role)) for one, role in zip(ordered, roles, strict=True))


def plan_study(candidates: Sequence[Candidate], analyses: Iterable[Analysis]) -> Plan:
    """Plan one study; a study of two patients gets no analysis."""
    if not one_patient(instance for header, _, _ in candidates for instance in header.instances):
        return refuse_all(analyses, TWO_PATIENTS)
    return plan(candidates, analyses)


def by_study(series: Iterable[SeriesHeader]) -> dict[str, tuple[SeriesHeader, ...]]:
    """Group series by their study, studies in the order of their UIDs."""
    found: dict[str, list[SeriesHeader]] = {}
    for one in series:
        found.setdefault(one.first.study_uid, []).append(one)
    return {uid: tuple(found[uid]) for uid in sorted(found)}


def data_set_sha256(path: Path) -> str:
    """SHA-256 of a file's data set, as the receiver reckons it: without preamble and file meta group."""
    data = path.read_bytes()
    try:
        start = read_file_head(data).data_set_at
    except Undecodable:
        start = 0
    return hashlib.sha256(memoryview(data)[start:]).hexdigest()


def series_json(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
    """Return the `series` rows of routing.json."""
    return [
        {
            "series_uid": header.first.series_uid,
            "role": str(role.kind),
            "body": str(role.body),
            "reason": role.reason,
            "instances": len(header.instances),
        }
        for header, role, _ in candidates
    ]


def routing_json(candidates: Iterable[Candidate], jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return routing.json; a job row has "analysis", "series" {need: uid}, "state" and "reason"."""
    return {"schema": ROUTING_SCHEMA, "series": series_json(candidates), "jobs": [dict(job) for job in jobs]}
