"""The warp that makes each seed a person: its derivative, the volumes that follow from it, and that nothing folds."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial import ConvexHull

from phantom.anatomy.warp import COARSE_MM, Warp, random_warp

Array = npt.NDArray[np.float64]
RMS_MM = 2.5


@pytest.fixture(scope="module")
def bent() -> Warp:
    return random_warp(np.random.default_rng(7), RMS_MM)


def single(points: Array) -> npt.NDArray[np.float32]:
    return points.astype(np.float32)


def test_the_derivative_is_that_of_finite_differences(bent: Warp) -> None:
    """Single precision keeps 1e-5 mm of a place: over 4 mm that is 3e-6; the rest is the spline's third derivative."""
    points = np.random.default_rng(0).uniform(-75, 75, (3, 3000))
    columns = []
    for axis in np.eye(3):
        step = axis[:, None] * 2.0
        moved = bent.pull(single(points + step)).astype(float) - bent.pull(single(points - step))
        columns.append(moved / 4.0)
    slope = np.stack(columns, axis=-1).transpose(1, 0, 2)  # (n, body axis, person axis)
    found = bent.derivative(single(points))
    np.testing.assert_allclose(found, slope, atol=0.002)
    np.testing.assert_allclose(bent.determinant(single(points)), np.linalg.det(slope), atol=0.003)
    assert np.abs(slope - np.eye(3)).max() > 0.1, "there is something to derive"
    assert np.abs(found - slope.transpose(0, 2, 1)).max() > 0.05, "rows and columns are told apart"


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (36.0, -22.0, 52.0), (-50.0, -10.0, -20.0)])
def test_the_integral_of_the_jacobian_over_a_ball_is_the_volume_of_the_body_in_it(
    bent: Warp, centre: tuple[float, float, float]
) -> None:
    """The ball's surface is carried into the body as a polyhedron; the same of the unmoved ball corrects its flats."""
    radius = 20.0
    order = np.arange(4000) + 0.5
    z, turn = 1 - 2 * order / 4000, order * np.pi * (3 - np.sqrt(5))
    sphere = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z])
    faces = ConvexHull(sphere.T).simplices
    inwards = np.einsum("ij,ij->i", np.cross(sphere.T[faces[:, 0]], sphere.T[faces[:, 1]]), sphere.T[faces[:, 2]]) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    middle = np.array(centre)[:, None]
    corners = bent.pull(single(middle + radius * sphere)).T.astype(float)[faces]
    volume = np.einsum("ij,ij->i", np.cross(corners[:, 0], corners[:, 1]), corners[:, 2]).sum() / 6
    flat = sphere.T[faces]
    volume /= np.einsum("ij,ij->i", np.cross(flat[:, 0], flat[:, 1]), flat[:, 2]).sum() / 6 / (4 / 3 * np.pi)

    nodes, weights = np.polynomial.legendre.leggauss(12)
    r = radius * (nodes + 1) / 2
    shells = middle[:, :, None] + r[None, :, None] * sphere[:, None, ::5]
    inside = bent.determinant(single(shells.reshape(3, -1))).reshape(len(r), -1).mean(axis=1)
    integral = (4 * np.pi * r**2 * inside * weights * radius / 2).sum()
    assert integral == pytest.approx(volume, rel=5e-4)
    assert abs(volume / (4 / 3 * np.pi * radius**3) - 1) > 0.005, "there is something to integrate"


def test_a_warp_folds_nothing_and_is_another_for_another_seed(bent: Warp) -> None:
    points = single(np.random.default_rng(1).uniform(-80, 80, (3, 20000)))
    assert bent.determinant(points).min() > 0.4
    moved = bent.pull(points) - points
    assert np.sqrt((moved**2).sum(axis=0).mean()) == pytest.approx(RMS_MM, rel=0.3)
    other = random_warp(np.random.default_rng(8), RMS_MM)
    assert np.abs(other.pull(points) - bent.pull(points)).max() > 3


def test_no_warp_is_the_body_itself() -> None:
    still = random_warp(np.random.default_rng(7), 0.0)
    points = single(np.random.default_rng(2).uniform(-80, 80, (3, 100)))
    np.testing.assert_array_equal(still.pull(points), points)
    np.testing.assert_allclose(still.determinant(points), 1, atol=1e-6)


def test_the_lattice_leaves_no_step_in_the_picture(bent: Warp) -> None:
    """Across cells of the lattice the derivative goes on: steps of 0.1 mm change it by what its slope allows."""
    line = np.zeros((3, 400))
    line[1] = np.arange(400) * 0.1 - 20
    slope = bent.derivative(single(line))
    steps = np.abs(np.diff(slope, axis=0)).max(axis=(1, 2))
    assert steps.max() < 0.1 * 10 * np.abs(slope - np.eye(3)).max() / COARSE_MM
