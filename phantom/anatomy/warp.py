"""A seeded smooth deformation, so that every seed is another person: exponential of a random velocity field.

It is a pull-back: the image of the person at a point shows the body at that point plus the displacement. The
displacement is a uniform cubic B-spline, so its derivative is exact and continuous (Rueckert 1999, 10.1109/42.796284).
Scaling and squaring of a stationary velocity: Arsigny 2006, 10.1007/11866565_113.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
from scipy import ndimage

Points = npt.NDArray[np.float32]
Lattice = npt.NDArray[np.float32]

COARSE_MM = 6.0
SMOOTH_MM = 18.0  # sigma of the velocity: folds of the cortex keep their shape, lobes change theirs
SQUARINGS = 5
LOWER_MM = np.array([-150.0, -190.0, -250.0])
UPPER_MM = np.array([150.0, 150.0, 140.0])


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """B-spline coefficients of the displacement (3, i, j, k), mm, on a lattice of `COARSE_MM` from `LOWER_MM`."""

    coefficients_mm: Lattice

    def pull(self, person: Points) -> Points:
        """Body points (3, n) that the person shows at `person` (3, n), mm."""
        return np.asarray(person + _displacement(self.coefficients_mm, _index(person)), np.float32)

    def derivative(self, person: Points) -> npt.NDArray[np.float32]:
        """Derivative of the pull-back (n, 3, 3): row = body axis, column = person axis."""
        slope = _slope(self.coefficients_mm, _index(person)) / np.float32(COARSE_MM)
        return np.asarray(np.eye(3, dtype=np.float32) + slope, np.float32)

    def determinant(self, person: Points) -> npt.NDArray[np.float32]:
        """Jacobian (n,) of the pull-back: body volume shown per volume of the person."""
        return np.asarray(np.linalg.det(self.derivative(person)), np.float32)

    def turn(self, person: Points) -> npt.NDArray[np.float32]:
        """Rotation matrices (n, 3, 3) that carry body directions to the person: half the curl, undone.

        That is the turning to first order: the largest is 0.2 rad, what is left out is under 0.02.
        """
        slope = self.derivative(person)
        curl = (slope[:, 2, 1] - slope[:, 1, 2], slope[:, 0, 2] - slope[:, 2, 0], slope[:, 1, 0] - slope[:, 0, 1])
        return rodrigues(np.asarray(-np.stack(curl, axis=1) / 2, np.float32))


def _index(person: Points) -> Points:
    return np.asarray((person - LOWER_MM[:, None].astype(np.float32)) / np.float32(COARSE_MM), np.float32)


@numba.njit(cache=True)
def _weights(at: float, size: int, weight: npt.NDArray[np.float32], slope: npt.NDArray[np.float32]) -> int:
    """First of the four coefficients that matter at `at`; their weights and derivatives. Outside: the rim's value."""
    clamped = min(max(at, 1.0), size - 2.001)
    first = int(clamped)
    t = clamped - first
    inside = np.float32(1.0 if clamped == at else 0.0)
    weight[0] = (1 - t) ** 3 / 6
    weight[1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weight[2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weight[3] = t**3 / 6
    slope[0] = -((1 - t) ** 2) / 2 * inside
    slope[1] = (3 * t**2 - 4 * t) / 2 * inside
    slope[2] = (-3 * t**2 + 2 * t + 1) / 2 * inside
    slope[3] = t**2 / 2 * inside
    return first - 1


@numba.njit(cache=True, nogil=True)
def _displacement(field: Lattice, index: Points) -> Points:
    result = np.zeros_like(index)
    wx, wy, wz, unused = np.empty((4, 4), np.float32)
    _, nx, ny, nz = field.shape
    for n in range(index.shape[1]):
        i = _weights(index[0, n], nx, wx, unused)
        j = _weights(index[1, n], ny, wy, unused)
        k = _weights(index[2, n], nz, wz, unused)
        for axis in range(3):
            total = np.float32(0)
            for a in range(4):
                for b in range(4):
                    w = wx[a] * wy[b]
                    row = field[axis, i + a, j + b]
                    total += w * (wz[0] * row[k] + wz[1] * row[k + 1] + wz[2] * row[k + 2] + wz[3] * row[k + 3])
            result[axis, n] = total
    return result


@numba.njit(cache=True, nogil=True)
def _slope(field: Lattice, index: Points) -> npt.NDArray[np.float32]:
    result = np.zeros((index.shape[1], 3, 3), np.float32)
    wx, wy, wz, sx, sy, sz = np.empty((6, 4), np.float32)
    _, nx, ny, nz = field.shape
    for n in range(index.shape[1]):
        i = _weights(index[0, n], nx, wx, sx)
        j = _weights(index[1, n], ny, wy, sy)
        k = _weights(index[2, n], nz, wz, sz)
        for axis in range(3):
            for a in range(4):
                for b in range(4):
                    for c in range(4):
                        value = field[axis, i + a, j + b, k + c]
                        result[n, axis, 0] += sx[a] * wy[b] * wz[c] * value
                        result[n, axis, 1] += wx[a] * sy[b] * wz[c] * value
                        result[n, axis, 2] += wx[a] * wy[b] * sz[c] * value
    return result


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


def random_warp(random: np.random.Generator, rms_mm: float) -> Warp:
    """A warp whose velocity has a root-mean-square length of `rms_mm`; 0 is the body itself."""
    shape = tuple(int(n) for n in np.ceil((UPPER_MM - LOWER_MM) / COARSE_MM) + 1)
    noise = random.standard_normal((3, *shape), dtype=np.float32)
    velocity = np.stack([ndimage.gaussian_filter(axis, SMOOTH_MM / COARSE_MM) for axis in noise])
    velocity *= np.float32(rms_mm) / np.sqrt((velocity**2).sum(axis=0).mean())
    return Warp(np.ascontiguousarray(_exponential(velocity), dtype=np.float32))
