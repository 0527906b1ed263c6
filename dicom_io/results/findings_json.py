"""Findings as JSON (what a job leaves on the spool; no arrays), and `results.json` for other programs.

Forms: `docs/outputs.md`, `docs/results.schema.json`. Every number is finite: NaN is an error here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from analyses.contract import (
    Findings,
    Laterality,
    Measurement,
    Provenance,
    QualityCheck,
    Statistic,
    Verdict,
)
from analyses.quantities import QUANTITIES, Code
from dicom_io.results.run import AnalysisRun, RunState

SCHEMA = 1


def to_json(findings: Findings) -> dict[str, Any]:
    """All of the findings but maps and figures, as JSON values; ValueError for a number that is not finite."""
    return {
        "measurements": [_measurement(one) for one in findings.measurements],
        "quality": [
            {
                "name": check.name,
                "value": _finite(check.value, check.name),
                "unit": check.unit,
                "limit": check.limit,
                "verdict": check.verdict.value,
                "sentence": check.sentence,
            }
            for check in findings.quality
        ],
        "statements": list(findings.statements),
        "provenance": [{"what": one.what, "version": one.version} for one in findings.provenance],
    }


def from_json(values: dict[str, Any]) -> Findings:
    """Findings from `to_json`; KeyError or ValueError when the values are not of that form."""
    return Findings(
        measurements=tuple(
            Measurement(
                quantity=QUANTITIES[one["quantity"]],
                site=one["site"],
                value=one["value"],
                statistic=Statistic(one["statistic"]),
                laterality=Laterality(one["laterality"]) if one["laterality"] else None,
                sd=one["sd"],
                z=one["z"],
                n=one["n"],
                quality=Verdict(one["quality"]),
                quality_reason=one["quality_reason"],
            )
            for one in values["measurements"]
        ),
        quality=tuple(
            QualityCheck(one["name"], one["value"], one["unit"], one["limit"], Verdict(one["verdict"]), one["sentence"])
            for one in values["quality"]
        ),
        statements=tuple(values["statements"]),
        provenance=tuple(Provenance(one["what"], one["version"]) for one in values["provenance"]),
    )


def results_json(
    study_uid: str, series_uids: Iterable[str], runs: Sequence[AnalysisRun], phantom: bool = False
) -> dict[str, Any]:
    """The content of `results.json`: every measurement of the study, and what was not run and why.

    phantom: the study says `"phantom": true`; of a patient it says nothing.
    """
    return {
        "schema": SCHEMA,
        "study": {"study_uid": study_uid, "series_uids": sorted(series_uids)} | ({"phantom": True} if phantom else {}),
        "measurements": [
            _result(run.analysis, one) for run in runs if run.findings for one in run.findings.measurements
        ],
        "not_run": [{"analysis": run.analysis, "reason": run.reason} for run in runs if run.state is not RunState.DONE],
    }


def code_text(code: Code) -> str:
    """A code as one word, scheme first: "DCM:110808"."""
    return f"{code.scheme}:{code.value}"


def _result(analysis: str, one: Measurement) -> dict[str, Any]:
    full = _measurement(one)
    kept = ("quantity", "site", "laterality", "statistic", "value", "sd", "z", "quality")
    extra = {"analysis": analysis, "code": code_text(one.quantity.code), "unit": one.quantity.unit}
    return extra | {key: full[key] for key in kept}


def _measurement(one: Measurement) -> dict[str, Any]:
    what = f"{one.quantity.name} of {one.site}"
    return {
        "quantity": one.quantity.name,
        "site": one.site,
        "laterality": one.laterality.value if one.laterality else None,
        "statistic": one.statistic.value,
        "value": _finite(one.value, what),
        "sd": _finite(one.sd, what),
        "z": _finite(one.z, what),
        "n": one.n,
        "quality": one.quality.value,
        "quality_reason": one.quality_reason,
    }


def _finite(value: float | None, what: str) -> float | None:
    if value is None:
        return None
    if not math.isfinite(value):
        raise ValueError(f"{what} is not a finite number")
    return float(value)
