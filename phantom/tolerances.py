"""How far a result of diffusion may lie from the truth, and why: what noise does to a perfect fit, and a floor.

Noise is not a guess: it pushes FA and AD up and RD down, by an amount that follows from the covariance of weighted
least squares (Salvador 2005, 10.1002/hbm.20076) at the true tensors, drawn here for a sample of a region's voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyses.contract import Statistic
from analyses.quantities import FA, VOLUME, Quantity
from phantom.anatomy.fibres import SIX
from phantom.diffusion import DiffusionBody
from phantom.sequences import dwi
from phantom.truth import Allowance, Cause, Tolerance

# What remains: voxels at the edge of a region that noise moves in or out, rounding of stored values.
FA_FLOOR = 0.010
DIFFUSIVITY_FLOOR = 0.02  # of the value
VOLUME_FLOOR = 0.03  # of the value
# Of the body, until an analysis measures them: the targets that such methods reach (estimates).
THICKNESS_FLOOR_MM = 0.15
PARCEL_VOLUME_FLOOR = 0.02  # of the value
CHANGE_FLOOR_PERCENT = 0.3
SAMPLE = 4000  # voxels of a region
LEAST_SIGNAL = 2.0  # in sigma: below, the log of a magnitude image has no Gaussian error; such voxels are air or fluid

Shift = Mapping[tuple[str, Statistic], float]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the noise acts on: the b-table (directions RAS) and the noise's standard deviation, in units of signal."""

    b: npt.NDArray[np.float64]
    g_ras: npt.NDArray[np.float64]
    sigma: float


def _design(measured: Measured) -> npt.NDArray[np.float64]:
    columns = [-measured.b * 1e-3 * (1 if i == j else 2) * measured.g_ras[:, i] * measured.g_ras[:, j] for i, j in SIX]
    return np.column_stack([*columns, np.ones_like(measured.b)])


def noise_shift(
    body: DiffusionBody, region: npt.NDArray[np.bool_], measured: Measured, random: np.random.Generator
) -> Shift:
    """How far noise moves mean and median of FA, MD, AD, RD over a region, by quantity name and statistic."""
    voxels = np.flatnonzero(region.ravel())
    chosen = random.choice(voxels, min(SAMPLE, len(voxels)), replace=False)
    tensor = body.tensor.reshape(6, -1)[:, chosen].astype(np.float64)
    before = dwi.scalars(tensor.astype(np.float32))
    if measured.sigma > 0:
        design = _design(measured)
        signal = body.unweighted.ravel()[chosen][:, None] * np.exp(tensor.T @ design[:, :6].T)
        weight = np.maximum(signal / measured.sigma, LEAST_SIGNAL) ** 2
        information = np.einsum("vi,nv,vj->nij", design, weight, design, optimize=True)
        spread = np.linalg.cholesky(np.linalg.inv(information)[:, :6, :6])
        tensor = tensor + np.einsum("nij,nj->in", spread, random.standard_normal((len(chosen), 6)))
    after = dwi.scalars(tensor.astype(np.float32))
    return {
        (name, statistic): float(take(after[name]) - take(before[name]))
        for name in before
        for statistic, take in ((Statistic.MEAN, np.mean), (Statistic.MEDIAN, np.median))
    }


def of(quantity: Quantity, value: float, statistic: Statistic, shift: Shift) -> Tolerance:
    """Tolerance of a number about its noise-free truth `value`."""
    if quantity is VOLUME:
        return Tolerance((_floor(VOLUME_FLOOR * value, "3 per cent: noise moves the edge of a region"),))
    noise = Allowance(Cause.NOISE, abs(shift[quantity.name, statistic]), "what it does to a perfect fit")
    if quantity is FA:
        return Tolerance((noise, _floor(FA_FLOOR, "edge of the region")))
    return Tolerance((noise, _floor(DIFFUSIVITY_FLOOR * value, "2 per cent: edge of the region")))


def widened(tolerance: Tolerance, distance: float) -> Tolerance:
    """Tolerance about what was put in, when the definition of the region alone moves the number by `distance`."""
    return Tolerance((*tolerance.parts, Allowance(Cause.BIAS, abs(distance), "definition of the region")))


def thickness(_mm: float) -> Tolerance:
    """Tolerance of the mean thickness of a region of the cortex."""
    return Tolerance((_floor(THICKNESS_FLOOR_MM, "partial volume and blur at 1 mm"),))


def parcel_volume(ml: float) -> Tolerance:
    """Tolerance of the volume of a region."""
    return Tolerance((_floor(PARCEL_VOLUME_FLOOR * ml, "2 per cent: edge of the region"),))


def volume_change(_percent_a_year: float, years: float) -> Tolerance:
    """Tolerance of the change of a region in a year, from two visits `years` apart."""
    return Tolerance((_floor(CHANGE_FLOOR_PERCENT / years, "0.3 per cent between two visits"),))


def _floor(absolute: float, why: str) -> Allowance:
    return Allowance(Cause.FLOOR, absolute, why)
