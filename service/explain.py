"""`betz explain`: what every series of a folder is and why, and which analyses would run on what; nothing is run.

For people as a table; for programs in the form of routing.json.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from analyses.contract import RoleKind
from analyses.registry import ANALYSES
from dicom_io.classify import SiteRule
from dicom_io.header import read_folder
from service.plan import Candidate, Plan, Planned, label
from service.routing import by_study, examine, plan_study, routing_json

PLANNED = "planned"
NOT_RUN = "not run"
LISTED_FILES = 20  # unreadable files named one by one; the rest is counted
PASSED_OVER = (RoleKind.LOCALIZER, RoleKind.DERIVED, RoleKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class ExplainedStudy:
    """One study: its series with their roles, and the plan."""

    study_uid: str
    series: tuple[Candidate, ...]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Explanation:
    """A folder: its studies, and the files that could not be read with the reason."""

    studies: tuple[ExplainedStudy, ...]
    unreadable: tuple[tuple[Path, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Return routing.json for all studies of the folder."""
        jobs = [job_json(job) for study in self.studies for job in study.plan.jobs]
        return routing_json([one for study in self.studies for one in study.series], jobs)


def explain(folder: Path, rules: Sequence[SiteRule] = ()) -> Explanation:
    """Read the headers below `folder`, classify and plan; no pixel data is read."""
    found = read_folder(folder)
    studies = []
    for study_uid, series in by_study(found.series).items():
        candidates = examine(series, rules)
        studies.append(ExplainedStudy(study_uid, candidates, plan_study(candidates, ANALYSES)))
    return Explanation(tuple(studies), found.unreadable)


def job_json(job: Planned) -> dict[str, Any]:
    """Return the routing.json row of a job that was not run."""
    state = PLANNED if job.runnable else NOT_RUN
    return {"analysis": job.analysis.name, "series": dict(job.series), "state": state, "reason": job.reason}


def lines(explanation: Explanation, width: int = 100) -> Iterator[str]:
    """The explanation as a table for a person, with colours that click takes out where nobody watches."""
    for study in explanation.studies:
        yield click.style(f"study {study.study_uid}", bold=True)
        for candidate in study.series:
            yield from _series_lines(candidate, width)
        yield ""
        for job in study.plan.jobs:
            yield from _job_lines(job, width)
        yield ""
    if not explanation.studies:
        yield "no DICOM series here"
    if explanation.unreadable:
        yield click.style(f"{len(explanation.unreadable)} files that are not DICOM or cannot be read", bold=True)
        for path, reason in explanation.unreadable[:LISTED_FILES]:
            yield f"  {path.name}: {reason}"
        if len(explanation.unreadable) > LISTED_FILES:
            yield f"  and {len(explanation.unreadable) - LISTED_FILES} more"


def _series_lines(candidate: Candidate, width: int) -> Iterator[str]:
    header, role, facts = candidate
    colour = "yellow" if role.kind in PASSED_OVER else "green"
    count = len(header.instances)
    what = click.style(f"{role.kind} · {role.body}", fg=colour)
    yield f"  {label(facts)}  {what}  {facts.description}  ({count} instance{'s' if count > 1 else ''})"
    yield from _wrapped(role.reason, width)
    if not facts.complete:
        yield from _wrapped(facts.completeness, width)


def _job_lines(job: Planned, width: int) -> Iterator[str]:
    state = click.style("would run", fg="green") if job.runnable else click.style(NOT_RUN, fg="yellow")
    yield f"  {job.analysis.technique}: {state}"
    yield from _wrapped(job.reason, width)


def _wrapped(text: str, width: int) -> Iterator[str]:
    yield from textwrap.wrap(text, width, initial_indent="      ", subsequent_indent="      ")
