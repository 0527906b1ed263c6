"""All analyses, in the order of the review; the only list of them."""

from __future__ import annotations

from analyses.contract import Analysis
from analyses.dti.analysis import DTI

ANALYSES: tuple[Analysis, ...] = (DTI,)


def analysis(name: str) -> Analysis:
    """Return the analysis of that name; KeyError when there is none."""
    return {a.name: a for a in ANALYSES}[name]
