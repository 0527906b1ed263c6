"""The shipped body: the template's brain, folds, nuclei and vessels in a head with face, skull, neck and cord.

Body coordinates are MNI mm. Parts are painted over one another: the later covers the earlier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from phantom.anatomy import _brain, _outside, _solid, deep, outside, vessels
from phantom.anatomy.body import TISSUES, Distance, Fractions, Labels, Points, Steps
from phantom.anatomy.cord import Cord, spread
from phantom.anatomy.cortex import Cortex
from phantom.anatomy.parcels import Parcel
from phantom.anatomy.template import Template

BLOCK = 16432  # points a thread takes at a time; no multiple of 1024, so that the rows of a point share no cache set
THREADS = 2
THICK_MM = 2.1  # longer voxels are painted in parts: more than one surface of a solid may cross them
BRAIN_REACH_MM = 0.5  # outside the dura there is no brain


@lru_cache(maxsize=1)
def _interleaved(template: Template) -> npt.NDArray[np.float32]:
    """Grey and white (x, y, z, 2): both of a voxel lie side by side in memory."""
    return np.ascontiguousarray(np.stack([template.grey, template.white], axis=-1))


def _split(steps: Steps) -> tuple[Points, Steps]:
    """Centres (3, n) and steps of the parts of a voxel, none longer than `THICK_MM`."""
    counts = np.ceil(np.linalg.norm(steps, axis=0) / THICK_MM - 1e-6)
    parts = np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in counts], indexing="ij")
    return np.asarray(steps @ np.stack(parts).reshape(3, -1), np.float32), steps / counts


class Adult:
    """An adult of the template's shape; `thinning_mm`: how much thinner disease has made each cortical parcel."""

    def __init__(self, template: Template, thinning_mm: Mapping[Parcel, float]) -> None:
        self._template = template
        with ThreadPoolExecutor(1) as beside:  # the cortex takes as long as all the rest
            cortex = beside.submit(Cortex, template, thinning_mm)
            self._hind = deep.hindbrain(template)
            self._maps = _interleaved(template)
            self._sinuses, self._vessels = vessels.sinuses(template), vessels.surface_vessels(template)
            self._shells = outside.shells(template)
            self._cortex = cortex.result()
        self.cord = Cord()
        thinned = sorted((parcel.structure.value, parcel.side.value, mm) for parcel, mm in thinning_mm.items() if mm)
        self.name = f"adult {hashlib.sha256(repr((template.digest, thinned)).encode()).hexdigest()[:12]}"

    def fractions(self, at: Points, steps: Steps) -> Fractions:
        """How much of the voxel of `steps` round each point every tissue fills: (tissue, n), sums to 1."""
        at = np.ascontiguousarray(at, np.float32)
        out = np.empty((len(TISSUES), at.shape[1]), np.float32)
        offsets, finer = _split(steps)

        def block(start: int) -> None:
            part = slice(start, start + BLOCK)
            out[:, part] = self._block(at[:, part] + offsets[:, :1], finer)
            for offset in offsets[:, 1:].T:
                out[:, part] += self._block(at[:, part] + offset[:, None], finer)
            if offsets.shape[1] > 1:
                out[:, part] /= offsets.shape[1]

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(block, range(0, at.shape[1], BLOCK)))
        return out

    def _block(self, at: Points, steps: Steps) -> Fractions:
        mixed = np.zeros((len(TISSUES), at.shape[1]), np.float32)
        to_dura = np.empty(at.shape[1], np.float32)
        reach = spread(steps)
        shells = self._shells.grid, outside.LOWER_MM, outside.GRID_MM
        tables = outside.FACE_SHAPES.packed, outside.BASE_SHAPES.packed, self._sinuses.packed
        _outside.paint_outside(at, reach, *shells, *tables, mixed, to_dura)
        self.cord.paint(mixed, at, steps)
        brain = np.flatnonzero(to_dura < BRAIN_REACH_MM + np.sqrt(reach[:3].sum()) / 2)
        if brain.size == 0:
            return mixed
        inside = np.ascontiguousarray(at[:, brain])
        part = np.ascontiguousarray(mixed[:, brain])
        _brain.paint_brain(
            inside,
            np.asarray(steps, np.float64),
            reach,
            self._cortex.shares(inside, steps),
            self._maps,
            self._template.origin_mm,
            self._hind.grid,
            deep.HIND_LOWER_MM,
            deep.TEMPLATE_FLOOR_MM,
            deep.REGIONS.packed,
            deep.NUCLEI_SHAPES.packed,
            part,
        )
        _solid.paint_all(inside, reach, self._vessels.packed, part)
        mixed[:, brain] = part
        return mixed

    def parcels(self, at: Points) -> Labels:
        """The parcel of each point (n,)."""
        at = np.ascontiguousarray(at, np.float32)
        labels = self.cord.parcels(at)
        brain = np.flatnonzero(self._shells.distance(at, 1) < BRAIN_REACH_MM)
        inside = np.ascontiguousarray(at[:, brain])
        found = self._cortex.parcels(inside)
        _brain.label_brain(
            inside,
            self._maps,
            self._template.origin_mm,
            self._hind.grid,
            deep.HIND_LOWER_MM,
            deep.TEMPLATE_FLOOR_MM,
            deep.REGIONS.packed,
            deep.NUCLEI_SHAPES.packed,
            deep.CALLOSUM_THICK_MM,
            deep.CALLOSUM_HALF_MM,
            deep.REGION_LABELS,
            deep.NUCLEI_LABELS,
            found,
        )
        labels[brain] = np.where(found > 0, found, labels[brain])
        return labels

    def skin(self, at: Points) -> Distance:
        """Signed distance (n,) to the skin, mm."""
        return self._shells.distance(at, 0)

    def brain(self, at: Points) -> Distance:
        """Signed distance (n,) to the brain's hull, mm: sulci and narrow cisterns lie inside."""
        return np.asarray(self._shells.distance(at, 1) + np.float32(outside.FLUID_MM))
