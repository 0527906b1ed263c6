"""Kernels of what lies under the dura: cerebellum, stem, cerebrum, deep core, nuclei, ventricles; tissue and parcel."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from phantom.anatomy._solid import (
    FAR_MM,
    ROWS,
    TISSUE,
    cell,
    covered,
    distance,
    empty,
    paint,
    paint_solids,
    sample,
    topmost,
)
from phantom.anatomy.body import ROW
from phantom.anatomy.parcellation import callosal_mm, core_mm
from phantom.tissue import Tissue

WHITE, CORTEX, CSF, DURA = (ROW[tissue] for tissue in (Tissue.WHITE, Tissue.CORTEX, Tissue.CSF, Tissue.DURA))
THALAMUS, CAUDATE = ROW[Tissue.THALAMUS], ROW[Tissue.CAUDATE]

# Rows of the table of regions.
VENTRICLES, MIDDLE_VENTRICLES, AQUEDUCT, LESION, STEM, CRUS = range(6)

SUB_SAMPLE_MM = 1.05  # the template's maps are read at least this fine
CORE_EDGE_MM = 1.5
STEM_EDGE_MM = 2.0
STEM_GREY = 0.45  # of the template's grey in the brain stem: the rest is white matter between its nuclei

# Falx: a sheet in the midline whose free edge comes nearer to the callosum from front to back.
FALX_HALF_MM, FALX_NEAR_MM, FALX_FAR_MM, FALX_FLOOR_MM = 0.35, 3.0, 16.0, -18.0

# Cerebellar leaves: fissures that radiate from the roof of the fourth ventricle, bent back to the sides. Estimates
# that look right at 1 mm; the real folia are finer.
FAN_Y_MM, FAN_Z_MM, FAN_BEND = -47.0, -31.0, 0.0045
FISSURES = 44
DEEP_MM, SHALLOW_MM = 16.0, 10.0
CORE_MM, CORE_END_MM = 12.0, 46.0  # the white core: its radius, and where it ends to the sides
LEAF_GAP_MM, LEAF_GREY_MM = 0.4, 1.8
LEAF_SAMPLE_MM = 0.55


@numba.njit(nogil=True, cache=True)
def below_pia(depth: float, x: float, y: float, z: float) -> float:
    """Distance under the surface of the folded cerebellum; depth: under its hull."""
    dy, dz = y - FAN_Y_MM + FAN_BEND * x * x, z - FAN_Z_MM
    radius = math.sqrt(dy * dy + dz * dz) + 1e-3
    angle = math.atan2(dz, dy)
    uneven = 0.10 * math.sin(3 * angle + 1.0) + 0.04 * math.sin(7 * angle + 0.05 * x)
    turn = (angle + uneven) / (2 * math.pi) * FISSURES + 0.4 * math.sin(0.09 * x + 2.1) + 0.2 * math.sin(0.3 * radius)
    number = math.floor(turn + 0.5)
    away = abs(turn - number) * 2 * math.pi * radius / FISSURES
    wave = math.sin(1.7 * number + 0.05 * x)
    floor = (DEEP_MM if int(number) % 2 == 0 else SHALLOW_MM) + 3.0 * wave
    core = CORE_MM * (1.0 + 0.35 * wave) * max(1.0 - (x / CORE_END_MM) ** 2, 0.0) * min(0.3 + abs(x) / 14.0, 1.0)
    past = max(depth - floor, core - radius, 0.0)
    return min(depth, math.sqrt(away * away + past * past) - LEAF_GAP_MM / 2)


@numba.njit(nogil=True, cache=True)
def _maps(maps: Any, lower: Any, at: Any, steps: Any, counts: Any, near: Any) -> tuple[float, float]:
    """Mean of the template's grey and white over a voxel."""
    grey, white = 0.0, 0.0
    for i in range(counts[0]):
        p = (i + 0.5) / counts[0] - 0.5
        for j in range(counts[1]):
            q = (j + 0.5) / counts[1] - 0.5
            for k in range(counts[2]):
                r = (k + 0.5) / counts[2] - 0.5
                u = at[0] + p * steps[0, 0] + q * steps[0, 1] + r * steps[0, 2] - lower[0]
                v = at[1] + p * steps[1, 0] + q * steps[1, 1] + r * steps[1, 2] - lower[1]
                w = at[2] + p * steps[2, 0] + q * steps[2, 1] + r * steps[2, 2] - lower[2]
                if u < 0 or v < 0 or w < 0:
                    continue
                a, b, c = int(u), int(v), int(w)
                if a >= maps.shape[0] - 1 or b >= maps.shape[1] - 1 or c >= maps.shape[2] - 1:
                    continue
                u, v, w = u - a, v - b, w - c
                for m in range(2):
                    low = (maps[a, b, c, m] * (1 - w) + maps[a, b, c + 1, m] * w) * (1 - v)
                    low += (maps[a, b + 1, c, m] * (1 - w) + maps[a, b + 1, c + 1, m] * w) * v
                    high = (maps[a + 1, b, c, m] * (1 - w) + maps[a + 1, b, c + 1, m] * w) * (1 - v)
                    high += (maps[a + 1, b + 1, c, m] * (1 - w) + maps[a + 1, b + 1, c + 1, m] * w) * v
                    near[m] = low * (1 - u) + high * u
                grey += near[0]
                white += near[1]
    count = counts[0] * counts[1] * counts[2]
    return grey / count, white / count


@numba.njit(nogil=True, cache=True)
def _leaves(
    depth: float, gx: float, gy: float, gz: float, at: Any, steps: Any, counts: Any
) -> tuple[float, float, float]:
    """Shares of grey, white and fluid of a voxel of the cerebellum; depth and its slope at the centre."""
    edge = 1.15 * LEAF_SAMPLE_MM
    grey, white, inside = 0.0, 0.0, 0.0
    for i in range(counts[0]):
        p = (i + 0.5) / counts[0] - 0.5
        for j in range(counts[1]):
            q = (j + 0.5) / counts[1] - 0.5
            for k in range(counts[2]):
                r = (k + 0.5) / counts[2] - 0.5
                dx = p * steps[0, 0] + q * steps[0, 1] + r * steps[0, 2]
                dy = p * steps[1, 0] + q * steps[1, 1] + r * steps[1, 2]
                dz = p * steps[2, 0] + q * steps[2, 1] + r * steps[2, 2]
                deep = depth + gx * dx + gy * dy + gz * dz
                below = below_pia(deep, at[0] + dx, at[1] + dy, at[2] + dz)
                tissue = min(max(0.5 + below / edge, 0.0), 1.0)
                core = min(max(0.5 + (below - LEAF_GREY_MM) / edge, 0.0), 1.0)
                inside += min(max(0.5 + deep / edge, 0.0), 1.0)
                grey += tissue - core
                white += core
    count = counts[0] * counts[1] * counts[2]
    return grey / count, white / count, max(inside - grey - white, 0.0) / count


@numba.njit(nogil=True, cache=True)
def paint_brain(
    at: Any,
    steps: Any,
    spread: Any,
    cortex: Any,
    maps: Any,
    maps_lower: Any,
    hind: Any,
    hind_lower: Any,
    floor_mm: float,
    region_table: Any,
    nuclei: Any,
    fractions: Any,
) -> None:
    """Paint over `fractions` (tissue, n) at points (3, n); cortex (3, n): the cerebrum's grey, white and fluid."""
    regions, region_parts = region_table[0], region_table[1]
    counts, fine = np.empty(3, np.int64), np.empty(3, np.int64)
    for axis in range(3):
        edge = math.sqrt(steps[0, axis] ** 2 + steps[1, axis] ** 2 + steps[2, axis] ** 2)
        counts[axis] = max(1, math.ceil(edge / SUB_SAMPLE_MM))
        fine[axis] = max(1, math.ceil(edge / LEAF_SAMPLE_MM))
    mixture = np.empty(fractions.shape[0], np.float32)
    near, pair = np.empty((4, 2), np.float32), np.empty(2, np.float32)
    reach = 2.0 + math.sqrt(spread[0] + spread[1] + spread[2])
    for n in range(at.shape[1]):
        place = at[:, n]
        x, y, z = place[0], place[1], place[2]
        cerebrum = cortex[0, n] + cortex[1, n] + cortex[2, n]
        core = min(max(0.5 + core_mm(x, y, z) / CORE_EDGE_MM, 0.0), 1.0)
        alone = cerebrum > 1.0 - 1e-5 and core == 0.0 and abs(x) > reach
        if alone and empty(region_table, x, y, z) and empty(nuclei, x, y, z):
            fractions[:, n] = 0.0
            fractions[CORTEX, n], fractions[WHITE, n], fractions[CSF, n] = cortex[0, n], cortex[1, n], cortex[2, n]
            continue
        for tissue in range(ROWS):
            mixture[tissue] = fractions[tissue, n]
        grey, white, read = 0.0, 0.0, False
        sample(hind, hind_lower, 1.0, x, y, z, near)
        inner = (
            hind_lower[0] < x < hind_lower[0] + hind.shape[0] - 1
            and hind_lower[1] < y < hind_lower[1] + hind.shape[1] - 1
            and hind_lower[2] < z < hind_lower[2] + hind.shape[2] - 1
        )
        below = near[0, 1] if inner else 0.0
        below *= min(max((z - floor_mm) / 4.0 + 0.5, 0.0), 1.0)
        stem = distance(regions[STEM], region_parts, x, y, z)[0] if below > 0.0 else FAR_MM
        # The midbrain goes up into the cerebrum: no pia, so no cortex, lies across it.
        covering = 1.0 - below * min(max(0.5 - stem / STEM_EDGE_MM, 0.0), 1.0)
        cerebrum *= covering
        if below > 0.0 and (cerebrum < 1.0 or core > 0.0):
            grey, white = _maps(maps, maps_lower, place, steps, counts, pair)
            read = True
            leaf = min(max(stem / 3.0, 0.0), 1.0)  # 0 in the stem, 1 in the cerebellum
            kept = STEM_GREY
            share_grey, share_white, share_fluid = grey * kept, white + grey * (1 - kept), 0.0
            if leaf > 0.0:
                if near[0, 0] > -reach:
                    p, q, r = _leaves(near[0, 0], near[1, 0], near[2, 0], near[3, 0], place, steps, fine)
                else:
                    p, q, r = 0.0, 0.0, 0.0
                share_grey += leaf * (p - share_grey)
                share_white += leaf * (q - share_white)
                share_fluid += leaf * (r - share_fluid)
            share_grey, share_white, share_fluid = below * share_grey, below * share_white, below * share_fluid
            rest = max(1.0 - share_grey - share_white - share_fluid, 0.0)
            for tissue in range(ROWS):
                mixture[tissue] *= rest
            mixture[CORTEX] += share_grey
            mixture[WHITE] += share_white
            mixture[CSF] += share_fluid
        if cerebrum > 0.0:
            rest = max(1.0 - cerebrum, 0.0)
            for tissue in range(ROWS):
                mixture[tissue] *= rest
            mixture[CORTEX] += covering * cortex[0, n]
            mixture[WHITE] += covering * cortex[1, n]
            mixture[CSF] += covering * cortex[2, n]
        if abs(x) < reach and z > FALX_FLOOR_MM:
            edge = FALX_NEAR_MM + (FALX_FAR_MM - FALX_NEAR_MM) * min(max((y + 40.0) / 75.0, 0.0), 1.0)
            sheet = covered(abs(x) - FALX_HALF_MM, 1.0, 0.0, 0.0, spread) * min(
                max(-callosal_mm(y, z) - edge, 0.0), 1.0
            )
            paint(mixture, DURA, sheet * (1.0 - below) * mixture[CSF])
        ventricle, crus = 0.0, 0.0
        number = cell(region_table[4], region_table[5], x, y, z)
        begin, end = 0, 0
        if number >= 0:
            begin, end = region_table[2][number], region_table[2][number + 1]
        for member in range(begin, end):
            region = region_table[3][member]
            if region in (VENTRICLES, MIDDLE_VENTRICLES, CRUS):
                d, gx, gy, gz = distance(regions[region], region_parts, x, y, z)
                share = covered(d, gx, gy, gz, spread)
                if region == CRUS:
                    crus = share
                else:
                    ventricle = max(ventricle, share)
        if not read and (core > 0.0 or ventricle > 0.0 or crus > 0.0):
            grey, white = _maps(maps, maps_lower, place, steps, counts, pair)
        solid = min(grey + white, 1.0)
        if crus > 0.0:
            for tissue in range(ROWS):
                mixture[tissue] *= 1.0 - crus
            mixture[CSF] += crus * (1.0 - solid)
            mixture[CORTEX] += crus * STEM_GREY * max(solid - white, 0.0)
            mixture[WHITE] += crus * (solid - STEM_GREY * max(solid - white, 0.0))
        if core > 0.0:
            for tissue in range(ROWS):
                mixture[tissue] *= 1.0 - core
            mixture[CSF] += core * (1.0 - solid)
            mixture[WHITE] += core * min(white, solid)
            # The template's grey beyond the solids below is their rim, or septum and hypothalamus in the middle.
            rim = CORTEX if abs(x) < 4.0 else (CAUDATE if y > -2.0 else THALAMUS)
            mixture[rim] += core * max(solid - white, 0.0)
        paint_solids(mixture, nuclei, x, y, z, spread, -FAR_MM, 0.0)
        if ventricle > 0.0:
            paint(mixture, CSF, ventricle * (1.0 - solid))
        for member in range(begin, end):
            region = region_table[3][member]
            if region in (AQUEDUCT, LESION):
                d, gx, gy, gz = distance(regions[region], region_parts, x, y, z)
                paint(mixture, int(regions[region, TISSUE]), covered(d, gx, gy, gz, spread))
        for tissue in range(ROWS):
            fractions[tissue, n] = mixture[tissue]


@numba.njit(nogil=True, cache=True)
def label_brain(
    at: Any,
    maps: Any,
    maps_lower: Any,
    hind: Any,
    hind_lower: Any,
    floor_mm: float,
    region_table: Any,
    nuclei: Any,
    callosum_mm: float,
    callosum_half_mm: float,
    labels_of: Any,
    nuclei_labels: Any,
    labels: Any,
) -> None:
    """Correct `labels` (n,), given for the cerebrum, at body points (3, n).

    labels_of (kind, side): cerebellum, brain stem, ventricle, callosum. nuclei_labels (nucleus, side), 0 = no parcel.
    """
    regions, region_parts = region_table[0], region_table[1]
    counts, steps = np.ones(3, np.int64), np.zeros((3, 3))
    near, pair = np.empty((4, 2), np.float32), np.empty(2, np.float32)
    for n in range(at.shape[1]):
        x, y, z = at[0, n], at[1, n], at[2, n]
        side = 1 if x > 0 else 0
        sample(hind, hind_lower, 1.0, x, y, z, near)
        grey, white = _maps(maps, maps_lower, at[:, n], steps, counts, pair)
        stem_mm = min(
            distance(regions[STEM], region_parts, x, y, z)[0], distance(regions[CRUS], region_parts, x, y, z)[0]
        )
        stem = near[0, 1] > 0.5 and stem_mm < 0
        hind_brain = near[0, 1] > 0.5 and near[0, 0] > 0 and z > floor_mm
        if (labels[n] == 0 or stem) and hind_brain and (not stem or grey + white > 0.5):
            labels[n] = labels_of[1 if stem else 0, side]
        if core_mm(x, y, z) > 0:
            if grey + white < 0.5 or grey > white:
                labels[n] = 0  # the third ventricle, the septum, the rim of nuclei
            elif abs(x) < callosum_half_mm and 0 < callosal_mm(y, z) < callosum_mm:
                labels[n] = labels_of[3, side]
        number = topmost(nuclei, x, y, z)
        if number >= 0 and nuclei_labels[number, side] > 0:
            labels[n] = nuclei_labels[number, side]
        if grey + white < 0.5 and distance(regions[VENTRICLES], region_parts, x, y, z)[0] < 0:
            labels[n] = labels_of[2, side]
