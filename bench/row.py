"""One line of the bench: what was measured, the peer beside it, the goal, and whether it is met."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Does the row reach its goal? NO PEER: the goal is a comparison and the peer could not be measured."""

    MET = "MET"
    MISSED = "MISSED"
    NO_PEER = "NO PEER"


class Better(StrEnum):
    """Which side of the limit is good."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Row:
    """A measured target; `ratio` is ours / peer, None without a peer; `goal` is what the verdict was taken from."""

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    goal: str
    verdict: Verdict
    unit: str
    note: str = ""


def _reaches(value: float, better: Better, limit: float) -> bool:
    if math.isnan(value):
        return False
    return value <= limit if better is Better.AT_MOST else value >= limit


def _ratio(ours: float, peer: float | None) -> float | None:
    return None if peer is None or peer == 0 else ours / peer


def absolute(
    name: str, ours: float, better: Better, limit: float, unit: str, *, peer: float | None = None, note: str = ""
) -> Row:
    """Row whose goal is a fixed limit in `unit`; a peer stands beside it for the reader and does not decide."""
    verdict = Verdict.MET if _reaches(ours, better, limit) else Verdict.MISSED
    return Row(name, ours, peer, _ratio(ours, peer), f"{better} {limit:g}", verdict, unit, note)


def against(
    name: str, ours: float, peer: float | None, better: Better, limit: float, unit: str, *, note: str = ""
) -> Row:
    """Row whose goal is a limit on ours / peer; `peer` None = it could not be measured here."""
    ratio = _ratio(ours, peer)
    goal = f"{better} {limit:g} x peer"
    if ratio is None:
        return Row(name, ours, peer, None, goal, Verdict.NO_PEER, unit, note)
    verdict = Verdict.MET if _reaches(ratio, better, limit) else Verdict.MISSED
    return Row(name, ours, peer, ratio, goal, verdict, unit, note)
