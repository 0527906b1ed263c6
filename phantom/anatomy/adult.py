"""The shipped body: the template's brain, folds, nuclei and vessels in a head with face, skull, neck and cord.

Body coordinates are MNI mm. Parts are painted over one another: the later covers the earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage

from phantom.anatomy import _outside, outside
from phantom.anatomy.body import ROW, TISSUES, Distance, Fractions, Labels, Points, Steps
from phantom.anatomy.cord import Cord, spread
from phantom.anatomy.parcels import Parcel
from phantom.anatomy.shapes import CELL_MM
from phantom.anatomy.template import Template
from phantom.tissue import Tissue

BLOCK = 65536  # points a thread takes at a time
THREADS = 2


class Adult:
    """An adult of the template's shape; `thinning_mm`: how much thinner disease has made each cortical parcel."""

    def __init__(self, template: Template, thinning_mm: Mapping[Parcel, float]) -> None:
        self._template = template
        self._shells = outside.shells(template)
        self.cord = Cord()
        self.name = f"adult {template.digest[:12]}"

    def fractions(self, at: Points, steps: Steps) -> Fractions:
        """How much of the voxel of `steps` round each point every tissue fills: (tissue, n), sums to 1."""
        at = np.ascontiguousarray(at, np.float32)
        out = np.zeros((len(TISSUES), at.shape[1]), np.float32)

        def block(start: int) -> None:
            part = slice(start, start + BLOCK)
            out[:, part] = self._block(np.ascontiguousarray(at[:, part]), steps)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(block, range(0, at.shape[1], BLOCK)))
        return out

    def _block(self, at: Points, steps: Steps) -> Fractions:
        mixed = np.zeros((len(TISSUES), at.shape[1]), np.float32)
        face, base = outside.FACE_SHAPES, outside.BASE_SHAPES
        _outside.paint_outside(
            at,
            spread(steps),
            self._shells.grid,
            outside.LOWER_MM,
            outside.GRID_MM,
            *(face.solids, face.parts, face.starts, face.members, face.lower, face.shape),
            *(base.solids, base.parts, base.starts, base.members, base.lower, base.shape),
            CELL_MM,
            mixed,
        )
        self.cord.paint(mixed, at, steps)
        index = at - self._template.origin_mm[:, None].astype(np.float32)
        for part, tissue in ((self._template.grey, Tissue.CORTEX), (self._template.white, Tissue.WHITE)):
            share = np.clip(ndimage.map_coordinates(part, index, order=1, prefilter=False), 0, 1)
            mixed *= 1 - share
            mixed[ROW[tissue]] += share
        return mixed

    def parcels(self, at: Points) -> Labels:
        """The parcel of each point (n,)."""
        return self.cord.parcels(at)

    def skin(self, at: Points) -> Distance:
        """Signed distance (n,) to the skin, mm."""
        return self._shells.distance(at, 0)

    def brain(self, at: Points) -> Distance:
        """Signed distance (n,) to the dura, mm."""
        return self._shells.distance(at, 1)
