"""The digital cord against its own formulas: area across the line, tilt, curvature, sides."""

import numpy as np
import pytest

from phantom.anatomy import _spine
from phantom.anatomy.body import ROW, TISSUES, Fractions, Points
from phantom.anatomy.cord import LEVELS, LINE_MM, SAMPLE_MM, Cord
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure
from phantom.slab import rotation
from phantom.tissue import Tissue


def leaning(degrees: tuple[float, float, float]) -> Cord:
    line = np.array(LINE_MM) - LINE_MM[0]
    return Cord([tuple(point) for point in line @ rotation(degrees).T + LINE_MM[0]])


def arched(radius_mm: float) -> Cord:
    """Lordosis and a sideways bend at once, on an arc of a circle."""
    angle = np.linspace(0, 165 / radius_mm, 12)
    away = radius_mm * (1 - np.cos(angle))
    return Cord([(0.5 * a, 0.8 * a - 42.0, -62.0 - radius_mm * np.sin(t)) for a, t in zip(away, angle, strict=True)])


def painted(cord: Cord, at: Points, steps: np.ndarray) -> Fractions:
    fractions = np.zeros((len(TISSUES), at.shape[1]), np.float32)
    fractions[ROW[Tissue.MUSCLE]] = 1
    cord.paint(fractions, at, steps)
    return fractions


def across(cord: Cord, s_mm: float, half_mm: float = 11.0, edge_mm: float = 0.5) -> tuple[Points, np.ndarray]:
    """A sheet of cubic voxels perpendicular to the cord at s, and the steps."""
    origin = cord.body(0, 0, s_mm)
    right, front = (cord.body(*axis, s_mm) - origin for axis in ((1, 0), (0, 1)))
    steps = np.stack([right, front, np.cross(right, front)], axis=1).astype(float) * edge_mm
    index = np.stack(np.meshgrid(*[np.arange(-half_mm, half_mm, edge_mm) / edge_mm] * 2, indexing="ij"))
    return (origin[:, None] + steps[:, :2] @ index.reshape(2, -1)).astype(np.float32), steps


CORDS = {"upright": Cord(), "tilted": leaning((25, 0, 0)), "scoliosis": leaning((0, 15, 10)), "arched": arched(80)}


@pytest.mark.parametrize("name", CORDS)
@pytest.mark.parametrize("s_mm", [15.0, 40.0, 73.0, 108.0, 130.0])
def test_the_area_across_the_line_is_the_formulas(name: str, s_mm: float) -> None:
    cord = CORDS[name]
    fractions = painted(cord, *across(cord, s_mm))
    grey, white = (fractions[ROW[t]].sum() * 0.25 for t in (Tissue.CORD_GREY, Tissue.CORD_WHITE))
    assert grey + white == pytest.approx(float(cord.area_mm2(s_mm)), rel=0.005)
    assert grey == pytest.approx(float(cord.grey_mm2(s_mm)), rel=0.02)  # horns as thin as two voxels


@pytest.mark.parametrize("name", CORDS)
def test_coordinates_undo_the_way_to_the_body(name: str) -> None:
    cord = CORDS[name]
    own = np.array([[0, 0, 20], [4, -2, 55], [-5, 3, 90], [9, 8, 120.0]])
    at = np.stack([cord.body(*place) for place in own], axis=1)
    np.testing.assert_allclose(cord.coordinates(at), own.T, atol=0.08)


def test_u_is_right_v_is_front_s_runs_down() -> None:
    cord = Cord()
    origin = cord.body(0, 0, 60)
    assert cord.body(1, 0, 60)[0] - origin[0] == pytest.approx(1, abs=1e-3)
    assert cord.body(0, 1, 60)[1] - origin[1] > 0.9
    assert cord.body(0, 0, 61)[2] - origin[2] < -0.9


def test_the_line_bends_no_more_than_a_neck_may() -> None:
    cord = Cord()
    points = np.stack([cord.body(0, 0, s) for s in np.arange(0, cord.length_mm - 1, 1.0)]).astype(float)
    tangents = np.diff(points, axis=0)
    assert np.linalg.norm(tangents, axis=1) == pytest.approx(1, abs=0.01), "s is a length"
    smooth = np.stack([cord.body(0, 0, s) for s in np.arange(0, cord.length_mm - 1, 5.0)]).astype(float)
    bend = np.linalg.norm(np.diff(smooth, 2, axis=0), axis=1) / 25
    assert 1 / bend.max() > 60
    height = np.degrees(np.arctan2(tangents[:, 1], -tangents[:, 2]))
    assert height.max() - height.min() > 10, "and it is not straight"


def test_the_fissure_is_in_front_and_the_horns_behind_are_thin() -> None:
    cord = Cord()
    a, b = (float(half) for half in cord.half_axes_mm(73.0))
    steps = np.eye(3) * 0.1

    def tissue(p: float, q: float) -> Tissue:
        fractions = painted(cord, cord.body(p * a, q * b, 73.0)[:, None], steps)
        return TISSUES[int(fractions[:, 0].argmax())]

    assert tissue(0, 0.95) is Tissue.CSF
    assert tissue(0, -0.93) is Tissue.CORD_WHITE
    assert tissue(0, 0.02) is Tissue.CORD_GREY, "the bridge"
    assert tissue(0.33, 0.3) is tissue(-0.33, 0.3) is Tissue.CORD_GREY
    assert tissue(0.6, -0.3) is tissue(-0.6, -0.3) is Tissue.CORD_WHITE, "the corticospinal tract"
    assert tissue(0, 1.4) is Tissue.CSF


def test_the_contour_encloses_pi() -> None:
    angle = np.linspace(-np.pi, np.pi, 7201)
    radius = _spine.contours(angle)
    assert np.trapezoid(radius**2, angle) / 2 == pytest.approx(np.pi, rel=1e-4)
    assert angle[radius.argmin()] == pytest.approx(np.pi / 2, abs=0.01)


def test_levels_follow_one_another_down_and_hold_their_mean_area() -> None:
    cord = Cord()
    for number, (structure, level) in enumerate(LEVELS.items()):
        middle = (level.upper_mm + level.lower_mm) / 2
        label = LABEL[Parcel(structure, Side.BOTH)]
        assert cord.parcels(cord.body(0, 0, middle)[:, None])[0] == label
        assert cord.parcels(cord.body(0, 7, middle)[:, None])[0] == 0, "the canal is no cord"
        areas = cord.area_mm2(np.arange(level.upper_mm, level.lower_mm, 0.01))
        assert cord.mean_area_mm2(structure) == pytest.approx(areas.mean(), rel=1e-3)
        assert cord.mean_area_mm2(structure) == pytest.approx(level.area_mm2, rel=0.05)
        assert structure.value.endswith(f"C{number + 1}")
    c2_3 = cord.body(0, 0, LEVELS[Structure.CORD_C2].lower_mm)[2]
    assert -112 < c2_3 < -105, "64 mm under the pontomedullary junction"


def test_discs_lie_between_vertebral_bodies() -> None:
    cord = Cord()
    level = LEVELS[Structure.CORD_C4]
    found = []
    for s in np.arange(level.upper_mm - 1, level.lower_mm + 1, 0.5):
        fractions = painted(cord, cord.body(0, 17, s)[:, None], np.eye(3) * 0.2)
        found.append(TISSUES[int(fractions[:, 0].argmax())])
    order = [t for n, t in enumerate(found) if n == 0 or t is not found[n - 1]]
    assert order == [Tissue.DISC, Tissue.BONE, Tissue.MARROW, Tissue.BONE, Tissue.DISC]


def test_the_corticospinal_tract_lies_behind_on_its_own_side() -> None:
    cord = CORDS["scoliosis"]
    at, _ = across(cord, 60.0, half_mm=8, edge_mm=0.1)
    for side, sign in ((Side.LEFT, -1), (Side.RIGHT, 1)):
        inside = cord.corticospinal(at, side)
        u, v, _ = cord.coordinates(at[:, inside])
        assert (np.sign(u) == sign).all()
        assert (v < 0).all()
        assert 3.2 < inside.sum() * 0.01 < 6
        fractions = painted(cord, at[:, inside], np.eye(3) * 0.1)
        assert fractions[ROW[Tissue.CORD_WHITE]].mean() > 0.9
    assert SAMPLE_MM == _spine.SAMPLE_MM
