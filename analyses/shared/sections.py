"""Flat sections of a volume along the patient's own planes, whatever way the slices were acquired.

Radiological convention: the patient's right is on the left of axial and coronal sections, the front on the left of
sagittal ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

MARGIN_MM = 3.0  # the rim of a voxel is not cut off
STEP_MM = 1.0  # edge of a section's pixel


class Plane(Enum):
    """A patient plane: fixed RAS axis, then (RAS axis, direction) across the page and down the page."""

    AXIAL = (2, (0, -1), (1, -1))
    CORONAL = (1, (0, -1), (2, -1))
    SAGITTAL = (0, (1, -1), (2, -1))

    @property
    def fixed(self) -> int:
        """RAS axis at right angles to the plane."""
        return self.value[0]

    @property
    def across(self) -> tuple[int, int]:
        """RAS axis and sign of the direction from left to right of the page."""
        return self.value[1]

    @property
    def down(self) -> tuple[int, int]:
        """RAS axis and sign of the direction from top to bottom of the page."""
        return self.value[2]

    def letters(self) -> tuple[str, str, str, str]:
        """Letters at the left, right, top and bottom edge."""
        names = (("L", "R"), ("P", "A"), ("I", "S"))  # negative and positive end of each RAS axis
        (a, a_sign), (d, d_sign) = self.across, self.down
        left, right = names[a][a_sign < 0], names[a][a_sign > 0]
        top, bottom = names[d][d_sign < 0], names[d][d_sign > 0]
        return left, right, top, bottom

    def place(self, at_mm: float) -> str:
        """Return the plane and its place as a reader writes it: "axial, S 20 mm"."""
        sides = (("L", "R"), ("P", "A"), ("I", "S"))[self.fixed]
        return f"{self.name.lower()}, {sides[at_mm > 0]} {abs(at_mm):.0f} mm"


@dataclass(frozen=True, slots=True)
class Box:
    """A box in RAS+ mm that sections are cut to: `low` and `high` corner (3,)."""

    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


def box_around(mask: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64], margin_mm: float = MARGIN_MM) -> Box:
    """Box around all voxels of `mask` (x, y, z), with a margin."""
    corners = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return Box(corners.min(axis=0) - margin_mm, corners.max(axis=0) + margin_mm)


def tight(inside: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of the smallest frame around what is `inside` (row, column); all of it when nothing is."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(None), slice(None)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def section(
    values: npt.NDArray[np.float32],
    affine: npt.NDArray[np.float64],
    plane: Plane,
    at_mm: float,
    box: Box,
    order: Literal[0, 1] = 1,
) -> npt.NDArray[np.float32]:
    """Sample `values` (x, y, z) on a plane: (row, column) float32, 1 mm a pixel, 0 outside the volume."""
    (across, across_sign), (down, down_sign) = plane.across, plane.down
    columns = _line(box, across, across_sign)
    rows = _line(box, down, down_sign)
    points = np.empty((3, len(rows), len(columns)))
    points[plane.fixed] = at_mm
    points[across] = columns[None, :]
    points[down] = rows[:, None]
    back = np.linalg.inv(affine)
    index = np.tensordot(back[:3, :3], points, axes=1) + back[:3, 3][:, None, None]
    sampled = ndimage.map_coordinates(np.nan_to_num(values).astype(np.float32), index, order=order, cval=0.0)
    return np.asarray(sampled, dtype=np.float32)


def _line(box: Box, axis: int, sign: int) -> npt.NDArray[np.float64]:
    """Positions in mm along one RAS axis, in page order."""
    ascending = np.arange(box.low[axis], box.high[axis] + STEP_MM / 2, STEP_MM)
    return ascending if sign > 0 else ascending[::-1]
