"""Sections through a volume: sides, upright, millimetres, whatever the storage."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.shared.orientation import axis_names
from analyses.shared.sections import Box, Plane, section, tight

BOX = Box(np.array([-50.0, -60.0, -40.0]), np.array([50.0, 60.0, 40.0]))
RIGHT_FRONT_TOP = np.array([30.0, 40.0, 20.0])


def ball(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A ball in the patient's right front top corner, painted on any grid."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return (np.linalg.norm(points - RIGHT_FRONT_TOP, axis=-1) < 12).astype(np.float32)


def grid(columns: list[list[float]], origin: list[float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    affine[:3, 3] = origin
    return affine


TURN = np.radians(25)
GRIDS = {
    "RAS": (grid([[2, 0, 0], [0, 2, 0], [0, 0, 4]], [-60, -70, -50]), (60, 70, 25)),
    "LAS": (grid([[-2, 0, 0], [0, 2, 0], [0, 0, 4]], [60, -70, -50]), (60, 70, 25)),
    "sagittal slices": (grid([[0, -2, 0], [0, 0, 2], [-4, 0, 0]], [60, 70, -50]), (70, 50, 30)),
    "oblique": (
        grid(
            [[2 * np.cos(TURN), 2 * np.sin(TURN), 0], [-2 * np.sin(TURN), 2 * np.cos(TURN), 0], [0, 0, 2]],
            [-30, -110, -60],
        ),
        (80, 100, 60),
    ),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    ("plane", "at", "row", "column"),
    [
        (Plane.AXIAL, 20.0, 60 - 40, 50 - 30),  # right is on the left of the picture, front at the top
        (Plane.CORONAL, 40.0, 40 - 20, 50 - 30),
        (Plane.SAGITTAL, 30.0, 40 - 20, 60 - 40),  # front on the left
    ],
)
def test_a_ball_lies_where_a_radiologist_looks_for_it(
    name: str, plane: Plane, at: float, row: int, column: int
) -> None:
    affine, shape = GRIDS[name]
    picture = section(ball(affine, shape), affine, plane, at, BOX)
    weight = picture / picture.sum()
    rows, columns = np.indices(picture.shape)
    assert (weight * rows).sum() == pytest.approx(row, abs=0.7)
    assert (weight * columns).sum() == pytest.approx(column, abs=0.7)
    assert picture.sum() == pytest.approx(np.pi * 12**2, rel=0.06)  # true size in mm2, true proportions


def test_letters_and_places() -> None:
    assert Plane.AXIAL.letters() == ("R", "L", "A", "P")
    assert Plane.CORONAL.letters() == ("R", "L", "S", "I")
    assert Plane.SAGITTAL.letters() == ("A", "P", "S", "I")
    assert Plane.SAGITTAL.place(-4.2) == "sagittal, L 4 mm"
    assert Plane.CORONAL.place(-16.0) == "coronal, P 16 mm"
    assert Plane.AXIAL.place(20.0) == "axial, S 20 mm"


def test_a_frame_lies_close_around_what_is_shown() -> None:
    inside = np.zeros((9, 7), dtype=bool)
    inside[2:5, 3:7] = True
    assert tight(inside) == (slice(2, 5), slice(3, 7))
    assert inside[tight(np.zeros((9, 7), dtype=bool))].shape == (9, 7)


def test_array_axes_are_named_after_the_patient() -> None:
    assert axis_names(GRIDS["RAS"][0]) == ("left-right", "anterior-posterior", "head-foot")
    assert axis_names(GRIDS["sagittal slices"][0]) == ("anterior-posterior", "head-foot", "left-right")
    assert axis_names(GRIDS["oblique"][0]) == ("left-right", "anterior-posterior", "head-foot")
