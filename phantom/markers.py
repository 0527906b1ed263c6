"""A small box with four corner blocks of different value: which corner comes back where tells every flip and swap.

Written as DWI or T1 in any slab, or given as a map; the truth is a list of (RAS position, value) that must come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyses.contract import MapImage
from analyses.quantities import FA, Quantity
from phantom import plan
from phantom.dialects import philips
from phantom.dialects.identity import Identity
from phantom.dialects.series import MAXIMUM_STORED, Acquired
from phantom.sequences import dwi
from phantom.slab import Plane, Slab

DWI_SEQUENCE, T1_SEQUENCE = plan.diffusion(dwi.Protocol()), plan.T1
SHAPE = (20, 24, 12)
VOXEL_MM = (2.5, 2.5, 3.0)
CENTRE_RAS = (3.1, 11.7, 22.3)
TILT_DEG = (12.0, -7.0, 9.0)
BACKGROUND = 200

# Block by block: first voxel, size, stored value. No rotation or mirror image of the box has the same blocks.
BLOCKS: tuple[tuple[tuple[int, int, int], tuple[int, int, int], int], ...] = (
    ((1, 1, 1), (4, 3, 2), 3000),
    ((15, 1, 1), (4, 2, 2), 2000),
    ((1, 18, 1), (2, 5, 3), 1500),
    ((1, 1, 8), (3, 3, 3), 1000),
)
# Directions of the marker's diffusion series: no axis is the mirror image or the permutation of another.
MARKER_DIRECTIONS = (
    (1.0, 0.0, 0.0),
    (0.2, 0.9, 0.1),
    (0.1, -0.3, 0.95),
    (0.7, 0.7, 0.1),
    (-0.6, 0.5, 0.62),
    (0.4, -0.8, 0.45),
    (0.3, 0.2, -0.93),
)


@dataclass(frozen=True, slots=True)
class Spot:
    """The middle of a block: where it lies (RAS mm), which voxel of the slab that is, its value in each volume."""

    ras: tuple[float, float, float]
    index: tuple[int, int, int]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Markers:
    """What was written: data (x, y, z, volume) on `slab`; b-table with directions LPS (empty for a T1); the spots."""

    folder: Path
    slab: Slab
    data: npt.NDArray[np.uint16]
    b: dwi.Floats
    g_lps: dwi.Floats
    spots: tuple[Spot, ...]


def box() -> npt.NDArray[np.uint16]:
    """The box (x, y, z): blocks on a background that rises along x, y and z at different rates."""
    x, y, z = np.indices(SHAPE)
    data = np.asarray(BACKGROUND + 3 * x + 5 * y + 7 * z, np.uint16)
    for first, size, value in BLOCKS:
        data[tuple(slice(f, f + s) for f, s in zip(first, size, strict=True))] = value
    return data


def slab(plane: Plane = Plane.AXIAL, tilted: bool = False, left_handed: bool = False) -> Slab:
    """The box in a plane, oblique when `tilted`; `left_handed` stacks its slices against row x column."""
    return Slab.around(CENTRE_RAS, SHAPE, VOXEL_MM, plane, TILT_DEG if tilted else (0.0, 0.0, 0.0), left_handed)


def spots(where: Slab, data: npt.NDArray[np.uint16]) -> tuple[Spot, ...]:
    """Middle voxel of each block with its position and its values in `data` (x, y, z, volume)."""
    found = []
    for first, size, _ in BLOCKS:
        i, j, k = (f + s // 2 for f, s in zip(first, size, strict=True))
        x, y, z = (float(v) for v in (where.affine @ np.array([i, j, k, 1.0]))[:3])
        found.append(Spot((x, y, z), (i, j, k), tuple(int(v) for v in data[i, j, k])))
    return tuple(found)


def write_t1(folder: Path, where: Slab) -> Markers:
    """Write the box as a T1 series."""
    data = box()[..., None]
    identity = Identity(f"markers t1 {where.affine.tolist()}", 0)
    for _ in philips.write(folder, Acquired(T1_SEQUENCE, where, data), identity):
        pass
    return Markers(folder, where, data, np.zeros(0), np.zeros((0, 3)), spots(where, data))


def write_dwi(folder: Path, where: Slab, b: float = 1000.0) -> Markers:
    """Write the box as a diffusion series: one b = 0, then directions that dim it by a share of their own."""
    directions = np.array(MARKER_DIRECTIONS)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shells = np.r_[0.0, np.full(len(directions), b)]
    g_lps = np.vstack([np.zeros(3), directions])
    shares = 1 - 0.08 * np.arange(len(shells))
    data = np.rint(box()[..., None] * shares).astype(np.uint16)
    identity = Identity(f"markers dwi {where.affine.tolist()} {b}", 0)
    for _ in philips.write(folder, Acquired(DWI_SEQUENCE, where, data, shells, g_lps), identity):
        pass
    return Markers(folder, where, data, shells, g_lps, spots(where, data))


def map_image(markers: Markers, quantity: Quantity = FA, need: str = "dwi") -> MapImage:
    """The first volume as a map on the series' grid, 0...1; a spot's value there is `values[0] / MAXIMUM_STORED`."""
    data = np.asarray(markers.data[..., 0] / MAXIMUM_STORED, np.float32)
    return MapImage(quantity, data, markers.slab.affine, need, (0.0, 1.0))
