"""Results held against the truth of a phantom: what a site's acceptance test prints, and how it ends.

Only what a perfect method gives from the same voxels ("expected") is compared; a truth that no analysis measures yet is
not. Everything that a result says is held to it: value, unit, code, site and side, and which analyses refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

from phantom import delivered
from phantom.truth import FILE, Kind

RESULTS_FILE = "results.json"
SCHEMAS = {RESULTS_FILE: 1, FILE: 1}
DOUBT = 1.5  # times the tolerance: up to here a number is told, and passes
HEADINGS = ("quantity", "site", "side", "truth", "result", "difference", "tolerance", "verdict")


class Outcome(IntEnum):
    """How a comparison ended: the exit code of the command."""

    PASS = 0
    FAIL = 1
    NOTHING = 2
    OTHER_STUDY = 3


class Verdict(StrEnum):
    """What is said of one row."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    REFUSED = "refused as expected"
    MEASURED = "not refused"


Key = tuple[str, str, str, str | None, str]  # analysis, quantity, site, side, statistic
GOOD = frozenset({Verdict.PASS, Verdict.WARN, Verdict.REFUSED})


class NotComparable(Exception):
    """The files cannot be held against each other; `outcome` is how the command ends, the text is a sentence."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison; numbers in the unit of the truth, None where there is none."""

    analysis: str
    quantity: str  # with the statistic
    site: str
    side: str
    truth: float | None
    result: float | None
    tolerance: float | None
    verdict: Verdict
    note: str = ""

    @property
    def difference(self) -> float | None:
        """Result less truth."""
        return None if self.truth is None or self.result is None else self.result - self.truth


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every row, in the order of the truth; what was not expected comes last."""

    rows: tuple[Row, ...]

    @property
    def outcome(self) -> Outcome:
        """How it ends: every row must be good."""
        return Outcome.PASS if all(row.verdict in GOOD for row in self.rows) else Outcome.FAIL

    @property
    def text(self) -> str:
        """The table, what is missing or unexpected, and the last line with the count."""
        numbers = [row for row in self.rows if row.truth is not None and row.result is not None]
        lines = _table([HEADINGS, *(_cells(row) for row in numbers)]) if numbers else []
        lines += [_sentence(row) for row in numbers if row.note]
        for verdict in (Verdict.MISSING, Verdict.UNEXPECTED, Verdict.REFUSED, Verdict.MEASURED):
            lines += [_sentence(row) for row in self.rows if row.verdict is verdict]
        return "\n".join([*lines, self.summary])

    @property
    def summary(self) -> str:
        """PASS or FAIL, and how many of how many."""
        good = sum(row.verdict in GOOD for row in self.rows)
        doubtful = sum(row.verdict is Verdict.WARN for row in self.rows)
        beyond = f", {doubtful} of them beyond the tolerance but within {DOUBT:g} times" if doubtful else ""
        return f"{self.outcome.name} {good} of {len(self.rows)}{beyond}"


def verify(results: Path, truth: Path) -> Comparison:
    """Compare a results.json (or the folder it is in) with a truth.json (or its folder). Raises `NotComparable`."""
    return compare(_read(results, RESULTS_FILE), _read(truth, FILE))


def verify_dicom(folder: Path, truth: Path) -> Comparison:
    """Compare the measurement reports below a folder with a truth.json (or its folder). Raises `NotComparable`."""
    told = _read(truth, FILE)
    found = delivered.results(folder, told["phantom"]["study_uid"])
    if found is None:
        raise NotComparable(Outcome.NOTHING, f"no measurement report of Betz lies below {folder}")
    return compare(found, told)


def compare(results: Mapping[str, Any], truth: Mapping[str, Any]) -> Comparison:
    """Hold the content of results.json against the content of truth.json. Raises `NotComparable`."""
    try:
        _same_phantom(results["study"], truth["phantom"])
        must_refuse = {one["analysis"] for one in truth["refuse"]}
        expected = {
            _key(one): one
            for one in truth["measurements"]
            if one["kind"] == Kind.EXPECTED.value and one["analysis"] not in must_refuse
        }
        measured = {_key(one): one for one in results["measurements"]}
        reasons = {one["analysis"]: one["reason"] for one in results["not_run"]}
        if len(measured) < len(results["measurements"]):
            raise NotComparable(Outcome.NOTHING, "the results say a number twice")
        refused = [_refusal(one["analysis"], one["words"], reasons, measured) for one in truth["refuse"]]
        rows = [*(_row(one, measured.get(key), reasons) for key, one in expected.items()), *refused]
        told = {one["analysis"] for one in (*expected.values(), *truth["refuse"], *truth["not_run"])}
        if not rows or not told & ({one["analysis"] for one in results["measurements"]} | set(reasons)):
            raise NotComparable(Outcome.NOTHING, "the truth and the results have nothing in common")
        return Comparison((*rows, *(_unexpected(measured[key]) for key in measured if key not in expected)))
    except (KeyError, TypeError, AttributeError) as fault:
        raise NotComparable(Outcome.NOTHING, f"results or truth have not the form that was promised: {fault}") from None


def _read(path: Path, name: str) -> dict[str, Any]:
    file = path / name if path.is_dir() else path
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as fault:
        raise NotComparable(Outcome.NOTHING, f"{file} cannot be read: {fault.strerror}") from None
    except ValueError:
        raise NotComparable(Outcome.NOTHING, f"{file} is no JSON") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMAS[name]:
        raise NotComparable(Outcome.NOTHING, f"{file} is no {name} of schema {SCHEMAS[name]}")
    return content


def _same_phantom(study: Mapping[str, Any], phantom: Mapping[str, Any]) -> None:
    if study["study_uid"] != phantom["study_uid"]:
        raise NotComparable(
            Outcome.OTHER_STUDY,
            f"the results are of study {study['study_uid']}, the truth of study {phantom['study_uid']}",
        )
    if study.get("phantom") is not True:
        raise NotComparable(Outcome.OTHER_STUDY, "the results are of a patient, not of a phantom")


def _key(one: Mapping[str, Any]) -> Key:
    return one["analysis"], one["quantity"], one["site"], one["laterality"], one["statistic"]


def _row(truth: Mapping[str, Any], result: Mapping[str, Any] | None, reasons: Mapping[str, str]) -> Row:
    """One expected number, found or missing."""
    allowed = float(truth["tolerance"]["abs"])
    place = truth["analysis"], f"{truth['quantity']} {truth['statistic']}", truth["site"], truth["laterality"] or ""
    value = float(truth["value"])
    if result is None:
        reason = reasons.get(truth["analysis"], "")
        return Row(*place, value, None, allowed, Verdict.MISSING, f"not run: {reason}" if reason else "")
    found = float(result["value"])
    wrong = [f"{what} {result[what]}, not {truth[what]}" for what in ("unit", "code") if result[what] != truth[what]]
    away = abs(found - value)
    if wrong or not math.isfinite(found) or away > DOUBT * allowed:
        return Row(*place, value, found, allowed, Verdict.FAIL, "; ".join(wrong))
    return Row(*place, value, found, allowed, Verdict.PASS if away <= allowed else Verdict.WARN)


def _unexpected(result: Mapping[str, Any]) -> Row:
    quantity = f"{result['quantity']} {result['statistic']}"
    side = result["laterality"] or ""
    return Row(
        result["analysis"], quantity, result["site"], side, None, float(result["value"]), None, Verdict.UNEXPECTED
    )


def _refusal(analysis: str, words: str, reasons: Mapping[str, str], measured: Iterable[Key]) -> Row:
    """An analysis that must say that the data are unsuitable, in those words."""
    reason = reasons.get(analysis)
    if reason is None:
        done = any(key[0] == analysis for key in measured)
        note = "it measured" if done else "the results do not speak of it"
        return Row(analysis, "", "", "", None, None, None, Verdict.MEASURED, note)
    if words.lower() not in reason.lower():
        return Row(
            analysis, "", "", "", None, None, None, Verdict.MEASURED, f'"{words}" is not in its reason: {reason}'
        )
    return Row(analysis, "", "", "", None, None, None, Verdict.REFUSED, reason)


def _cells(row: Row) -> tuple[str, ...]:
    numbers = tuple(
        "" if one is None else f"{one:{form}}"
        for one, form in ((row.truth, ".4g"), (row.result, ".4g"), (row.difference, "+.2g"), (row.tolerance, ".2g"))
    )
    return row.quantity, row.site, row.side, *numbers, row.verdict.value


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell; words to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    numeric = range(HEADINGS.index("truth"), HEADINGS.index("verdict"))
    return [
        " | ".join(
            cell.rjust(width) if column in numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _sentence(row: Row) -> str:
    told = next((f"{one:.4g}" for one in (row.result, row.truth) if one is not None), "")
    what = " ".join(word for word in (row.analysis, row.quantity, row.site, row.side, told) if word)
    return f"{row.verdict.value}: {what}" + (f" ({row.note})" if row.note else "")
