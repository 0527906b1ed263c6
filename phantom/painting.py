"""A person on a grid of voxels, some at a time on threads, only where there is a person."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import numpy.typing as npt

from phantom.anatomy.body import Points
from phantom.anatomy.person import Person
from phantom.slab import Slab

Image = npt.NDArray[np.float32]
# Scanner points and the body points that they show, (3, n) each, to (rows, n).
Work = Callable[[Points, Points], npt.NDArray[np.float32]]

POINTS_AT_ONCE = 131_072  # keeps memory low and the arrays near the processor
THREADS = 2
COARSE = 4  # every so manieth voxel tells where air alone is


def within(person: Person, slab: Slab) -> npt.NDArray[np.bool_]:
    """Voxels (x, y, z) of the slab that may hold anything but air round the head."""
    voxel = tuple(COARSE * edge for edge in slab.voxel_mm)
    shape = tuple(-(-count // COARSE) for count in slab.shape)
    first = slab.origin_lps + slab.steps_lps.sum(axis=1) * (COARSE - 1) / 2
    coarse = Slab((shape[0], shape[1], shape[2]), (voxel[0], voxel[1], voxel[2]), slab.axes_lps, first)
    distance = person.body.skin(person.template(coarse.points_ras())).reshape(shape)
    near = distance < np.linalg.norm(voxel) / 2 + max(slab.voxel_mm)
    for axis in range(3):
        near = np.repeat(near, COARSE, axis=axis)
    nx, ny, nz = slab.shape
    return near[:nx, :ny, :nz]


def paint(person: Person, slab: Slab, work: Work, rows: int) -> Image:
    """`work` over the voxels that hold the person: (rows, x, y, z), zero elsewhere. `work` runs on several threads."""
    result = np.zeros((rows, *slab.shape), np.float32)
    flat = result.reshape(rows, -1)
    index = np.flatnonzero(within(person, slab)).astype(np.int32)

    def one(start: int) -> None:
        part = index[start : start + POINTS_AT_ONCE]
        scanner = places(slab, part)
        _lay(flat, part, work(scanner, person.template(scanner)))

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, range(0, len(index), POINTS_AT_ONCE)))
    return result


def places(slab: Slab, index: npt.NDArray[np.int32]) -> Points:
    """Centres (3, n) RAS mm of the voxels of flat index (n,)."""
    out = np.empty((3, len(index)), np.float32)
    _places(slab.affine.astype(np.float32), index, slab.shape[1], slab.shape[2], out)
    return out


@numba.njit(cache=True, nogil=True)
def _places(affine: Image, index: npt.NDArray[np.int32], ny: int, nz: int, out: Points) -> None:
    for n in range(len(index)):
        row, k = divmod(index[n], nz)
        i, j = divmod(row, ny)
        for axis in range(3):
            out[axis, n] = affine[axis, 0] * i + affine[axis, 1] * j + affine[axis, 2] * k + affine[axis, 3]


@numba.njit(cache=True, nogil=True)
def _lay(flat: Image, index: npt.NDArray[np.int32], values: Image) -> None:
    for row in range(values.shape[0]):
        for n in range(len(index)):
            flat[row, index[n]] = values[row, n]
