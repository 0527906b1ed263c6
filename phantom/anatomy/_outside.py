"""Kernel: everything round the brain painted from the skin inwards, up to the fluid inside the skull."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from phantom.anatomy._solid import covered, paint, paint_solids, sample
from phantom.anatomy.body import ROW
from phantom.tissue import Tissue

AIR, MUSCLE, FAT, BONE, MARROW = (
    ROW[tissue] for tissue in (Tissue.AIR, Tissue.MUSCLE, Tissue.FAT, Tissue.BONE, Tissue.MARROW)
)
DURA, CSF = ROW[Tissue.DURA], ROW[Tissue.CSF]

# Layers below the skin and outside the dura, mm (estimates of adult size).
SKIN_MM = 1.7
FACE_FAT_MM, NECK_FAT_MM = 5.0, 9.0
VAULT_BONE_MM, BASE_BONE_MM = 7.5, 2.5
INNER_TABLE_MM, OUTER_TABLE_MM = 1.7, 1.6
GALEA_MM = 0.8
DURA_MM = 0.7
# The plane between base and vault: z - 0.212 y + 34.8 > 0 is vault (brow to the back of the head).
PLANE_SLOPE, PLANE_MM, PLANE_FADE_MM = 0.212, 30.0, 14.0
SINUS_DEPTH_MM = 12.0  # deeper there is nothing but brain and fluid, and the straight sinus, which is left to it
AIR_MARGIN_MM = 4.0  # beyond this from the skin a voxel is air


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
) -> None:
    """Paint fractions (tissue, n), zero before, at body points (3, n)."""
    mixture = np.zeros(fractions.shape[0], np.float32)
    near = np.zeros((4, 2), np.float32)
    reach = AIR_MARGIN_MM + np.sqrt(spread[0] + spread[1] + spread[2])
    for n in range(at.shape[1]):
        x, y, z = at[0, n], at[1, n], at[2, n]
        sample(grid, grid_lower, grid_step, x, y, z, near)
        skin, dura = near[0, 0], near[0, 1]
        if skin > reach:
            fractions[AIR, n] = 1.0
            continue
        if dura < -reach - SINUS_DEPTH_MM:
            fractions[CSF, n] = 1.0
            continue
        mixture[:] = 0.0
        mixture[AIR] = 1.0
        sx, sy, sz = near[1, 0], near[2, 0], near[3, 0]
        dx, dy, dz = near[1, 1], near[2, 1], near[3, 1]
        vault = min(max((z - PLANE_SLOPE * y + PLANE_MM) / PLANE_FADE_MM, 0.0), 1.0)
        paint(mixture, MUSCLE, covered(skin, sx, sy, sz, spread))
        paint(mixture, FAT, covered(skin + SKIN_MM, sx, sy, sz, spread))
        back = min(max((-y - 30.0) / 30.0, 0.0), 1.0)
        fat = FACE_FAT_MM + (NECK_FAT_MM - FACE_FAT_MM) * back
        if vault < 1.0:
            paint(mixture, MUSCLE, (1.0 - vault) * covered(skin + SKIN_MM + fat, sx, sy, sz, spread))
        paint_solids(mixture, face, x, y, z, spread, skin, 0.0)
        bone = BASE_BONE_MM + (VAULT_BONE_MM - BASE_BONE_MM) * vault
        paint(mixture, MUSCLE, vault * covered(dura - bone - GALEA_MM, dx, dy, dz, spread))
        hard = covered(dura - bone, dx, dy, dz, spread)
        paint(mixture, BONE, hard)
        if vault > 0.0:
            diploe = covered(dura - bone + OUTER_TABLE_MM, dx, dy, dz, spread)
            diploe -= covered(dura - INNER_TABLE_MM, dx, dy, dz, spread)
            paint(mixture, MARROW, vault * max(diploe, 0.0))
        inside = covered(dura, dx, dy, dz, spread)
        paint_solids(mixture, base, x, y, z, spread, skin, inside)
        paint(mixture, DURA, inside)
        paint(mixture, CSF, covered(dura + DURA_MM, dx, dy, dz, spread))
        paint_solids(mixture, veins, x, y, z, spread, skin, 0.0)
        for tissue in range(mixture.shape[0]):
            fractions[tissue, n] = mixture[tissue]
