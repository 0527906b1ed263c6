"""What a diffusion series must be to carry a tensor: refusals from headers, and the choice of shell.

What is under the lower limit is refused; what is between the limits runs, and its numbers are marked limited.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analyses.contract import Refusal, SeriesFacts
from analyses.shared.gradients import B0_MAXIMUM, Shell, distinct_axes, shells

LEAST_AXES = 6  # unknowns of a tensor
GOOD_AXES = 15  # fewer leave FA dependent on how the head lay; Jones 2004, 10.1002/mrm.20033, asks for 20 for robust FA
LEAST_B = 600.0  # s/mm2; under it the signal falls too little
GOOD_MOST_B, MOST_B = (
    1500.0,
    3000.0,
)  # s/mm2; above, kurtosis makes diffusivity too small; Jensen 2005, 10.1002/mrm.20508
USUAL_B = 1000.0
LEAST_COVERAGE_MM = 30.0  # under it there is no telling whether a brain was seen
GOOD_COVERAGE_MM = 100.0  # of the whole cerebrum


def accept(facts: SeriesFacts) -> Refusal | None:
    """Return why the series cannot carry a tensor, or None."""
    reason = _refusal(facts)
    return Refusal(reason) if reason else None


def _refusal(facts: SeriesFacts) -> str | None:
    """Return the first reason against the series, gravest first."""
    weighted = [b for b in facts.bvals if b >= B0_MAXIMUM]
    usable = [b for b in weighted if LEAST_B <= b <= MOST_B]
    if not facts.complete:
        return f"Volumes are incomplete: {facts.completeness}."
    if not facts.bvals:
        return "The series carries no b-values."
    if len(weighted) == len(facts.bvals):
        return "No image without diffusion weighting (b=0)."
    if not usable:
        highest = max(weighted, default=0.0)
        return f"No diffusion weighting between b={LEAST_B:.0f} and {MOST_B:.0f} s/mm2; the highest b is {highest:.0f}."
    if facts.directions == 0:
        return "Diffusion directions are missing from the series."
    if facts.directions < LEAST_AXES:
        return f"Only {facts.directions} diffusion directions; at least {LEAST_AXES} are needed for a tensor."
    if facts.coverage_mm is not None and facts.coverage_mm < LEAST_COVERAGE_MM:
        return f"Slices cover {facts.coverage_mm:.0f} mm; at least {LEAST_COVERAGE_MM:.0f} mm are needed."
    return None


def tensor_shell(bvals: npt.NDArray[np.float64], bvecs: npt.NDArray[np.float64]) -> Shell | None:
    """Choose the shell of the tensor: b in the good range, then enough axes, then nearest b = 1000; None = none."""
    candidates = [s for s in shells(bvals) if LEAST_B <= s.bvalue <= MOST_B and axes_of(s, bvecs) >= LEAST_AXES]

    def merit(shell: Shell) -> tuple[bool, bool, float]:
        good_b = shell.bvalue <= GOOD_MOST_B
        return good_b, axes_of(shell, bvecs) >= GOOD_AXES, -abs(shell.bvalue - USUAL_B)

    return max(candidates, key=merit, default=None)


def axes_of(shell: Shell, bvecs: npt.NDArray[np.float64], without: Sequence[int] = ()) -> int:
    """Count the distinct axes of a shell, volumes `without` left out."""
    return distinct_axes(bvecs[[v for v in shell.volumes if v not in without]])
