"""What a body is to the rest of the phantom: which tissue fills a place, and where its surfaces lie. Body coordinates.

Body coordinates are MNI mm, RAS: x from left to right, y from back to front, z from feet to head.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from phantom.tissue import Tissue

Points = npt.NDArray[np.float32]  # (3, n) mm
Distance = npt.NDArray[np.float32]  # (n,) mm, negative inside
Fractions = npt.NDArray[np.float32]  # (len(TISSUES), n), sums to 1
Labels = npt.NDArray[np.uint8]  # (n,) number of a parcel, 0 = none
Steps = npt.NDArray[np.float64]  # 3x3: one voxel step along each voxel axis as columns, mm, body axes

TISSUES: tuple[Tissue, ...] = tuple(Tissue)  # order of rows in Fractions
ROW: dict[Tissue, int] = {tissue: row for row, tissue in enumerate(TISSUES)}


class Body(Protocol):
    """A person in body coordinates, disease included, before the person's own warp and pose."""

    @property
    def name(self) -> str:
        """Which body this is, with the digest of what it was made from."""

    def fractions(self, at: Points, steps: Steps) -> Fractions:
        """How much of the voxel round each point every tissue fills; the voxel is the parallelepiped of `steps`."""

    def parcels(self, at: Points) -> Labels:
        """The parcel that each point belongs to, whatever its tissue."""

    def skin(self, at: Points) -> Distance:
        """Distance to the skin."""

    def brain(self, at: Points) -> Distance:
        """Distance to the brain's surface (pia, without sulci: the hull)."""
