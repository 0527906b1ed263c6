"""Solids of one tissue in body coordinates (MNI mm): ellipsoids and tapered capsules, blended, cut, mirrored.

Tables of them are what `outside`, `deep` and `vessels` hold; `Shapes` packs a table for the kernels of `_solid`, with
a lattice that says which solids may touch a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from phantom.anatomy import _solid
from phantom.anatomy._solid import CELL_MM
from phantom.anatomy.body import ROW, Distance, Points
from phantom.slab import rotation
from phantom.tissue import Tissue

REACH_MM = 4.0  # how far outside its box a solid may colour a voxel: blending and half a voxel's diagonal

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Centre, half-axes (mm), turned about x, then y, then z (degrees)."""

    centre: Triple
    half: Triple
    turn_deg: Triple = (0.0, 0.0, 0.0)

    def packed(self) -> list[float]:
        """Row for the kernel."""
        axes = rotation(self.turn_deg).T
        return [_solid.ELLIPSOID, *self.centre, *self.half, *axes.ravel()]

    def box(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lower and upper corner."""
        reach = np.sqrt((rotation(self.turn_deg) ** 2) @ (np.array(self.half) ** 2))
        return np.array(self.centre) - reach, np.array(self.centre) + reach


@dataclass(frozen=True, slots=True)
class Cone:
    """Tapered capsule: two ends and their radii, mm."""

    first: Triple
    last: Triple
    radius_first: float
    radius_last: float

    def packed(self) -> list[float]:
        """Row for the kernel."""
        row = [_solid.CONE, *self.first, *self.last, self.radius_first, self.radius_last]
        return row + [0.0] * (_solid.PART_NUMBERS - len(row))

    def box(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lower and upper corner."""
        ends = np.array([self.first, self.last])
        radius = max(self.radius_first, self.radius_last)
        return ends.min(axis=0) - radius, ends.max(axis=0) + radius


Part = Ellipsoid | Cone


def tube(points: Sequence[Triple], radii: Sequence[float]) -> tuple[Cone, ...]:
    """A chain of capsules through `points` with a radius (mm) at each."""
    return tuple(Cone(points[n], points[n + 1], radii[n], radii[n + 1]) for n in range(len(points) - 1))


@dataclass(frozen=True, slots=True)
class Solid:
    """Parts of one tissue, joined over `blend_mm`; mirrored: on both sides of the midline; z between low and high.

    It stays `below_skin_mm` under the skin; `barred`: it gives way to the inside of the skull.
    """

    name: str
    tissue: Tissue
    parts: tuple[Part, ...]
    blend_mm: float = 0.0
    mirrored: bool = False
    cut: tuple[Part, ...] = ()
    low_mm: float = -_solid.FAR_MM
    high_mm: float = _solid.FAR_MM
    below_skin_mm: float = -_solid.FAR_MM
    barred: bool = False


class Shapes:
    """A table of solids in the order in which they are painted.

    parts (part, 16), solids (solid, 10): rows of the kernel. The solids that may touch cell c are
    members[starts[c]:starts[c + 1]]; cells of CELL_MM from `lower`, `shape` of them.
    """

    def __init__(self, solids: Sequence[Solid]) -> None:
        self.names = tuple(solid.name for solid in solids)
        rows: list[tuple[float, ...]] = []
        parts: list[list[float]] = []
        for solid in solids:
            start = len(parts)
            parts += [part.packed() for part in solid.parts]
            stop = len(parts)
            parts += [part.packed() for part in solid.cut]
            numbers = (start, stop, len(parts), ROW[solid.tissue], solid.blend_mm, solid.mirrored)
            rows.append((*numbers, solid.low_mm, solid.high_mm, solid.below_skin_mm, solid.barred))
        self.parts = np.array(parts, np.float32)
        self.solids = np.array(rows, np.float32)
        self._lay(solids)

    def _lay(self, solids: Sequence[Solid]) -> None:
        boxes = [_boxes(solid) for solid in solids]
        every = np.concatenate(boxes)
        self.lower = np.floor((every[:, 0].min(axis=0) - REACH_MM) / CELL_MM) * CELL_MM
        self.shape = np.ceil((every[:, 1].max(axis=0) + REACH_MM - self.lower) / CELL_MM).astype(np.int64)
        touched = np.zeros((*self.shape, len(solids)), np.bool_)
        for number, solid_boxes in enumerate(boxes):
            for low, high in solid_boxes:
                i, j, k = ((low - REACH_MM - self.lower) // CELL_MM).astype(int)
                p, q, r = ((high + REACH_MM - self.lower) // CELL_MM).astype(int) + 1
                touched[i:p, j:q, k:r, number] = True
        flat = touched.reshape(-1, len(solids))
        self.starts = np.concatenate([[0], np.cumsum(flat.sum(axis=1))]).astype(np.int64)
        self.members = np.nonzero(flat)[1].astype(np.int64)

    @property
    def packed(self) -> tuple[npt.NDArray[Any], ...]:
        """Everything that a kernel needs, in its order."""
        return self.solids, self.parts, self.starts, self.members, self.lower, self.shape

    def distance(self, name: str, at: Points) -> Distance:
        """Signed distance (n,) to the solid of that name, mm."""
        out = np.empty(at.shape[1], np.float32)
        _solid.distances(self.solids[self.names.index(name)], self.parts, np.ascontiguousarray(at), out)
        return out


def _boxes(solid: Solid) -> npt.NDArray[np.float64]:
    """Boxes (n, lower and upper, 3) of a solid's parts, mirror images included, clipped to its range of z."""
    boxes = np.array([part.box() for part in solid.parts])
    if solid.mirrored:
        mirror = np.array([-1.0, 1.0, 1.0])
        boxes = np.concatenate([boxes, boxes[:, ::-1] * mirror])
        boxes = np.stack([boxes.min(axis=1), boxes.max(axis=1)], axis=1)
    boxes[:, 0, 2] = np.maximum(boxes[:, 0, 2], solid.low_mm)
    boxes[:, 1, 2] = np.maximum(np.minimum(boxes[:, 1, 2], solid.high_mm), boxes[:, 0, 2])
    return boxes
