"""Kernels of the spine: cord coordinates of points, and vertebrae, discs, canal and cord painted in them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from phantom.anatomy._solid import ROWS, covered, paint
from phantom.anatomy.body import ROW
from phantom.tissue import Tissue

SAMPLE_MM = 0.5

# Columns of the table: 0-2 point, 3-5 tangent (down), 6-8 right, 9-11 front, then these.
HALF_WIDTH, HALF_DEPTH, GREY_SCALE, SAC_WIDTH, SAC_DEPTH, TO_DISC, TO_ARCH, PROCESS, DENS = range(12, 21)
COLUMNS = 21

CORD_WHITE, CORD_GREY, CSF = ROW[Tissue.CORD_WHITE], ROW[Tissue.CORD_GREY], ROW[Tissue.CSF]
DURA, DISC, FAT = ROW[Tissue.DURA], ROW[Tissue.DISC], ROW[Tissue.FAT]
MUSCLE, BONE, MARROW = ROW[Tissue.MUSCLE], ROW[Tissue.BONE], ROW[Tissue.MARROW]

# The cord's contour in units of its half-axes: a circle with a fissure in front and a furrow behind (estimates).
FISSURE, FISSURE_WIDTH = 0.16, 0.16
FURROW, FURROW_WIDTH = 0.05, 0.18
# The butterfly in the same units: front horns (ellipses), back horns (capsules), bridge.
FRONT_HORN = (0.33, 0.20, 0.17, 0.26)
BACK_HORN = (0.27, -0.04, 0.46, -0.60, 0.11, 0.055)
BRIDGE = 0.075

REACH_MM = 50.0  # what is painted lies within this of the line

# Vertebrae, mm (estimates of adult size).
BODY_WIDTH, BODY_DEPTH, DISC_HALF, SHELL = 13.0, 8.0, 2.4, 0.7
LIGAMENT = 2.0  # canal's front wall to the sac
ARCH_HALF = 5.0


def _norm() -> float:
    angle = np.linspace(-np.pi, np.pi, 20001)
    raw = _raw_numpy(angle)
    return float(1 / np.sqrt(np.trapezoid(raw * raw, angle) / (2 * np.pi)))


def _raw_numpy(angle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    front = (angle - np.pi / 2) / FISSURE_WIDTH
    back = (angle + np.pi / 2) / FURROW_WIDTH
    return np.asarray(1 - FISSURE * np.exp(-front * front) - FURROW * np.exp(-back * back))


NORM = _norm()  # makes the contour's area pi


def contours(angle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Radius of the contour at angles from the right over the front, in units of the half-axes; its area is pi."""
    return NORM * _raw_numpy(angle)


@numba.njit(nogil=True, cache=True)
def _contour(angle: float) -> float:
    front = (angle - math.pi / 2) / FISSURE_WIDTH
    back = (angle + math.pi / 2) / FURROW_WIDTH
    return float(NORM * (1 - FISSURE * math.exp(-front * front) - FURROW * math.exp(-back * back)))


@numba.njit(nogil=True, cache=True)
def _butterfly(p: float, q: float) -> tuple[float, float, float]:
    """Distance and gradient in units of the half-axes; p, q: place in the same."""
    side = 1.0 if p >= 0 else -1.0
    p = abs(p)
    du, dv = (p - FRONT_HORN[0]) / FRONT_HORN[2], (q - FRONT_HORN[1]) / FRONT_HORN[3]
    size = math.sqrt(du * du + dv * dv) + 1e-4
    gu, gv = du / (FRONT_HORN[2] * size), dv / (FRONT_HORN[3] * size)
    slope = math.sqrt(gu * gu + gv * gv) + 1e-6
    d, gp, gq = (size - 1) / slope, gu / slope, gv / slope
    bu, bv = BACK_HORN[2] - BACK_HORN[0], BACK_HORN[3] - BACK_HORN[1]
    t = min(max(((p - BACK_HORN[0]) * bu + (q - BACK_HORN[1]) * bv) / (bu * bu + bv * bv), 0.0), 1.0)
    du, dv = p - BACK_HORN[0] - t * bu, q - BACK_HORN[1] - t * bv
    size = math.sqrt(du * du + dv * dv) + 1e-6
    e = size - (BACK_HORN[4] + t * (BACK_HORN[5] - BACK_HORN[4]))
    if e < d:
        d, gp, gq = e, du / size, dv / size
    if p < FRONT_HORN[0]:
        e = abs(q - 0.02) - BRIDGE
        if e < d:
            d, gp, gq = e, 0.0, 1.0 if q > 0.02 else -1.0
    return d, side * gp, gq


@numba.njit(nogil=True, cache=True)
def _inside_butterfly(cells: int) -> float:
    """Area of the butterfly on a lattice of `cells` cells a side over the unit square."""
    count = 0.0
    for i in range(cells):
        for j in range(2 * cells):
            d = _butterfly((i + 0.5) / cells, (j + 0.5) / cells - 1.0)[0]
            count += min(max(0.5 - d * cells, 0.0), 1.0)
    return 2.0 * count / (cells * cells)


@lru_cache(maxsize=1)
def butterfly_area() -> float:
    """Area of the butterfly in units of half-width times half-depth, to 1e-4."""
    return float(_inside_butterfly(600))


@numba.njit(nogil=True, cache=True)
def _place(table: Any, x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """u, v, s and the fractional row of the table; s runs on straight beyond both ends."""
    last = table.shape[0] - 1
    at = 0.0
    low, high = 0, last
    while high - low > 1:  # the line runs down: the row at this height is a first guess
        middle = (low + high) // 2
        if table[middle, 2] > z:
            low = middle
        else:
            high = middle
    at = float(low)
    along = 0.0
    for _ in range(4):
        row = int(min(max(at, 0.0), last))
        along = (
            (x - table[row, 0]) * table[row, 3]
            + (y - table[row, 1]) * table[row, 4]
            + (z - table[row, 2]) * table[row, 5]
        )
        at = row + along / SAMPLE_MM
    row = int(min(max(math.floor(at), 0), last - 1))
    part = min(max(at - row, 0.0), 1.0)
    u, v = 0.0, 0.0
    for axis in range(3):
        centre = table[row, axis] * (1 - part) + table[row + 1, axis] * part
        delta = (x if axis == 0 else (y if axis == 1 else z)) - centre
        u += delta * (table[row, 6 + axis] * (1 - part) + table[row + 1, 6 + axis] * part)
        v += delta * (table[row, 9 + axis] * (1 - part) + table[row + 1, 9 + axis] * part)
    return u, v, at * SAMPLE_MM, min(max(at, 0.0), last - 0.001)


@numba.njit(nogil=True, cache=True)
def coordinates(table: Any, at: Any, out: Any) -> None:
    """Cord coordinates (3, n) of body points (3, n)."""
    for n in range(at.shape[1]):
        out[0, n], out[1, n], out[2, n], _ = _place(table, at[0, n], at[1, n], at[2, n])


@numba.njit(nogil=True, cache=True, inline="always")
def _ellipse(u: float, v: float, a: float, b: float) -> tuple[float, float, float]:
    """Distance to an ellipse and its gradient (u, v)."""
    size = math.sqrt((u / a) ** 2 + (v / b) ** 2) + 1e-4
    gu, gv = u / (a * a * size), v / (b * b * size)
    slope = math.sqrt(gu * gu + gv * gv) + 1e-6
    return (size - 1) / slope, gu / slope, gv / slope


@numba.njit(nogil=True, cache=True, inline="always")
def _share(d: float, gu: float, gv: float, gs: float, frame: Any, spread: Any) -> float:
    """Share of the voxel below a surface whose gradient is given along right, front and down."""
    return covered(
        d,
        gu * frame[3] + gv * frame[6] + gs * frame[0],
        gu * frame[4] + gv * frame[7] + gs * frame[1],
        gu * frame[5] + gv * frame[8] + gs * frame[2],
        spread,
    )


@numba.njit(nogil=True, cache=True)
def _bones(mixture: Any, u: float, v: float, row: Any, frame: Any, spread: Any) -> None:
    """Bodies, discs, dens, arches, spinous processes, ligament of the neck."""
    sac_a, sac_b = row[SAC_WIDTH], row[SAC_DEPTH]
    to_disc, dens = row[TO_DISC], row[DENS]
    front = sac_b + LIGAMENT
    # Posterior: arch and process slope down behind the canal.
    behind = -v - sac_b
    arch = row[TO_ARCH] - 0.45 * max(behind - 4.0, 0.0)
    d, gu, gv = _ellipse(u, v + 1.0, sac_a + 7.0, sac_b + 7.5)
    if row[PROCESS] > 0 and v < 3.0:
        lamina = max(d, abs(arch) - ARCH_HALF - 1.0)
        paint(mixture, BONE, _share(lamina, gu, gv, 0.0, frame, spread))
        paint(mixture, MARROW, _share(max(d + 1.0, abs(arch) - ARCH_HALF), gu, gv, 0.0, frame, spread))
    # Articular pillars beside the canal.
    pillar, pu, pv = _ellipse(abs(u) - sac_a - 7.5, v - 1.0, 7.0, 7.0)
    side = 1.0 if u >= 0 else -1.0
    if dens > 3.0:
        paint(mixture, BONE, _share(pillar, pu * side, pv, 0.0, frame, spread))
        paint(
            mixture, MARROW, _share(max(pillar + 1.2, 0.8 - abs(row[TO_ARCH] + 3.0)), pu * side, pv, 0.0, frame, spread)
        )
    if row[PROCESS] > 5.0:
        width = 3.2 + 0.12 * max(behind - 10.0, 0.0)
        for shell in range(2):
            thin = 1.0 * shell
            across, back, tall = abs(u) - width, behind - row[PROCESS], abs(arch) - ARCH_HALF + 0.5
            gu, gv, gs = side, 0.0, 0.0
            d = across
            if back > d:
                d, gu, gv, gs = back, 0.0, -1.0, 0.0
            if tall > d:
                d, gu, gv, gs = tall, 0.0, 0.0, 1.0 if arch > 0 else -1.0
            if behind > 0:
                paint(mixture, MARROW if shell else BONE, _share(d + thin, gu, gv, gs, frame, spread))
    # Bodies and discs: from the middle of C2 on; above it the dens behind the front arch of C1.
    pu4, pv4 = abs(u) / BODY_WIDTH, abs(v - front - BODY_DEPTH) / BODY_DEPTH
    size = math.sqrt(math.sqrt(pu4**4 + pv4**4)) + 1e-4
    gu = pu4**3 / (BODY_WIDTH * size**3) * side
    gv = pv4**3 / (BODY_DEPTH * size**3) * (1.0 if v > front + BODY_DEPTH else -1.0)
    slope = math.sqrt(gu * gu + gv * gv) + 1e-3
    d, gu, gv = (size - 1) / slope, gu / slope, gv / slope
    top = 20.0 - dens  # upper face of the body of C2
    for shell in range(2):
        e, hu, hv, hs = d + SHELL * shell, gu, gv, 0.0
        if top + SHELL * shell > e:
            e, hu, hv, hs = top + SHELL * shell, 0.0, 0.0, -1.0
        if DISC_HALF - to_disc + SHELL * shell > e:
            e, hu, hv, hs = DISC_HALF - to_disc + SHELL * shell, 0.0, 0.0, 1.0
        paint(mixture, MARROW if shell else BONE, _share(e, hu, hv, hs, frame, spread))
    if dens > 24.0:
        e, hu, hv, hs = d, gu, gv, 0.0
        if to_disc - DISC_HALF > e:
            e, hu, hv, hs = to_disc - DISC_HALF, 0.0, 0.0, 1.0
        paint(mixture, DISC, _share(e, hu, hv, hs, frame, spread))
    if -6.0 < dens < 26.0:
        for shell in range(2):
            d, gu, gv = _ellipse(u, v - front - 6.0, 5.5, 5.5)
            end = abs(dens - 11.0) - 12.0
            if end > d:
                d, gu, gv = end, 0.0, 0.0
            gs = 0.0 if end < d else (1.0 if dens > 11.0 else -1.0)
            paint(mixture, MARROW if shell else BONE, _share(d + 0.9 * shell, gu, gv, gs, frame, spread))
            d, gu, gv = _ellipse(abs(u) * 0.55, v - front - 15.0 + 0.035 * u * u, 9.0, 3.2)
            d = max(d, abs(dens - 7.0) - 5.0)
            paint(mixture, MARROW if shell else BONE, _share(d + 1.0 * shell, gu, gv, 0.0, frame, spread))


@numba.njit(nogil=True, cache=True)
def _canal(mixture: Any, u: float, v: float, row: Any, frame: Any, spread: Any, fade: float, low: float) -> None:
    """Fat, dura, fluid, cord. 0...1: `fade` how much of the sac there is, `low` of the fat (both end at the skull)."""
    sac_a, sac_b = row[SAC_WIDTH], row[SAC_DEPTH]
    d, gu, gv = _ellipse(u, v + 1.0, sac_a + 2.0, sac_b + 1.4)
    around = fade if v >= 0 else fade * low
    paint(mixture, FAT if v < 0 else DURA, around * _share(d, gu, gv, 0.0, frame, spread))
    d, gu, gv = _ellipse(u, v + 0.4, sac_a, sac_b)
    paint(mixture, DURA, fade * _share(d - 0.5, gu, gv, 0.0, frame, spread))
    paint(mixture, CSF, fade * _share(d, gu, gv, 0.0, frame, spread))
    a, b = row[HALF_WIDTH], row[HALF_DEPTH]
    p, q = u / a, v / b
    size = math.sqrt(p * p + q * q) + 1e-4
    limit = _contour(math.atan2(q, p))
    gu, gv = p / (a * size), q / (b * size)
    slope = math.sqrt(gu * gu + gv * gv) + 1e-6
    paint(mixture, CORD_WHITE, fade * _share((size - limit) / slope, gu, gv, 0.0, frame, spread))
    scale = row[GREY_SCALE]
    d, gp, gq = _butterfly(p / scale, q / scale)
    gu, gv = gp / a, gq / b
    slope = math.sqrt(gu * gu + gv * gv) + 1e-6
    paint(mixture, CORD_GREY, fade * _share(scale * d / slope, gu, gv, 0.0, frame, spread))


@numba.njit(nogil=True, cache=True)
def paint_spine(table: Any, at: Any, spread: Any, fractions: Any) -> None:
    """Paint spine and cord over `fractions` (tissue, n) at body points (3, n)."""
    mixture = np.empty(fractions.shape[0], np.float32)
    row = np.empty(table.shape[1], np.float32)
    for n in range(at.shape[1]):
        if at[2, n] > table[0, 2] + 8.0 or abs(at[0, n] - table[0, 0]) > REACH_MM:
            continue
        level = int(min(max((table[0, 2] - at[2, n]) / SAMPLE_MM, 0.0), table.shape[0] - 1))
        if abs(at[1, n] - table[level, 1]) > 1.6 * REACH_MM:  # the line leans less than this corrects
            continue
        u, v, s, place = _place(table, at[0, n], at[1, n], at[2, n])
        if s < -4.0 or u * u + v * v > REACH_MM * REACH_MM or s > (table.shape[0] - 1) * SAMPLE_MM:
            continue
        index = int(place)
        part = place - index
        for column in range(table.shape[1]):
            row[column] = table[index, column] * (1 - part) + table[index + 1, column] * part
        if abs(table[index, TO_ARCH] - table[index + 1, TO_ARCH]) > 1.0:  # halfway between two arches
            row[TO_ARCH], row[PROCESS] = table[index, TO_ARCH], table[index, PROCESS]
        frame = row[3:12]
        for tissue in range(ROWS):
            mixture[tissue] = fractions[tissue, n]
        if s > 6.0:
            _bones(mixture, u, v, row, frame, spread)
        if u * u + v * v < 900.0:
            fade, low = min(max((s + 4.0) / 4.0, 0.0), 1.0), min(max((s - 12.0) / 8.0, 0.0), 1.0)
            _canal(mixture, u, v, row, frame, spread, fade, low)
        for tissue in range(ROWS):
            fractions[tissue, n] = mixture[tissue]
