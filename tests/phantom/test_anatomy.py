"""Warp and pose against numbers of their own."""

import numpy as np
import pytest

from phantom.anatomy import template, warp
from phantom.anatomy.adult import Adult
from phantom.anatomy.person import Person
from phantom.slab import Slab, rotation


@pytest.fixture(scope="module")
def bent() -> warp.Warp:
    return warp.random_warp(np.random.default_rng(7), 2.5)


def test_a_warp_folds_nothing_and_is_another_for_another_seed(bent: warp.Warp) -> None:
    points = np.random.default_rng(0).uniform(-90, 90, (3, 20000)).astype(np.float32)
    assert bent.determinant(points).min() > 0.3
    assert np.sqrt((bent.coefficients_mm**2).sum(axis=0).mean()) == pytest.approx(2.5, rel=0.1)
    other = warp.random_warp(np.random.default_rng(8), 2.5)
    assert np.abs(other.pull(points) - bent.pull(points)).max() > 3


def test_a_warp_of_minus_the_velocity_undoes_it(bent: warp.Warp) -> None:
    """exp(-v) after exp(v) is the identity: what makes the warp a diffeomorphism."""

    class Mirrored:
        def __init__(self, seed: int) -> None:
            self._random = np.random.default_rng(seed)

        def standard_normal(self, shape: tuple[int, ...], dtype: type[np.float32]) -> np.ndarray:
            return -self._random.standard_normal(shape, dtype=dtype)

    back = warp.random_warp(Mirrored(7), 2.5)  # type: ignore[arg-type]
    points = np.random.default_rng(0).uniform(-70, 70, (3, 500)).astype(np.float32)
    there = bent.pull(points)
    assert np.abs(there - points).max() > 2
    assert np.abs(back.pull(there) - points).max() < 0.6  # a tenth of the lattice


def test_turning_is_the_rotation_of_the_jacobian(bent: warp.Warp) -> None:
    points = np.random.default_rng(1).uniform(-90, 90, (3, 20000)).astype(np.float32)
    u, _, vt = np.linalg.svd(bent.derivative(points))
    np.testing.assert_allclose(bent.turn(points), (u @ vt).transpose(0, 2, 1), atol=0.03)
    assert np.abs(u @ vt - np.eye(3)).max() > 0.08, "there is something to turn"


@pytest.fixture(scope="module")
def lying(bent: warp.Warp) -> Person:
    return Person(Adult(template.load(), {}), bent, rotation((8, 2, -3)), (2, 4, -3))


def test_a_person_is_placed_where_it_was_put(lying: Person) -> None:
    for landmark in ((0.0, 0.0, 0.0), (-27.0, 30.0, 20.0), (37.0, -22.0, 58.0)):
        scanner = lying.scanner(landmark)
        shown = lying.template(scanner.astype(np.float32)[:, None])[:, 0]
        np.testing.assert_allclose(shown, landmark, atol=0.05)


def test_a_small_step_in_the_body_is_carried_to_the_same_step_in_the_scanner(lying: Person) -> None:
    """Two body points half a millimetre apart: where the scanner sees them is where `carry` sends their difference."""
    for way in np.eye(3):
        here, there = (lying.scanner((20 + s * way[0], -15 + s * way[1], s * way[2])) for s in (0.0, 0.5))
        carried = lying.carry(here.astype(np.float32)[:, None])[0] @ way
        np.testing.assert_allclose((there - here) / 0.5, carried, atol=0.01)


def test_a_voxel_step_is_the_same_length_in_the_body_and_turned_with_the_head(lying: Person) -> None:
    steps = lying.steps(Slab.around((0, 0, 0), (4, 4, 4), (1.0, 2.0, 3.0)))
    np.testing.assert_allclose(np.linalg.norm(steps, axis=0), (1, 2, 3))
    np.testing.assert_allclose(lying.placement @ steps[:, 0], (-1, 0, 0), atol=1e-12)  # LPS x runs to the left
