"""A seeded smooth deformation, so that every seed is another person: exponential of a random velocity field.

It is a pull-back: the image at a point of the body shows the template at that point plus the displacement.
Scaling and squaring of a stationary velocity: Arsigny 2006, 10.1007/11866565_113.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Points = npt.NDArray[np.float32]
Lattice = npt.NDArray[np.float32]

COARSE_MM = 6.0
SMOOTH_MM = 18.0  # sigma of the velocity: folds of the cortex keep their shape, lobes change theirs
SQUARINGS = 5
LOWER_MM = np.array([-150.0, -190.0, -200.0])
UPPER_MM = np.array([150.0, 150.0, 140.0])


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """Displacement (3, i, j, k), mm, and its turning as rotation vectors; lattice of `COARSE_MM` from `LOWER_MM`."""

    displacement_mm: Lattice
    turning: Lattice

    def _sample(self, field: Lattice, body: Points) -> Points:
        index = (body - LOWER_MM[:, None].astype(np.float32)) / np.float32(COARSE_MM)
        parts = [ndimage.map_coordinates(axis, index, order=1, mode="nearest", prefilter=False) for axis in field]
        return np.asarray(np.stack(parts), np.float32)

    def pull(self, body: Points) -> Points:
        """Template points (3, n) that the body shows at `body` (3, n), mm."""
        return body + self._sample(self.displacement_mm, body)

    def turn(self, body: Points) -> npt.NDArray[np.float32]:
        """Rotation matrices (n, 3, 3) that carry template directions to the body: the warp's local turning, undone."""
        vector = -self._sample(self.turning, body).T
        return rodrigues(vector)


def rodrigues(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rotation matrices (n, 3, 3) of rotation vectors (n, 3), radians."""
    angle = np.maximum(np.linalg.norm(vector, axis=1), 1e-9)[:, None, None]
    x, y, z = vector.T
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3) / angle
    turned = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * (skew @ skew)
    return np.asarray(turned, np.float32)


def _exponential(velocity: Lattice) -> Lattice:
    displacement = velocity / np.float32(2**SQUARINGS)
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in velocity.shape[1:]], indexing="ij"))
    for _ in range(SQUARINGS):
        index = grid + displacement / np.float32(COARSE_MM)
        step = [ndimage.map_coordinates(axis, index, order=1, mode="nearest") for axis in displacement]
        displacement = displacement + np.stack(step)
    return displacement


def jacobian(displacement_mm: Lattice) -> npt.NDArray[np.float32]:
    """Derivative of the pull-back (i, j, k, 3, 3): row = template axis, column = body axis."""
    rows = [np.stack(np.gradient(axis, COARSE_MM), axis=-1) for axis in displacement_mm]
    return np.asarray(np.eye(3, dtype=np.float32) + np.stack(rows, axis=-2), np.float32)


def _turning(displacement_mm: Lattice) -> Lattice:
    # Half the curl: the turning to first order. The largest is 0.2 rad; what is left out is under 0.02.
    slope = jacobian(displacement_mm)
    curl = [
        slope[..., 2, 1] - slope[..., 1, 2],
        slope[..., 0, 2] - slope[..., 2, 0],
        slope[..., 1, 0] - slope[..., 0, 1],
    ]
    return np.asarray(np.stack(curl) / 2, np.float32)


def random_warp(random: np.random.Generator, rms_mm: float) -> Warp:
    """A warp whose velocity has a root-mean-square length of `rms_mm`; 0 is the template itself."""
    shape = tuple(int(n) for n in np.ceil((UPPER_MM - LOWER_MM) / COARSE_MM) + 1)
    noise = random.standard_normal((3, *shape), dtype=np.float32)
    velocity = np.stack([ndimage.gaussian_filter(axis, SMOOTH_MM / COARSE_MM) for axis in noise])
    velocity *= np.float32(rms_mm) / np.sqrt((velocity**2).sum(axis=0).mean())
    displacement = _exponential(velocity)
    return Warp(displacement, _turning(displacement))
