"""What a job is told and what it answers, as small JSON files: paths and records, never arrays.

An `Order` goes to the child process that does the work, an `Outcome` comes back. Both hold UIDs and paths only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

REPORT = "report"
REPORT_VERSION = "1"
OUTCOME_FILE = "outcome.json"
FINDINGS_FILE = "findings.json"
FIGURES_FOLDER = "figures"
DIGEST_LENGTH = 20  # hexadecimal digits that are kept: 80 bits, and a job id that a person can read aloud


class Ending(StrEnum):
    """How a job's process ended."""

    DONE = "done"
    UNSUITABLE = "unsuitable"  # a normal end: the data cannot answer
    FAILED = "failed"  # may be tried again
    DEAD = "dead"  # would end the same way again: memory or time overrun, a result that did not pass its check
    CANCELLED = "cancelled"  # superseded while it ran


@dataclass(frozen=True, slots=True)
class RunOrder:
    """One analysis as the report has to tell it."""

    analysis: str
    version: str
    technique: str
    inputs: Mapping[str, str]  # need -> series UID
    state: str  # a value of dicom_io.results.run.RunState
    reason: str
    folder: str  # where its results lie; "" when there are none


@dataclass(frozen=True, slots=True)
class Order:
    """One job: an analysis on its input series, or the report on all series and all runs of a study."""

    job_id: str
    study_uid: str
    study_version: int
    analysis: str  # REPORT for the report
    version: str
    digest: str
    inputs: Mapping[str, str]  # need -> series UID
    series: Mapping[str, tuple[str, ...]]  # series UID -> its files
    rules: tuple[Mapping[str, str], ...]  # the site's own table of roles, as in the configuration
    folder: str  # where the results go
    at: float  # seconds since the epoch: the time written into the objects, the same in every repetition
    software_version: str
    device_serial: str
    timezone: str
    threads: int
    runs: tuple[RunOrder, ...] = ()
    predecessor: str = ""  # the SR of the study's earlier report

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        values = json.loads(path.read_text("utf-8"))
        values["series"] = {uid: tuple(paths) for uid, paths in values["series"].items()}
        values["rules"] = tuple(values["rules"])
        values["runs"] = tuple(RunOrder(**one) for one in values["runs"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One DICOM object that a job made; `file` is relative to the job's results folder."""

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    kind: str  # one of service.config.OBJECT_KINDS
    file: str
    sha256: str  # of the whole file


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, and enough of the job to write its ledger row again."""

    job_id: str
    study_uid: str
    study_version: int
    analysis: str
    version: str
    inputs: Mapping[str, str]
    ending: Ending
    reason: str
    at: float
    objects: tuple[ResultObject, ...] = ()
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    wall_s: float = 0.0
    figures: tuple[tuple[str, str], ...] = field(default=())  # (file, caption) of findings' figures, in order

    @classmethod
    def of(cls, order: Order, ending: Ending, reason: str) -> Self:
        """Return the outcome of `order` without objects."""
        return cls(
            job_id=order.job_id,
            study_uid=order.study_uid,
            study_version=order.study_version,
            analysis=order.analysis,
            version=order.version,
            inputs=dict(order.inputs),
            ending=ending,
            reason=reason,
            at=order.at,
        )

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; OSError or ValueError when there is no such thing."""
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        values["ending"] = Ending(values["ending"])
        values["objects"] = tuple(ResultObject(**one) for one in values["objects"])
        values["figures"] = tuple((file, caption) for file, caption in values["figures"])
        return cls(**values)


def inputs_digest(instances: Iterable[tuple[str, str]], *more: str) -> str:
    """Digest of (SOP instance UID, sha256 of its data set) in any order, and of what else decides the result."""
    total = hashlib.sha256()
    for uid, sha256 in sorted(instances):
        total.update(f"{uid} {sha256}\n".encode())
    for text in more:
        total.update(f"{len(text)} {text}\n".encode())
    return total.hexdigest()[:DIGEST_LENGTH]


def analysis_digest(
    instances: Iterable[tuple[str, str]],
    study_uid: str,
    analysis: tuple[str, str],
    inputs: Mapping[str, str],
    maker: tuple[str, str],
) -> str:
    """Digest of an analysis (name, version) on its inputs; `maker`: what of the site stands in every object."""
    needs = [f"{need}={uid}" for need, uid in sorted(inputs.items())]
    return inputs_digest(instances, study_uid, *analysis, *maker, *needs)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON so that a reader never sees half a file."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(values, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
    part.replace(path)
