"""Kernel: everything round the brain painted from the skin inwards, up to the fluid inside the skull."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from phantom.anatomy._solid import ROWS, covered, empty, paint, paint_solids, sample
from phantom.anatomy.body import ROW
from phantom.tissue import Tissue

AIR, MUSCLE, FAT, BONE, MARROW = (
    ROW[tissue] for tissue in (Tissue.AIR, Tissue.MUSCLE, Tissue.FAT, Tissue.BONE, Tissue.MARROW)
)
DURA, CSF = ROW[Tissue.DURA], ROW[Tissue.CSF]

# Layers below the skin and outside the dura, mm (estimates of adult size).
SKIN_MM = 1.7
FACE_FAT_MM, NECK_FAT_MM = 5.0, 7.0
NAPE_MM, NAPE_FAT_MM = (6.0, 15.0), 0.8
VAULT_BONE_MM, BASE_BONE_MM = 6.6, 2.5
INNER_TABLE_MM, OUTER_TABLE_MM, TABLE_WAVE_MM = 2.0, 1.9, 0.7
STREAKS = 0.45  # most fat between bundles of muscle
GALEA_MM = 0.8
DURA_MM = 0.7
# The plane between base and vault: z - 0.212 y + 34.8 > 0 is vault (brow to the back of the head).
PLANE_SLOPE, PLANE_MM, PLANE_FADE_MM = 0.212, 30.0, 14.0
MARGIN_MM = 0.5  # beyond half a voxel and this from a surface there is nothing of it in a voxel


@numba.njit(nogil=True, cache=True)
def _streaks(at: Any) -> float:
    """Share of fat between bundles of muscle, which run down the neck."""
    x, y, z = at[0], at[1], at[2]
    u = math.sin(0.42 * x + 1.3 * math.sin(0.11 * y + 0.5) + 0.03 * z)
    v = math.sin(0.36 * y + 1.3 * math.sin(0.13 * x + 0.05 * z))
    return float(STREAKS * max(u * v, 0.0) ** 2)


@numba.njit(nogil=True, cache=True)
def _soft(
    mixture: Any,
    at: Any,
    skin: float,
    sx: float,
    sy: float,
    sz: float,
    vault: float,
    spread: Any,
    reach: float,
) -> None:
    """Air, skin, fat under it, and muscle under that where there is no skull."""
    back = min(max((-at[1] - 30.0) / 30.0, 0.0), 1.0)
    fat = FACE_FAT_MM + (NECK_FAT_MM - FACE_FAT_MM) * back
    if skin < -SKIN_MM - fat - reach - NAPE_MM[-1] * back - NAPE_FAT_MM:
        streaks = max(_streaks(at), vault)
        mixture[FAT], mixture[MUSCLE] = streaks, 1.0 - streaks
        return
    mixture[AIR] = 1.0
    paint(mixture, MUSCLE, covered(skin, sx, sy, sz, spread))
    paint(mixture, FAT, covered(skin + SKIN_MM, sx, sy, sz, spread))
    deep = skin + SKIN_MM + fat
    paint(mixture, MUSCLE, (1.0 - vault) * (1.0 - _streaks(at)) * covered(deep, sx, sy, sz, spread))
    for depth in NAPE_MM:  # fat between the layers of muscle
        sheet = covered(deep + depth, sx, sy, sz, spread) - covered(deep + depth + NAPE_FAT_MM, sx, sy, sz, spread)
        paint(mixture, FAT, (1.0 - vault) * back * max(sheet, 0.0))


@numba.njit(nogil=True, cache=True)
def _skull(
    mixture: Any, at: Any, dura: float, dx: float, dy: float, dz: float, vault: float, bone: float, spread: Any
) -> None:
    """Galea, outer table, diploe, inner table; thin bone alone in the base."""
    paint(mixture, MUSCLE, vault * covered(dura - bone - GALEA_MM, dx, dy, dz, spread))
    paint(mixture, BONE, covered(dura - bone, dx, dy, dz, spread))
    wave = TABLE_WAVE_MM * math.sin(0.11 * at[0] + 1.0) * math.sin(0.13 * at[1]) * math.sin(0.09 * at[2] + 2.0)
    diploe = covered(dura - bone + OUTER_TABLE_MM + wave, dx, dy, dz, spread)
    diploe -= covered(dura - INNER_TABLE_MM - wave, dx, dy, dz, spread)
    paint(mixture, MARROW, vault * max(diploe, 0.0))


@numba.njit(nogil=True, cache=True)
def paint_outside(
    at: Any,
    spread: Any,
    grid: Any,
    grid_lower: Any,
    grid_step: float,
    face: Any,
    base: Any,
    veins: Any,
    fractions: Any,
    to_dura: Any,
) -> None:
    """Paint fractions (tissue, n), zero before, at body points (3, n); to_dura (n,): distance to the dura, mm."""
    mixture = np.zeros(fractions.shape[0], np.float32)
    near = np.zeros((4, 2), np.float32)
    reach = MARGIN_MM + 0.5 * np.sqrt(spread[0] + spread[1] + spread[2])
    inverse = 1.0 / grid_step
    for n in range(at.shape[1]):
        x, y, z = at[0, n], at[1, n], at[2, n]
        i = min(max(int((x - grid_lower[0]) * inverse + 0.5), 0), grid.shape[0] - 1)
        j = min(max(int((y - grid_lower[1]) * inverse + 0.5), 0), grid.shape[1] - 1)
        k = min(max(int((z - grid_lower[2]) * inverse + 0.5), 0), grid.shape[2] - 1)
        if grid[i, j, k, 0] > reach + grid_step:  # a node is never further than 0.9 steps
            fractions[AIR, n] = 1.0
            to_dura[n] = grid[i, j, k, 1]
            continue
        if grid[i, j, k, 1] < -reach - grid_step and empty(base, x, y, z) and empty(veins, x, y, z):
            fractions[CSF, n] = 1.0
            to_dura[n] = grid[i, j, k, 1]
            continue
        sample(grid, grid_lower, grid_step, x, y, z, near)
        skin, dura = near[0, 0], near[0, 1]
        to_dura[n] = dura
        mixture[:] = 0.0
        dx, dy, dz = near[1, 1], near[2, 1], near[3, 1]
        if dura < -reach:
            mixture[CSF] = 1.0
            paint_solids(mixture, base, x, y, z, spread, skin, 1.0)
        else:
            vault = min(max((z - PLANE_SLOPE * y + PLANE_MM) / PLANE_FADE_MM, 0.0), 1.0)
            bone = BASE_BONE_MM + (VAULT_BONE_MM - BASE_BONE_MM) * vault
            _soft(mixture, at[:, n], skin, near[1, 0], near[2, 0], near[3, 0], vault, spread, reach)
            paint_solids(mixture, face, x, y, z, spread, skin, 0.0)
            if dura < bone + GALEA_MM + reach:
                _skull(mixture, at[:, n], dura, dx, dy, dz, vault, bone, spread)
            inside = covered(dura, dx, dy, dz, spread)
            paint_solids(mixture, base, x, y, z, spread, skin, inside)
            paint(mixture, DURA, inside)
            paint(mixture, CSF, covered(dura + DURA_MM, dx, dy, dz, spread))
        paint_solids(mixture, veins, x, y, z, spread, skin, 0.0)
        for tissue in range(ROWS):
            if mixture[tissue] != 0.0:
                fractions[tissue, n] = mixture[tissue]
