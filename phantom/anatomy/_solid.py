"""Kernels: signed distance and normal of solids of ellipsoids and tapered capsules, and how much of a voxel lies in.

A row of `parts` is kind, then 15 numbers: ELLIPSOID centre 3, half-axes 3, axes 9 (rows: own axis in body coordinates);
CONE ends 3 + 3, radii 2. A row of `solids` is as START... list. Distances are of first order: exact on the surface.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from phantom.anatomy.body import TISSUES

ELLIPSOID, CONE = 0, 1
PART_NUMBERS = 16

# Columns of a solid.
START, STOP, CUT_STOP, TISSUE, BLEND, MIRRORED, LOW, HIGH, BELOW_SKIN, BARRED = range(10)
SOLID_NUMBERS = 10

FAR_MM = 1e3
ROWS = len(TISSUES)
CELL_MM = 5.0  # of the lattice that says which solids may touch a place


@numba.njit(nogil=True, cache=True, inline="always")
def _part(part: Any, x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """Distance and its gradient (not of unit length where shapes blend)."""
    if part[0] == CONE:
        ax, ay, az = part[1], part[2], part[3]
        bx, by, bz = part[4] - ax, part[5] - ay, part[6] - az
        px, py, pz = x - ax, y - ay, z - az
        t = (px * bx + py * by + pz * bz) / (bx * bx + by * by + bz * bz)
        t = min(max(t, 0.0), 1.0)
        px, py, pz = px - t * bx, py - t * by, pz - t * bz
        size = math.sqrt(px * px + py * py + pz * pz) + 1e-6
        return size - (part[7] + t * (part[8] - part[7])), px / size, py / size, pz / size
    px, py, pz = x - part[1], y - part[2], z - part[3]
    u = (part[7] * px + part[8] * py + part[9] * pz) / part[4]
    v = (part[10] * px + part[11] * py + part[12] * pz) / part[5]
    w = (part[13] * px + part[14] * py + part[15] * pz) / part[6]
    size = math.sqrt(u * u + v * v + w * w) + 1e-4
    gu, gv, gw = u / (part[4] * size), v / (part[5] * size), w / (part[6] * size)
    slope = math.sqrt(gu * gu + gv * gv + gw * gw) + 1e-6
    gu, gv, gw = gu / slope, gv / slope, gw / slope
    return (
        (size - 1.0) / slope,
        gu * part[7] + gv * part[10] + gw * part[13],
        gu * part[8] + gv * part[11] + gw * part[14],
        gu * part[9] + gv * part[12] + gw * part[15],
    )


@numba.njit(nogil=True, cache=True)
def distance(
    solid: Any, parts: Any, x: float, y: float, z: float
) -> tuple[float, float, float, float]:  # distance, gradient
    """Distance to a solid: its parts blended (polynomial minimum), what is cut out of it, its range of z."""
    side = 1.0
    if solid[MIRRORED] > 0 and x < 0:
        side, x = -1.0, -x
    blend = solid[BLEND]
    d, gx, gy, gz = FAR_MM, 0.0, 0.0, 1.0
    for index in range(int(solid[START]), int(solid[STOP])):
        e, hx, hy, hz = _part(parts[index], x, y, z)
        if blend > 0 and abs(d - e) < blend:
            overlap = (blend - abs(d - e)) / blend
            weight = 0.5 * overlap if e > d else 1.0 - 0.5 * overlap  # of the new part
            d = min(d, e) - overlap * overlap * blend * 0.25
            gx, gy, gz = gx + weight * (hx - gx), gy + weight * (hy - gy), gz + weight * (hz - gz)
        elif e < d:
            d, gx, gy, gz = e, hx, hy, hz
    for index in range(int(solid[STOP]), int(solid[CUT_STOP])):
        e, hx, hy, hz = _part(parts[index], x, y, z)
        if -e > d:
            d, gx, gy, gz = -e, -hx, -hy, -hz
    if solid[LOW] - z > d:
        d, gx, gy, gz = solid[LOW] - z, 0.0, 0.0, -1.0
    if z - solid[HIGH] > d:
        d, gx, gy, gz = z - solid[HIGH], 0.0, 0.0, 1.0
    return d, side * gx, gy, gz


@numba.njit(nogil=True, cache=True, inline="always")
def covered(d: float, gx: float, gy: float, gz: float, spread: Any) -> float:
    """Share of a voxel below a surface at distance `d`; `spread` = steps·stepsᵀ (6 numbers xx yy zz xy xz yz).

    The voxel projected on the normal has the variance of a bar of this width: exact for a voxel face along the surface.
    """
    square = (
        gx * gx * spread[0]
        + gy * gy * spread[1]
        + gz * gz * spread[2]
        + 2 * (gx * gy * spread[3] + gx * gz * spread[4] + gy * gz * spread[5])
    ) / (gx * gx + gy * gy + gz * gz + 1e-12)
    return min(max(0.5 - d / math.sqrt(square + 1e-9), 0.0), 1.0)


@numba.njit(nogil=True, cache=True, inline="always")
def paint(mixture: Any, tissue: int, share: float) -> None:
    """Cover `share` of the voxel with a tissue."""
    if share <= 0:
        return
    rest = np.float32(1.0 - share)
    for row in range(ROWS):
        mixture[row] *= rest
    mixture[tissue] += np.float32(share)


@numba.njit(nogil=True, cache=True)
def sample(grid: Any, lower: Any, step: float, x: float, y: float, z: float, out: Any) -> None:
    """Trilinear values of the channels of `grid` (x, y, z, channel) in out[0], gradients in out[1...3]; clamped."""
    fx = min(max((x - lower[0]) / step, 0.0), grid.shape[0] - 1.001)
    fy = min(max((y - lower[1]) / step, 0.0), grid.shape[1] - 1.001)
    fz = min(max((z - lower[2]) / step, 0.0), grid.shape[2] - 1.001)
    i, j, k = int(fx), int(fy), int(fz)
    fx, fy, fz = fx - i, fy - j, fz - k
    for c in range(grid.shape[3]):
        a = grid[i, j, k, c] * (1 - fz) + grid[i, j, k + 1, c] * fz
        b = grid[i, j + 1, k, c] * (1 - fz) + grid[i, j + 1, k + 1, c] * fz
        e = grid[i + 1, j, k, c] * (1 - fz) + grid[i + 1, j, k + 1, c] * fz
        f = grid[i + 1, j + 1, k, c] * (1 - fz) + grid[i + 1, j + 1, k + 1, c] * fz
        out[0, c] = (a * (1 - fy) + b * fy) * (1 - fx) + (e * (1 - fy) + f * fy) * fx
        out[1, c] = ((e * (1 - fy) + f * fy) - (a * (1 - fy) + b * fy)) / step
        out[2, c] = ((b - a) * (1 - fx) + (f - e) * fx) / step
        low = (grid[i, j, k, c] * (1 - fy) + grid[i, j + 1, k, c] * fy) * (1 - fx)
        low += (grid[i + 1, j, k, c] * (1 - fy) + grid[i + 1, j + 1, k, c] * fy) * fx
        high = (grid[i, j, k + 1, c] * (1 - fy) + grid[i, j + 1, k + 1, c] * fy) * (1 - fx)
        high += (grid[i + 1, j, k + 1, c] * (1 - fy) + grid[i + 1, j + 1, k + 1, c] * fy) * fx
        out[3, c] = (high - low) / step


@numba.njit(nogil=True, cache=True)
def read(grid: Any, lower: Any, step: float, at: Any, channel: int, out: Any) -> None:
    """Trilinear values (n,) of one channel of `grid` (x, y, z, channel) at points (3, n); clamped."""
    for n in range(at.shape[1]):
        fx = min(max((at[0, n] - lower[0]) / step, 0.0), grid.shape[0] - 1.001)
        fy = min(max((at[1, n] - lower[1]) / step, 0.0), grid.shape[1] - 1.001)
        fz = min(max((at[2, n] - lower[2]) / step, 0.0), grid.shape[2] - 1.001)
        i, j, k = int(fx), int(fy), int(fz)
        fx, fy, fz = fx - i, fy - j, fz - k
        a = grid[i, j, k, channel] * (1 - fz) + grid[i, j, k + 1, channel] * fz
        b = grid[i, j + 1, k, channel] * (1 - fz) + grid[i, j + 1, k + 1, channel] * fz
        e = grid[i + 1, j, k, channel] * (1 - fz) + grid[i + 1, j, k + 1, channel] * fz
        f = grid[i + 1, j + 1, k, channel] * (1 - fz) + grid[i + 1, j + 1, k + 1, channel] * fz
        out[n] = (a * (1 - fy) + b * fy) * (1 - fx) + (e * (1 - fy) + f * fy) * fx


@numba.njit(nogil=True, cache=True, inline="always")
def cell(lower: Any, shape: Any, x: float, y: float, z: float) -> int:
    """Flat number of the cell round a point, -1 outside the lattice."""
    i, j, k = (
        math.floor((x - lower[0]) / CELL_MM),
        math.floor((y - lower[1]) / CELL_MM),
        math.floor((z - lower[2]) / CELL_MM),
    )
    if i < 0 or j < 0 or k < 0 or i >= shape[0] or j >= shape[1] or k >= shape[2]:
        return -1
    return int((i * shape[1] + j) * shape[2] + k)


@numba.njit(nogil=True, cache=True, inline="always")
def empty(table: Any, x: float, y: float, z: float) -> bool:
    """Tell whether no solid of a `Shapes.packed` table may touch a place."""
    number = cell(table[4], table[5], x, y, z)
    return bool(number < 0 or table[2][number] == table[2][number + 1])


@numba.njit(nogil=True, cache=True)
def distances(solid: Any, parts: Any, at: Any, out: Any) -> None:
    """Distance (n,) of points (3, n)."""
    for n in range(at.shape[1]):
        out[n] = distance(solid, parts, at[0, n], at[1, n], at[2, n])[0]


@numba.njit(nogil=True, cache=True)
def paint_solids(mixture: Any, table: Any, x: float, y: float, z: float, spread: Any, skin: float, bar: float) -> None:
    """Paint a `Shapes.packed` table at a point; skin: its distance to it; bar: share of the voxel barred to BARRED."""
    solids, parts, starts, members, lower, shape = table
    number = cell(lower, shape, x, y, z)
    if number < 0:
        return
    for n in range(starts[number], starts[number + 1]):
        solid = solids[members[n]]
        d, gx, gy, gz = distance(solid, parts, x, y, z)
        d = max(d, skin + solid[BELOW_SKIN])
        share = covered(d, gx, gy, gz, spread)
        if solid[BARRED] > 0:
            share *= 1.0 - bar
        paint(mixture, int(solid[TISSUE]), share)


@numba.njit(nogil=True, cache=True)
def paint_all(at: Any, spread: Any, table: Any, fractions: Any) -> None:
    """Paint a `Shapes.packed` table over `fractions` (tissue, n) at points (3, n)."""
    mixture = np.empty(fractions.shape[0], np.float32)
    for n in range(at.shape[1]):
        x, y, z = at[0, n], at[1, n], at[2, n]
        if empty(table, x, y, z):
            continue
        for tissue in range(fractions.shape[0]):
            mixture[tissue] = fractions[tissue, n]
        paint_solids(mixture, table, x, y, z, spread, -FAR_MM, 0.0)
        for tissue in range(fractions.shape[0]):
            fractions[tissue, n] = mixture[tissue]


@numba.njit(nogil=True, cache=True)
def topmost(table: Any, x: float, y: float, z: float) -> int:
    """Number of the last painted solid that a point lies in, -1 for none."""
    solids, parts, starts, members, lower, shape = table
    number = cell(lower, shape, x, y, z)
    found = -1
    if number >= 0:
        for n in range(starts[number], starts[number + 1]):
            if distance(solids[members[n]], parts, x, y, z)[0] < 0:
                found = members[n]
    return found
