"""Do the gradient directions and the image axes belong together? The b-table check.

A flipped or exchanged axis leaves FA and MD as they are and looks normal in a colour map, but fibres no longer join up:
of the 24 ways to permute and flip the axes, the right one gives the longest streamlines. The idea of joining fibres is
Schilling's (2019, 10.1016/j.mri.2019.01.018); length tells more than his coherence index on a slab.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from analyses.dti import _kernels
from analyses.dti.mask import eroded
from analyses.dti.tensor import TensorField

SEEDS = 2500
SEED_FA = (0.3, 0.99)  # surely fibres, surely not noise
STOP_FA = 0.2
STEP_MM = 1.0
TURN_DEG = 45.0  # most a streamline turns in a step
LONGEST_MM = 200
RIM_MM = 3.5  # anisotropy of the mask's rim is motion and fluid
LEAST_SEEDS = 200  # fewer fibre voxels decide nothing
CLEAR_RATIO = 1.15  # measured on four vendors: the right configuration wins by 1.24 to 1.75


@dataclass(frozen=True, slots=True)
class Configuration:
    """A reading of the direction table: component n is sign[n] * vector[order[n]]."""

    order: tuple[int, int, int]
    sign: tuple[int, int, int]

    @property
    def as_stored(self) -> bool:
        """Say whether this reading is the table as it stands."""
        return self == AS_STORED

    def sentence(self, axes: tuple[str, str, str]) -> str:
        """Return what is wrong with the table if this reading is right; `axes` name the array axes."""
        faults = []
        moved = [axes[n] for n in range(3) if self.order[n] != n]
        if moved:
            faults.append(f"{' and '.join(moved)} exchanged")
        turned = [n for n in range(3) if self.sign[n] < 0]
        if turned:
            faults.append(f"{axes[turned[0]]} reversed")
        return ", ".join(faults)


def _signs() -> tuple[tuple[int, int, int], ...]:
    """One flipped axis or none; two flipped are the third one flipped, because a direction has no sign."""
    return (1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)


CONFIGURATIONS = tuple(
    Configuration((order[0], order[1], order[2]), sign) for order in permutations(range(3)) for sign in _signs()
)
AS_STORED = Configuration((0, 1, 2), (1, 1, 1))


@dataclass(frozen=True, slots=True)
class TableCheck:
    """Mean streamline length of the table as stored and of the best other reading, in mm, and that reading.

    seeds = 0: too few fibre voxels to say anything.
    """

    stored_mm: float
    rival_mm: float
    rival: Configuration
    seeds: int

    @property
    def decided(self) -> bool:
        """Say whether fibres tell anything at all."""
        return self.seeds >= LEAST_SEEDS and max(self.stored_mm, self.rival_mm) > 0

    @property
    def agrees(self) -> bool:
        """Say whether the table as stored wins clearly."""
        return self.decided and self.stored_mm >= CLEAR_RATIO * self.rival_mm

    @property
    def contradicted(self) -> bool:
        """Say whether another reading wins clearly."""
        return self.decided and self.rival_mm >= CLEAR_RATIO * self.stored_mm

    @property
    def ratio(self) -> float:
        """Stored length over the rival's."""
        return self.stored_mm / self.rival_mm if self.rival_mm > 0 else float("inf")


def check_table(field: TensorField, voxel_mm: tuple[float, float, float]) -> TableCheck:
    """Track the same seeds with all 24 readings of V1; deterministic: seeds are every n-th fibre voxel."""
    inside = eroded(field.mask, RIM_MM, voxel_mm)
    fa = np.ascontiguousarray(np.where(inside, field.volume(field.fa, 0.0), np.float32(0)))
    fibres = np.argwhere((fa > SEED_FA[0]) & (fa < SEED_FA[1]))
    if len(fibres) < LEAST_SEEDS:
        return TableCheck(0.0, 0.0, AS_STORED, 0)
    every = np.linspace(0, len(fibres) - 1, min(SEEDS, len(fibres))).astype(np.int64)
    seeds = np.ascontiguousarray(fibres[every])
    axes = np.ascontiguousarray(field.volume(field.direction, 0.0))
    lengths = {c: _mean_length(axes, fa, voxel_mm, seeds, c) for c in CONFIGURATIONS}
    rival = max((c for c in CONFIGURATIONS if not c.as_stored), key=lambda c: lengths[c])
    return TableCheck(lengths[AS_STORED], lengths[rival], rival, len(seeds))


def _mean_length(
    axes: npt.NDArray[np.float32],
    fa: npt.NDArray[np.float32],
    voxel_mm: tuple[float, float, float],
    seeds: npt.NDArray[np.int64],
    configuration: Configuration,
) -> float:
    """Mean streamline length in mm under one reading."""
    steps = _kernels.streamline_steps(
        axes,
        fa,
        np.asarray(voxel_mm, dtype=np.float64),
        seeds,
        np.asarray(configuration.order, dtype=np.int64),
        np.asarray(configuration.sign, dtype=np.float64),
        STEP_MM,
        float(np.cos(np.radians(TURN_DEG))),
        STOP_FA,
        LONGEST_MM,
    )
    return float(STEP_MM * steps / len(seeds))
