"""A second body: a real head's label map (FreeSurfer numbers; 502-530 outside the brain), for tests and bench.

In: a NIfTI label map. The head is laid on body coordinates (MNI mm) by the centres of its deep structures: shift,
turn and one scale, so sizes among structures stay the person's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel
import numba
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from phantom.anatomy.body import ROW, TISSUES, Distance, Fractions, Labels, Points, Steps
from phantom.anatomy.parcellation import cortical_labels
from phantom.anatomy.parcels import LABEL, MIDLINE, Parcel, Side, Structure
from phantom.tissue import Tissue

# Tissue of each number (README of the label maps; numbers above 500 told by their place in the maps).
TISSUE_OF: Mapping[int, Tissue] = MappingProxyType(
    {
        0: Tissue.AIR,
        **dict.fromkeys((2, 7, 16, 28, 30, 41, 46, 60, 62, 85, 508, 530), Tissue.WHITE),
        **dict.fromkeys((3, 8, 42, 47), Tissue.CORTEX),
        **dict.fromkeys((4, 5, 14, 15, 24, 43, 44, 136, 137, 163, 164), Tissue.CSF),
        **dict.fromkeys((10, 49), Tissue.THALAMUS),
        **dict.fromkeys((11, 26, 50, 58), Tissue.CAUDATE),
        **dict.fromkeys((12, 51), Tissue.PUTAMEN),
        **dict.fromkeys((13, 52), Tissue.PALLIDUM),
        **dict.fromkeys((17, 53), Tissue.HIPPOCAMPUS),
        **dict.fromkeys((18, 54), Tissue.AMYGDALA),
        **dict.fromkeys((25, 57), Tissue.LESION),
        **dict.fromkeys((502, 514), Tissue.BLOOD),
        506: Tissue.VITREOUS,
        **dict.fromkeys((507, 509, 511), Tissue.MUSCLE),
        512: Tissue.CORD_WHITE,
        515: Tissue.BONE,
        516: Tissue.MARROW,
    }
)
SOFT, SKIN = 507, 511
SCALP_FAT_MM = 8.0  # soft tissue this near to the skin is fat, deeper it is muscle (estimate)

# Parcels by number; cortex and cerebral white matter follow below.
STRUCTURE_OF: Mapping[int, tuple[Structure, Side]] = MappingProxyType(
    {
        number: (structure, side)
        for structure, left, right in (
            (Structure.THALAMUS, (10,), (49,)),
            (Structure.CAUDATE, (11,), (50,)),
            (Structure.PUTAMEN, (12,), (51,)),
            (Structure.PALLIDUM, (13,), (52,)),
            (Structure.HIPPOCAMPUS, (17,), (53,)),
            (Structure.AMYGDALA, (18,), (54,)),
            (Structure.VENTRICLE, (4, 5), (43, 44)),
            (Structure.CEREBELLUM, (7, 8), (46, 47)),
            (Structure.WHITE, (2,), (41,)),
            (Structure.BRAINSTEM, (16,), (16,)),
        )
        for numbers, side in ((left, Side.LEFT), (right, Side.RIGHT))
        for number in numbers
    }
)
CORTEX_NUMBERS = (3, 42)

# Centres of deep structures, body mm, left side: what the head is laid on (10.1016/j.neuroimage.2009.01.002).
CENTRES: Mapping[tuple[int, int], tuple[float, float, float]] = MappingProxyType(
    {
        (10, 49): (-12.5, -19.0, 7.0),
        (12, 51): (-25.5, 3.0, 1.5),
        (17, 53): (-28.0, -23.0, -14.0),
        (18, 54): (-24.0, -4.0, -19.0),
    }
)
BRAIN_NUMBERS = tuple(number for number in TISSUE_OF if 0 < number < 100 and number != 24)
HULL_CLOSING = 5  # voxels of the distance grids


class LabelBody:
    """A head of a label map in body coordinates."""

    def __init__(self, path: Path) -> None:
        image = nibabel.Nifti1Image.from_filename(path)
        numbers = np.asarray(image.dataobj).astype(np.int16)
        self._to_index = np.linalg.inv(_laid(numbers, np.asarray(image.affine, float)))
        self.name = f"label map {hashlib.sha256(numbers.tobytes()).hexdigest()[:12]}"
        self._numbers = numbers
        self._skin, self._hull, deep = _distances(
            numbers, float(abs(np.linalg.det(self._to_index[:3, :3])) ** (-1 / 3))
        )
        table = np.zeros(numbers.max() + 1, np.uint8)
        for number, tissue in TISSUE_OF.items():
            if number < table.size:
                table[number] = ROW[tissue]
        self._rows = table[np.clip(numbers, 0, None)]
        self._rows[(numbers == SOFT) & ~deep] = ROW[Tissue.FAT]

    def _index(self, at: Points) -> npt.NDArray[np.float64]:
        return np.asarray(self._to_index[:3, :3] @ at.astype(np.float64) + self._to_index[:3, 3:])

    def fractions(self, at: Points, steps: Steps) -> Fractions:
        """How much of the voxel round each point every tissue fills: labels read between their voxels, sub-sampled."""
        out = np.zeros((len(TISSUES), at.shape[1]), np.float32)
        counts = np.maximum(np.ceil(np.linalg.norm(steps, axis=0)), 1).astype(np.int64)
        _mix(self._rows, self._index(at), self._to_index[:3, :3] @ steps, counts, out)
        return out

    def parcels(self, at: Points) -> Labels:
        """The parcel (n,) of the nearest voxel's label; cortex by its place in body coordinates."""
        index = np.rint(self._index(at)).astype(int)
        inside = np.all((index >= 0) & (index < np.array(self._numbers.shape)[:, None]), axis=0)
        numbers = np.where(inside, self._numbers[tuple(np.where(inside, index, 0))], 0)
        labels = np.zeros(at.shape[1], np.uint8)
        for number, (structure, side) in STRUCTURE_OF.items():
            labels[numbers == number] = LABEL[Parcel(structure, Side.BOTH if structure in MIDLINE else side)]
        cortex = np.isin(numbers, CORTEX_NUMBERS)
        # The number tells the side; a gyrus may bulge over x = 0.
        place = at[:, cortex].copy()
        place[0] = np.where(numbers[cortex] == CORTEX_NUMBERS[0], -np.abs(place[0]) - 1e-3, np.abs(place[0]) + 1e-3)
        labels[cortex] = cortical_labels(place)
        return labels

    def skin(self, at: Points) -> Distance:
        """Signed distance (n,) to the skin, mm."""
        return self._read(self._skin, at)

    def brain(self, at: Points) -> Distance:
        """Signed distance (n,) to the brain's hull, mm."""
        return self._read(self._hull, at)

    def _read(self, grid: npt.NDArray[np.float32], at: Points) -> Distance:
        found = ndimage.map_coordinates(grid, self._index(at) / 2, order=1, mode="nearest", prefilter=False)
        return np.asarray(found, np.float32)


def _laid(numbers: npt.NDArray[np.int16], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """4x4, voxel index to body mm: the similarity that brings the centres nearest (Umeyama 1991, 10.1109/34.88573)."""
    own, wanted = [], []
    for (left, right), (x, y, z) in CENTRES.items():
        for number, sign in ((left, 1.0), (right, -1.0)):
            centre = np.argwhere(numbers == number).mean(axis=0)
            own.append(affine[:3, :3] @ centre + affine[:3, 3])
            wanted.append((sign * x, y, z))
    source, target = np.array(own), np.array(wanted)
    middle, aim = source.mean(axis=0), target.mean(axis=0)
    u, size, vt = np.linalg.svd((target - aim).T @ (source - middle))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ flip @ vt
    scale = float((size * np.diag(flip)).sum() / ((source - middle) ** 2).sum())
    laid = np.eye(4)
    laid[:3, :3] = scale * turn
    laid[:3, 3] = aim - scale * turn @ middle
    return np.asarray(laid @ affine)


def _distances(
    numbers: npt.NDArray[np.int16], voxel_mm: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Distances to skin and hull on every second voxel, body mm, and which voxels lie deeper than the scalp's fat."""
    coarse = numbers[::2, ::2, ::2]
    head = ndimage.binary_fill_holes(coarse > 0)
    hull = ndimage.binary_closing(np.isin(coarse, BRAIN_NUMBERS), iterations=HULL_CLOSING)
    signed = []
    for solid in (head, ndimage.binary_fill_holes(hull)):
        away = ndimage.distance_transform_edt(~solid) - ndimage.distance_transform_edt(solid)
        signed.append(((away - 0.5 * np.sign(away)) * 2 * voxel_mm).astype(np.float32))
    deep = ndimage.distance_transform_edt(coarse != SKIN) * 2 * voxel_mm > SCALP_FAT_MM
    deep = np.repeat(np.repeat(np.repeat(deep, 2, 0), 2, 1), 2, 2)
    return signed[0], signed[1], deep[: numbers.shape[0], : numbers.shape[1], : numbers.shape[2]]


@numba.njit(nogil=True, cache=True)
def _mix(rows: Any, index: Any, steps: Any, counts: Any, out: Any) -> None:
    """Add to out (tissue, n) the share of each tissue: trilinear weights of the labels, mean over sub-samples."""
    air = rows[0, 0, 0]
    each = 1.0 / (counts[0] * counts[1] * counts[2])
    for n in range(index.shape[1]):
        for p in range(counts[0]):
            for q in range(counts[1]):
                for r in range(counts[2]):
                    a, b, c = (p + 0.5) / counts[0] - 0.5, (q + 0.5) / counts[1] - 0.5, (r + 0.5) / counts[2] - 0.5
                    x = index[0, n] + a * steps[0, 0] + b * steps[0, 1] + c * steps[0, 2]
                    y = index[1, n] + a * steps[1, 0] + b * steps[1, 1] + c * steps[1, 2]
                    z = index[2, n] + a * steps[2, 0] + b * steps[2, 1] + c * steps[2, 2]
                    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
                    u, v, w = x - i, y - j, z - k
                    for corner in range(8):
                        d, e, f = corner >> 2, (corner >> 1) & 1, corner & 1
                        weight = (u if d else 1 - u) * (v if e else 1 - v) * (w if f else 1 - w)
                        s, t, m = i + d, j + e, k + f
                        known = 0 <= s < rows.shape[0] and 0 <= t < rows.shape[1] and 0 <= m < rows.shape[2]
                        out[rows[s, t, m] if known else air, n] += weight * each
