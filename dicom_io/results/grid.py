"""A voxel grid as DICOM image planes, computed from its affine alone, laid out as the source's planes are.

One path for classic, enhanced and tiled sources. Planes ascend along row x column direction: readers that take the
first two planes for the slice direction (dcmqi) and readers that compute the normal then agree. PS3.3 C.7.6.2.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0])
LARGEST_SHEAR = 1e-3  # cosine between two axes of a grid; image planes cannot say more (PS3.3 C.7.6.2.1.1: orthogonal)
COSINE_DIGITS, MILLIMETRE_DIGITS = 9, 6  # a DS has 16 characters; float32 affines carry noise in the 7th digit

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Planes of a grid in patient (LPS) millimetres.

    orientation: row cosine, column cosine. positions: (frame, 3) centre of the first voxel of each plane.
    spacing: between rows, between columns, between planes. axes, reverse: how (x, y, z) becomes (frame, row, column).
    """

    rows: int
    columns: int
    orientation: tuple[float, ...]
    positions: Vector
    spacing: tuple[float, float, float]
    axes: tuple[int, int, int]
    reverse: tuple[bool, bool, bool]

    @property
    def normal(self) -> Vector:
        """Unit vector in which the planes ascend."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    def planes(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The array (x, y, z) as (frame, row, column), contiguous."""
        steps = tuple(slice(None, None, -1 if back else 1) for back in self.reverse)
        return np.ascontiguousarray(data.transpose(self.axes)[steps])


def grid_of(
    shape: tuple[int, int, int], affine: npt.NDArray[np.float64], like: tuple[float, ...] | None = None
) -> Grid:
    """Planes of an (x, y, z) grid with a RAS+ affine, in the orientation nearest to `like`.

    like: row and column cosines (LPS) of the source; without them rows run along the first array axis.
    ValueError for a sheared or singular affine.
    """
    steps = LPS_OF_RAS @ np.asarray(affine, np.float64)[:3, :3]
    lengths = np.linalg.norm(steps, axis=0)
    if not np.all(np.isfinite(steps)) or np.any(lengths == 0):
        raise ValueError("the affine of the map is singular")
    directions = steps / lengths
    if np.abs(directions.T @ directions - np.eye(3)).max() > LARGEST_SHEAR:
        raise ValueError("the axes of the map are not orthogonal: image planes cannot carry it")
    across, down, through = _assign(directions, like)
    wanted = (
        directions[:, across] if like is None else np.array(like[:3]),
        directions[:, down] if like is None else np.array(like[3:]),
    )
    flip_across = bool(directions[:, across] @ wanted[0] < 0)
    flip_down = bool(directions[:, down] @ wanted[1] < 0)
    row = directions[:, across] * (-1 if flip_across else 1)
    column = directions[:, down] * (-1 if flip_down else 1)
    flip_through = bool(directions[:, through] @ np.cross(row, column) < 0)
    axes, reverse = (through, down, across), (flip_through, flip_down, flip_across)
    corner = np.zeros(3)
    for axis, back in zip(axes, reverse, strict=True):
        corner[axis] = shape[axis] - 1 if back else 0
    origin = LPS_OF_RAS @ np.asarray(affine, np.float64)[:3, 3] + steps @ corner
    step = steps[:, through] * (-1 if flip_through else 1)
    positions = origin + np.arange(shape[through])[:, None] * step
    return Grid(
        rows=shape[down],
        columns=shape[across],
        orientation=tuple(float(c) for c in np.round(np.concatenate([row, column]), COSINE_DIGITS) + 0.0),
        positions=np.round(positions, MILLIMETRE_DIGITS) + 0.0,  # + 0.0: no negative zero in the file
        spacing=(
            round(float(lengths[down]), MILLIMETRE_DIGITS),
            round(float(lengths[across]), MILLIMETRE_DIGITS),
            round(float(lengths[through]), MILLIMETRE_DIGITS),
        ),
        axes=axes,
        reverse=reverse,
    )


def _assign(directions: Vector, like: tuple[float, ...] | None) -> tuple[int, int, int]:
    if like is None:
        return 0, 1, 2
    across = int(np.argmax(np.abs(directions.T @ np.array(like[:3]))))
    alignment = np.abs(directions.T @ np.array(like[3:]))
    alignment[across] = -1
    down = int(np.argmax(alignment))
    return across, down, 3 - across - down
