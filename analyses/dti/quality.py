"""Quality of a tensor measurement: each check with its value, its limit and what follows.

Limits without a source are the house's own, from the healthy people that it was tried on (docs of the technique).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyses.contract import QualityCheck, SeriesFacts, Unsuitable, Verdict
from analyses.dti.acceptance import GOOD_AXES, GOOD_COVERAGE_MM, GOOD_MOST_B
from analyses.dti.dropout import Dropouts
from analyses.dti.table_check import CLEAR_RATIO, TableCheck
from analyses.dti.tensor import TensorField

GOOD_CONDITION, MOST_CONDITION = 6.0, 12.0  # of the tensor design; 30 well spread axes have about 1.6
GOOD_VOXEL_MM, GOOD_ANISOTROPY = 3.0, 2.0  # longest edge, longest over shortest; larger voxels mix tracts
ROUNDING = 1.01  # a 3 mm protocol is written as 3.0000001
GOOD_SNR, LEAST_SNR = (
    15.0,
    7.5,
)  # at b = 0 in white matter; under it noise raises FA: Jones & Basser 2004, 10.1002/mrm.20283
LEAST_FREEDOM = 3  # volumes more than unknowns, or residuals do not tell the noise
GOOD_DROPOUT, MOST_DROPOUT = 0.05, 0.10
GOOD_NEGATIVE = 0.05  # of the brain; a healthy person at SNR 20 has 0.02, at the rim and in fluid
GOOD_SATURATED = 0.01  # of the brain with FA > 0.99; a healthy person has 0.0005 to 0.003
SATURATED_FA = 0.99
LEAST_BRAIN_ML = 200.0  # of a slab; a whole adult brain has 1000 to 1700
BRAIN_MD = (0.5, 1.5)  # um2/ms, median of the mask; 0.68 to 0.89 in seven people at b = 930 to 2500
LEAST_WHITE_MATTER = 0.08  # of the mask; 0.28 to 0.37 in the same people
WHITE_MATTER_MD = (0.45, 0.95)  # um2/ms, median; outside: b-values or their unit are wrong


def above(
    name: str,
    value: float,
    unit: str,
    good: float,
    sentence: str,
    *,
    least: float | None = None,
    tolerance: float = 1.0,
) -> QualityCheck:
    """Check that wants `value` at or above `good` within a factor `tolerance`; under `least` it is unsuitable."""
    verdict = Verdict.GOOD if value * tolerance >= good else Verdict.LIMITED
    if least is not None and value < least:
        verdict = Verdict.UNSUITABLE
    return QualityCheck(name, value, unit, f"at least {good:g}", verdict, sentence)


def below(
    name: str, value: float, unit: str, good: float, sentence: str, *, most: float | None = None, tolerance: float = 1.0
) -> QualityCheck:
    """Check that wants `value` at or under `good` within a factor `tolerance`; above `most` it is unsuitable."""
    verdict = Verdict.GOOD if value <= good * tolerance else Verdict.LIMITED
    if most is not None and value > most:
        verdict = Verdict.UNSUITABLE
    return QualityCheck(name, value, unit, f"at most {good:g}", verdict, sentence)


def check_protocol(
    facts: SeriesFacts, bvalue: float, axes: int, condition: float, voxel_mm: tuple[float, float, float], slices: int
) -> tuple[QualityCheck, ...]:
    """Check what was asked of the scanner: volumes, b, directions, coverage, voxels; `slices` along the third axis."""
    extent = slices * voxel_mm[2]
    longest, ratio = max(voxel_mm), max(voxel_mm) / min(voxel_mm)
    size = " x ".join(f"{edge:.2g}" for edge in voxel_mm)
    tensor = f"b=0 and b={bvalue:.0f} s/mm2."
    if bvalue > GOOD_MOST_B:
        tensor = f"b=0 and b={bvalue:.0f} s/mm2: above {GOOD_MOST_B:.0f} diffusivities come out too small."
    return (
        QualityCheck("volumes", float(facts.volumes), "1", "all", Verdict.GOOD, f"{facts.completeness}."),
        below("b-value", bvalue, "s/mm2", GOOD_MOST_B, tensor),
        above("directions", axes, "1", GOOD_AXES, f"{axes} distinct diffusion directions."),
        below(
            "condition number",
            condition,
            "1",
            GOOD_CONDITION,
            f"Condition number {condition:.1f}.",
            most=MOST_CONDITION,
        ),
        above("coverage", extent, "mm", GOOD_COVERAGE_MM, f"Slices cover {extent:.0f} mm.", tolerance=ROUNDING),
        below("voxel size", longest, "mm", GOOD_VOXEL_MM, f"Voxels of {size} mm.", tolerance=ROUNDING),
        below(
            "voxel shape",
            ratio,
            "1",
            GOOD_ANISOTROPY,
            f"Longest over shortest edge {ratio:.1f}.",
            tolerance=ROUNDING,
        ),
    )


def check_brain(field: TensorField, white_matter: npt.NDArray[np.bool_], voxel_ml: float) -> QualityCheck:
    """Check that this is a brain at all: a phantom, another organ and wrong b-values raise `Unsuitable`."""
    volume = len(field.md) * voxel_ml
    if volume < LEAST_BRAIN_ML:
        raise Unsuitable(
            f"No brain was found: the bright region has {volume:.0f} ml, a brain at least {LEAST_BRAIN_ML:.0f}."
        )
    typical = float(np.median(field.md))
    if not BRAIN_MD[0] <= typical <= BRAIN_MD[1]:
        raise Unsuitable(
            f"The diffusivity is not that of a brain: median {typical:.2f} um2/ms, "
            f"expected {BRAIN_MD[0]} to {BRAIN_MD[1]}."
        )
    share = float(white_matter.mean())
    if share < LEAST_WHITE_MATTER:
        raise Unsuitable(
            f"The anisotropy is not that of a brain: {share:.0%} of the region looks like white matter, "
            f"expected at least {LEAST_WHITE_MATTER:.0%}."
        )
    tissue = float(np.median(field.md[white_matter]))
    if not WHITE_MATTER_MD[0] <= tissue <= WHITE_MATTER_MD[1]:
        raise Unsuitable(
            f"White matter has a median diffusivity of {tissue:.2f} um2/ms, expected {WHITE_MATTER_MD[0]} to "
            f"{WHITE_MATTER_MD[1]}: the b-values or their unit are wrong."
        )
    limit = f"{WHITE_MATTER_MD[0]} to {WHITE_MATTER_MD[1]}"
    return QualityCheck(
        "white-matter MD", tissue, "um2/ms", limit, Verdict.GOOD, f"Median MD of white matter {tissue:.2f} um2/ms."
    )


def check_fit(field: TensorField, white_matter: npt.NDArray[np.bool_], volumes: int) -> tuple[QualityCheck, ...]:
    """Check noise and impossible tensors; SNR = fitted S0 over the residual, which movement raises."""
    negative = float(np.mean(field.lowest < 0))
    saturated = float(np.mean(field.fa > SATURATED_FA))
    checks = (
        below(
            "negative eigenvalues",
            negative,
            "1",
            GOOD_NEGATIVE,
            f"Negative diffusivity in {negative:.1%} of the brain.",
        ),
        below("saturated FA", saturated, "1", GOOD_SATURATED, f"FA above {SATURATED_FA} in {saturated:.2%} of it."),
    )
    if volumes < field.tensor.shape[1] + LEAST_FREEDOM:
        sentence = f"{volumes} volumes are too few to tell the noise from the residual."
        unknown = QualityCheck("SNR at b=0", None, "1", f"at least {GOOD_SNR:g}", Verdict.LIMITED, sentence)
        return unknown, *checks
    s0 = np.exp(field.tensor[white_matter, 6])
    snr = float(np.median(s0 / np.maximum(field.sigma[white_matter], 1e-12)))
    measured = above(
        "SNR at b=0",
        snr,
        "1",
        GOOD_SNR,
        f"SNR {snr:.0f} at b=0 in white matter.",
        least=LEAST_SNR,
    )
    return measured, *checks


def check_dropouts(dropouts: Dropouts, judged_volumes: int) -> QualityCheck:
    """Check how many slices movement took; they are left out of the fit."""
    if dropouts.judged == 0:
        sentence = f"{judged_volumes} volumes are too few to find lost slices."
        return QualityCheck("lost slices", None, "1", f"at most {GOOD_DROPOUT:g}", Verdict.LIMITED, sentence)
    count = int(dropouts.lost.sum())
    lost = f"{count} of {dropouts.judged} slices lost to movement, left out of the fit."
    sentence = lost if count else f"None of {dropouts.judged} slices lost to movement."
    return below("lost slices", dropouts.share, "1", GOOD_DROPOUT, sentence, most=MOST_DROPOUT)


def check_directions(table: TableCheck, axes: tuple[str, str, str]) -> QualityCheck:
    """Check the b-table; `axes` name the array axes in the patient, for the sentence."""
    limit = f"at least {CLEAR_RATIO:g}"
    if table.agrees:
        lengths = f"fibre tracks of {table.stored_mm:.0f} mm; otherwise {table.rival_mm:.0f} mm at most"
        sentence = f"Gradient directions fit the images ({lengths})."
        return QualityCheck("gradient directions", table.ratio, "1", limit, Verdict.GOOD, sentence)
    if table.contradicted:
        sentence = (
            f"Gradient directions and image axes disagree ({table.rival.sentence(axes)}): fibre tracks of "
            f"{table.rival_mm:.0f} mm against {table.stored_mm:.0f} mm as stored. FA and MD stand, directions do not."
        )
    elif table.decided:
        sentence = "Fibre tracks do not tell clearly whether the gradient directions fit the image axes."
    else:
        sentence = "Too little white matter to hold the gradient directions against the image axes."
    value = table.ratio if table.decided else None
    return QualityCheck("gradient directions", value, "1", limit, Verdict.LIMITED, sentence)
