"""Where a stack of slices lies in the scanner: any plane, any tilt, either hand. DICOM's LPS inside, RAS for NIfTI."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


class Plane(StrEnum):
    """Slice plane before any tilt."""

    AXIAL = "axial"
    SAGITTAL = "sagittal"
    CORONAL = "coronal"


# Columns: direction of a row of pixels (x of the array), of a column (y), of the slices; LPS, right-handed.
AXES: dict[Plane, Matrix] = {
    Plane.AXIAL: np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], float),
    Plane.SAGITTAL: np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float),
    Plane.CORONAL: np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
}


def rotation(degrees: tuple[float, float, float]) -> Matrix:
    """Rotation about x, then y, then z (patient axes), degrees."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """A grid: x along a row of pixels, y along a column, z over slices; voxel (0, 0, 0) is centred on the origin.

    shape: columns, rows, slices. voxel_mm along the same. axes_lps: 3x3, unit columns. origin_lps: mm.
    """

    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    axes_lps: Matrix
    origin_lps: Matrix

    @classmethod
    def around(
        cls,
        centre_ras: tuple[float, float, float],
        shape: tuple[int, int, int],
        voxel_mm: tuple[float, float, float],
        plane: Plane = Plane.AXIAL,
        tilt_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
        left_handed: bool = False,
    ) -> Slab:
        """Slab centred on a point; `left_handed` runs the slices against the cross product of row and column."""
        axes = rotation(tilt_deg) @ AXES[plane]
        if left_handed:
            axes[:, 2] *= -1
        half = axes @ ((np.array(shape) - 1) / 2 * np.array(voxel_mm))
        return cls(shape, voxel_mm, axes, np.array(centre_ras) * LPS_TO_RAS - half)

    @property
    def steps_lps(self) -> Matrix:
        """3x3: one voxel step along x, y, z as columns, mm."""
        return np.asarray(self.axes_lps * np.array(self.voxel_mm))

    @property
    def normal_lps(self) -> Matrix:
        """Row x column: the normal that DICOM means, whichever way the slices run."""
        (a, b, c), (d, e, f) = self.axes_lps[:, :2].T
        return np.array([b * f - c * e, c * d - a * f, a * e - b * d])

    @property
    def affine(self) -> Matrix:
        """4x4, voxel index to RAS+ mm."""
        affine = np.eye(4)
        affine[:3, :3] = LPS_TO_RAS[:, None] * self.steps_lps
        affine[:3, 3] = LPS_TO_RAS * self.origin_lps
        return affine

    def points_ras(self, first: int = 0, count: int | None = None) -> npt.NDArray[np.float32]:
        """Centres of the voxels of `count` slices from `first` on: (3, x·y·slices) mm, z fastest."""
        nx, ny, nz = self.shape
        stop = nz if count is None else min(first + count, nz)
        index = np.meshgrid(np.arange(nx), np.arange(ny), np.arange(first, stop), indexing="ij")
        flat = np.stack([axis.ravel() for axis in index]).astype(np.float32)
        affine = self.affine.astype(np.float32)
        return np.asarray(np.einsum("ij,jn->in", affine[:3, :3], flat) + affine[:3, 3:], np.float32)


def finer(slab: Slab) -> Slab:
    """The slab to paint for Gibbs ringing: twice as fine along rows and columns, over the same field."""
    x, y, z = slab.voxel_mm
    nx, ny, nz = slab.shape
    first = slab.origin_lps - slab.steps_lps[:, 0] / 4 - slab.steps_lps[:, 1] / 4
    return Slab((2 * nx, 2 * ny, nz), (x / 2, y / 2, z), slab.axes_lps, first)
