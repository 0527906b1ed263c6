"""Slices whose signal a head movement took away during the diffusion gradient.

The mean signal of a slice in one volume is held against what the tensor predicts from all the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyses.dti.tensor import TensorField, voxel_signals
from analyses.shared.gradients import design

LEAST_AREA_MM2 = 4500.0  # brain in the slice; the rim slices of the brain are noise and motion
LEVERAGE_LIMIT = 0.9  # a volume that alone decides its own prediction (a single b = 0) cannot be judged
LOST_SCORE = -4.0  # robust deviations under the slice's own median; no false mark in 1440 slices of a healthy person
LOST_FALL = -0.08  # and at least this much of the logarithm of the signal
SCALE_FLOOR = 0.01  # least robust deviation of the log ratio
MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True)
class Dropouts:
    """lost (slice, volume) marks; judged: number of slices x volumes that could be judged."""

    lost: npt.NDArray[np.bool_]
    judged: int

    @property
    def share(self) -> float:
        """Lost slices among those judged; 0 when none could be."""
        return float(self.lost.sum() / self.judged) if self.judged else 0.0


def find_dropouts(
    data: npt.NDArray[np.float32],
    field: TensorField,
    bvals: npt.NDArray[np.float64],
    bvecs: npt.NDArray[np.float64],
    voxel_mm: tuple[float, float, float],
) -> Dropouts:
    """Find lost slices (third array axis) of `data` (x, y, z, volume), which `field` was fitted to."""
    matrix = design(bvals, bvecs)
    leverage = np.einsum("ij,ji->i", matrix, np.linalg.pinv(matrix))
    counts = np.count_nonzero(field.mask, axis=(0, 1))
    slices = np.flatnonzero(counts * voxel_mm[0] * voxel_mm[1] >= LEAST_AREA_MM2)
    volumes = np.flatnonzero(leverage < LEVERAGE_LIMIT)
    lost = np.zeros((len(counts), len(bvals)), dtype=np.bool_)
    if len(volumes) < 3 or not len(slices):
        return Dropouts(lost, 0)
    ends = np.cumsum(counts)  # the field's voxels run slice after slice
    ratio = np.zeros((len(slices), len(volumes)))
    signals = voxel_signals(data, field.mask)
    for row, index in enumerate(slices):
        voxels = slice(ends[index] - counts[index], ends[index])
        predicted = np.exp(np.minimum(field.tensor[voxels] @ matrix[volumes].T, 80.0)).mean(axis=0)
        observed = np.maximum(signals[voxels][:, volumes].mean(axis=0), 1e-6 * predicted)
        ratio[row] = np.log(observed / predicted) / (1.0 - leverage[volumes])
    fall = ratio - np.median(ratio, axis=1, keepdims=True)
    scale = np.maximum(MAD_TO_SD * np.median(np.abs(fall), axis=1, keepdims=True), SCALE_FLOOR)
    lost[np.ix_(slices, volumes)] = (fall / scale < LOST_SCORE) & (fall < LOST_FALL)
    return Dropouts(lost, ratio.size)
