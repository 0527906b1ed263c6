"""Kernels of the fibre tubes: where a point lies in a tube, and what fills a voxel.

A tube's table has a row every half millimetre: curve C, half-axes A and B, and the derivatives of the three by the row.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from phantom.anatomy.body import Points

Floats = npt.NDArray[np.float64]
Field = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.uint8]

COLUMNS = 18
FIBRES = 3  # directions kept in a voxel
CELL_MM = 4.0
CROWD = 12  # tubes that may meet in a voxel
NEWTON_STEPS = 8
LONGEST_STEP = 8.0  # rows
CLOSE = 1e-3  # rows


@numba.njit(cache=True, nogil=True)
def nearest_rows(
    curve: Floats,
    reach: float,
    lower: Floats,
    shape: tuple[int, int, int],
    best: Floats,
    row: npt.NDArray[np.int32],
) -> None:
    """For every cell (flat) within reach of a curve: squared distance and number of the nearest row."""
    for r in range(curve.shape[0]):
        low = [0, 0, 0]
        high = [0, 0, 0]
        for axis in range(3):
            low[axis] = max(int((curve[r, axis] - lower[axis] - reach) / CELL_MM), 0)
            high[axis] = min(int((curve[r, axis] - lower[axis] + reach) / CELL_MM) + 1, shape[axis])
        for i in range(low[0], high[0]):
            for j in range(low[1], high[1]):
                for k in range(low[2], high[2]):
                    x = lower[0] + (i + 0.5) * CELL_MM - curve[r, 0]
                    y = lower[1] + (j + 0.5) * CELL_MM - curve[r, 1]
                    z = lower[2] + (k + 0.5) * CELL_MM - curve[r, 2]
                    squared = x * x + y * y + z * z
                    cell = (i * shape[1] + j) * shape[2] + k
                    if squared < reach * reach and squared < best[cell]:
                        best[cell] = squared
                        row[cell] = r


@numba.njit(cache=True, nogil=True)
def _project(x: float, y: float, z: float, rows: Floats, first: int, last: int, guess: int, direction: Floats) -> bool:
    """Whether a point lies in a tube (rows `first` to `last`, exclusive); if so, unit direction of the fibre there."""
    s = float(guess)
    top = float(last - first - 1)
    for _ in range(NEWTON_STEPS):
        i = first + min(max(int(s), 0), last - first - 2)
        t = s - (i - first)
        away, slope = 0.0, 0.0
        for axis in range(3):
            to_point = (x, y, z)[axis] - (rows[i, axis] + t * (rows[i + 1, axis] - rows[i, axis]))
            bend = rows[i + 1, 9 + axis] - rows[i, 9 + axis]
            tangent = rows[i, 9 + axis] + t * bend
            away += to_point * tangent
            slope += tangent * tangent - to_point * bend
        if slope <= 0:  # beyond the centre of curvature: no section holds the point
            return False
        step = min(max(away / slope, -LONGEST_STEP), LONGEST_STEP)
        s += step
        if abs(step) < CLOSE:
            break
        if s < -LONGEST_STEP or s > top + LONGEST_STEP:
            return False
    if s < 0 or s > top:
        return False
    i = first + min(int(s), last - first - 2)
    t = s - (i - first)
    u, v, aa, bb = 0.0, 0.0, 0.0, 0.0
    for axis in range(3):
        to_point = (x, y, z)[axis] - (rows[i, axis] + t * (rows[i + 1, axis] - rows[i, axis]))
        a = rows[i, 3 + axis] + t * (rows[i + 1, 3 + axis] - rows[i, 3 + axis])
        b = rows[i, 6 + axis] + t * (rows[i + 1, 6 + axis] - rows[i, 6 + axis])
        u += to_point * a
        v += to_point * b
        aa += a * a
        bb += b * b
    u, v = u / aa, v / bb
    if u * u + v * v > 1:
        return False
    size = 0.0
    for axis in range(3):
        along = 0.0
        for column, factor in ((9, 1.0), (12, u), (15, v)):
            here = rows[i, column + axis]
            along += factor * (here + t * (rows[i + 1, column + axis] - here))
        direction[axis] = along
        size += along * along
    size = np.sqrt(size)
    for axis in range(3):
        direction[axis] /= size
    return True


@numba.njit(cache=True, nogil=True)
def fill(
    at: Points,
    offsets: Floats,
    rows: Floats,
    start: npt.NDArray[np.int64],
    lower: Floats,
    shape: tuple[int, int, int],
    cells: npt.NDArray[np.int64],
    near: npt.NDArray[np.int32],
    share: Field,
    direction: Field,
    number: Numbers,
) -> None:
    """Shares, directions and numbers of the largest fibres of voxels looked at in `offsets` (k, 3) round `at` (3, n).

    A place that several tubes claim is shared among them, so that the shares of a voxel never exceed what is filled.
    """
    tube = np.empty(CROWD, np.int32)
    weight = np.empty(CROWD)
    sums = np.empty((CROWD, 3))
    here = np.empty(CROWD, np.int32)
    along = np.empty((CROWD, 3))
    for n in range(at.shape[1]):
        found = 0
        for k in range(offsets.shape[0]):
            x, y, z = at[0, n] + offsets[k, 0], at[1, n] + offsets[k, 1], at[2, n] + offsets[k, 2]
            i, j, m = int((x - lower[0]) / CELL_MM), int((y - lower[1]) / CELL_MM), int((z - lower[2]) / CELL_MM)
            if x < lower[0] or y < lower[1] or z < lower[2] or i >= shape[0] or j >= shape[1] or m >= shape[2]:
                continue
            cell = (i * shape[1] + j) * shape[2] + m
            inside = 0
            for entry in range(cells[cell], cells[cell + 1]):
                one = near[entry, 0]
                if inside < CROWD and _project(
                    x, y, z, rows, start[one], start[one + 1], near[entry, 1], along[inside]
                ):
                    here[inside] = one
                    inside += 1
            for p in range(inside):
                place = 0
                while place < found and tube[place] != here[p]:
                    place += 1
                if place == found:
                    if found == CROWD:
                        continue
                    tube[place], weight[place], found = here[p], 0.0, found + 1
                    sums[place, :] = 0.0
                weight[place] += 1.0 / inside
                for axis in range(3):
                    sums[place, axis] += along[p, axis] / inside
        for rank in range(min(found, FIBRES)):
            best = 0
            for p in range(1, found):
                if weight[p] > weight[best]:
                    best = p
            share[rank, n] = weight[best] / offsets.shape[0]
            number[rank, n] = tube[best] + 1
            size = np.sqrt(sums[best, 0] ** 2 + sums[best, 1] ** 2 + sums[best, 2] ** 2)
            for axis in range(3):
                direction[rank, axis, n] = sums[best, axis] / max(size, 1e-12)
            weight[best] = -1.0
