"""Kernels of what moves an image: signal pushed along the phase encoding, none lost and none made; a turned head."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]

PARTS = 4  # pieces of a voxel that move on their own


@numba.njit(cache=True, nogil=True)
def _parabola(line: Field, left: Field, right: Field) -> None:
    """Values at both edges of each voxel, of fourth order: with the mean they give a parabola inside it.

    Colella & Woodward 1984, 10.1016/0021-9991(84)90143-8, without their limiter: the signal is smooth.
    """
    count = line.shape[0]
    for n in range(count + 1):
        b, c = line[max(n - 1, 0)], line[min(n, count - 1)]
        a, d = line[max(n - 2, 0)], line[min(n + 1, count - 1)]
        edge = np.float32((7 * (b + c) - (a + d)) / 12)
        if n < count:
            left[n] = edge
        if n > 0:
            right[n - 1] = edge


@numba.njit(cache=True, nogil=True)
def push(image: Field, displacement: Field, out: Field) -> None:
    """Move the signal of `image` (x, y, z) by `displacement` (voxels, at voxel centres) along y into `out`.

    Each quarter of a voxel carries its own signal to where its two ends go: that is division by the Jacobian, and it
    holds where the map folds. What leaves the image is lost.
    """
    nx, ny, nz = image.shape
    line, left, right = np.empty(ny, np.float32), np.empty(ny, np.float32), np.empty(ny, np.float32)
    moved = np.empty(ny)
    for i in range(nx):
        for k in range(nz):
            still, empty = True, True
            for j in range(ny):
                line[j] = image[i, j, k]
                still = still and displacement[i, j, k] == 0
                empty = empty and line[j] == 0
                moved[j] = 0.0
            if still or empty:
                for j in range(ny):
                    out[i, j, k] = line[j]
                continue
            _parabola(line, left, right)
            for j in range(ny):
                curve = 6 * (line[j] - (left[j] + right[j]) / 2)
                done = 0.0
                start = _end(displacement, i, j, k, -0.5)
                for part in range(PARTS):
                    t = (part + 1) / PARTS
                    until = left[j] * t + (right[j] - left[j] + curve) * t * t / 2 - curve * t * t * t / 3
                    stop = _end(displacement, i, j, k, t - 0.5)
                    _spread(moved, start, stop, until - done)
                    done, start = until, stop
            for j in range(ny):
                out[i, j, k] = moved[j]


@numba.njit(cache=True, nogil=True, inline="always")
def _end(displacement: Field, i: int, j: int, k: int, offset: float) -> float:
    """Where the place `offset` from the centre of voxel j goes, counted from the lower edge of voxel 0."""
    other = j - 1 if offset < 0 else j + 1
    other = min(max(other, 0), displacement.shape[1] - 1)
    far = abs(offset)
    return float(j + offset + 0.5 + (1 - far) * displacement[i, j, k] + far * displacement[i, other, k])


@numba.njit(cache=True, nogil=True, inline="always")
def _spread(moved: npt.NDArray[np.float64], start: float, stop: float, signal: float) -> None:
    """Lay `signal` evenly over the stretch from start to stop, whichever is first."""
    low, high = min(start, stop), max(start, stop)
    if high - low < 1e-9:
        n = int(np.floor(low))
        if 0 <= n < moved.shape[0]:
            moved[n] += signal
        return
    density = signal / (high - low)
    for n in range(max(int(np.floor(low)), 0), min(int(np.floor(high)) + 1, moved.shape[0])):
        moved[n] += density * max(min(high, n + 1.0) - max(low, float(n)), 0.0)


@numba.njit(cache=True, nogil=True, inline="always")
def _taps(at: float, count: int, index: npt.NDArray[np.int64], weight: npt.NDArray[np.float32]) -> None:
    """The four coefficients that a cubic B-spline needs at a place of a line, mirrored at its ends, and weights."""
    first = int(np.floor(at)) - 1
    t = at - first - 1
    weight[0] = (1 - t) ** 3 / 6
    weight[1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weight[2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weight[3] = t**3 / 6
    for tap in range(4):
        n = first + tap
        n = -n if n < 0 else n
        index[tap] = 2 * (count - 1) - n if n >= count else n


@numba.njit(cache=True, nogil=True)
def resample(coefficients: Field, matrix: npt.NDArray[np.float64], offset: npt.NDArray[np.float64], out: Field) -> None:
    """Values at matrix @ index + offset of the cubic B-spline of `coefficients`; beyond the image its rim goes on."""
    nx, ny, nz = coefficients.shape
    i, j, k = np.empty(4, np.int64), np.empty(4, np.int64), np.empty(4, np.int64)
    u, v, w = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
    for a in range(out.shape[0]):
        for b in range(out.shape[1]):
            for c in range(out.shape[2]):
                x = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + offset[0]
                y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + offset[1]
                z = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + offset[2]
                _taps(min(max(x, 0.0), nx - 1.0), nx, i, u)
                _taps(min(max(y, 0.0), ny - 1.0), ny, j, v)
                _taps(min(max(z, 0.0), nz - 1.0), nz, k, w)
                value = np.float32(0)
                for p in range(4):
                    plane = np.float32(0)
                    for q in range(4):
                        line = np.float32(0)
                        for r in range(4):
                            line += w[r] * coefficients[i[p], j[q], k[r]]
                        plane += v[q] * line
                    value += u[p] * plane
                out[a, b, c] = value
