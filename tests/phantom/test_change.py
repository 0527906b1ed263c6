"""Bumps: their Jacobian, the volumes that follow from it, the way back, and halves of a change."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantom.anatomy.change import Bump, Bumps, Unchanged, growth, growth_by_label, growth_seen, relative_volume

Array = npt.NDArray[np.float64]

CENTRE = (10.0, -20.0, 50.0)
SHRINKING = Bump(CENTRE, 10.0, 0.05)
SEVERAL = Bumps((SHRINKING, Bump((14.0, -12.0, 44.0), 8.0, -0.03), Bump((-30.0, -20.0, 52.0), 12.0, 0.02)))


def around(count: int, reach_mm: float = 25.0, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-reach_mm, reach_mm, (3, count)) + np.array(CENTRE)[:, None]


def by_differences(change: Bumps, points: Array, step_mm: float) -> Array:
    """Determinant (n,) of the pull-back from central differences of `step_mm` to either side."""
    columns = []
    for axis in np.eye(3):
        step = axis[:, None] * step_mm
        columns.append((change.pull(points + step) - change.pull(points - step)) / (2 * step_mm))
    return np.linalg.det(np.stack(columns, axis=-1).transpose(1, 0, 2))


def ball(radius_mm: float, step_mm: float) -> Array:
    """An even lattice that fills a ball about `CENTRE`."""
    axis = np.arange(-radius_mm + step_mm / 2, radius_mm, step_mm)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    return points[:, (points**2).sum(axis=0) < radius_mm**2] + np.array(CENTRE)[:, None]


def test_the_jacobian_is_that_of_finite_differences() -> None:
    points = around(2000)
    small = by_differences(SEVERAL, points, 1e-3)
    np.testing.assert_allclose(SEVERAL.jacobian(points), small, atol=1e-6)
    coarse = by_differences(Bumps((Bump(CENTRE, 10.0, 0.02),)), points, 2.0)
    np.testing.assert_allclose(Bumps((Bump(CENTRE, 10.0, 0.02),)).jacobian(points), coarse, atol=0.002)
    assert np.abs(small - 1).max() > 0.1, "there is something to differ by"


def test_the_middle_of_a_shrinking_place_is_lost_and_its_ring_grows() -> None:
    change = Bumps((SHRINKING,))
    r = np.linspace(0, 60, 601)
    points = np.array(CENTRE)[:, None] + np.stack([r, 0 * r, 0 * r])
    left = relative_volume(change, change.pull(points))
    assert left[0] == pytest.approx(1.05**-3)
    assert left.max() > 1.005
    assert left[-1] == pytest.approx(1, abs=1e-5)


def test_the_integral_of_the_jacobian_over_a_sphere_is_its_volume_afterwards() -> None:
    """The sphere of 12 mm of the body is a sphere in the image, too: its radius is the root of y f(y) = 12."""
    radius, change = 12.0, Bumps((SHRINKING,))
    y = change.push(np.array(CENTRE)[:, None] + [[radius], [0.0], [0.0]])[0, 0] - CENTRE[0]
    assert y * (1 + 0.05 * np.exp(-(y**2) / 200)) == pytest.approx(radius, abs=1e-9)
    assert y < radius - 0.2
    nodes, weights = np.polynomial.legendre.leggauss(40)
    r = radius * (nodes + 1) / 2
    along = np.array(CENTRE)[:, None] + np.stack([0 * r, r, 0 * r])
    integral = (4 * np.pi * r**2 * relative_volume(change, along) * weights * radius / 2).sum()
    assert integral == pytest.approx(4 / 3 * np.pi * y**3, rel=1e-9)


def test_halves_at_either_time_point_make_the_whole() -> None:
    """Neither image shows the unchanged person; a ball's volume goes from one to the other as its Jacobian says."""
    before, after = Bumps((Bump(CENTRE, 10.0, -0.025),)), Bumps((Bump(CENTRE, 10.0, 0.025),))
    edge = np.array(CENTRE)[:, None] + [[0.0], [0.0], [12.0]]
    first, second = (change.push(edge)[2, 0] - CENTRE[2] for change in (before, after))
    assert first > 12 > second
    nodes, weights = np.polynomial.legendre.leggauss(40)
    r = first * (nodes + 1) / 2  # over the first image's ball
    seen = before.pull(np.array(CENTRE)[:, None] + np.stack([r, 0 * r, 0 * r]))
    integral = (4 * np.pi * r**2 * growth(before, after, seen) * weights * first / 2).sum()
    assert integral == pytest.approx(4 / 3 * np.pi * second**3, rel=1e-9)


def test_the_mean_of_a_region_by_quadrature_is_its_true_change() -> None:
    before, after = Bumps((Bump(CENTRE, 10.0, -0.025),)), Bumps((Bump(CENTRE, 10.0, 0.025),))
    points = ball(16.0, 0.5)
    inner = ((points - np.array(CENTRE)[:, None]) ** 2).sum(axis=0) < 12.0**2
    labels = np.where(inner, 2, 1).astype(np.uint8)
    labels[0] = 0
    found = growth_by_label(before, after, points, labels)
    assert set(found) == {1, 2}
    radii = {
        r: [change.push(np.array(CENTRE)[:, None] + [[r], [0], [0]])[0, 0] - CENTRE[0] for change in (before, after)]
        for r in (12.0, 16.0)
    }
    (b12, a12), (b16, a16) = radii[12.0], radii[16.0]
    # 3e-4: the lattice's ball is not quite round
    assert found[2] == pytest.approx((a12 / b12) ** 3 - 1, abs=3e-4)
    assert found[1] == pytest.approx((a16**3 - a12**3) / (b16**3 - b12**3) - 1, abs=3e-4)
    assert found[2] < -0.05 < found[1]


def test_time_turned_round_turns_loss_into_gain() -> None:
    points = around(500)
    later = growth(Unchanged(), SEVERAL, points)
    np.testing.assert_allclose(growth(SEVERAL, Unchanged(), points), 1 / later, rtol=1e-12)


def test_a_place_has_grown_the_same_wherever_it_is_looked_at() -> None:
    """At a point of the unchanged person, and where the second image shows that point."""
    points = around(500)
    before = Bumps((Bump((5.0, -15.0, 45.0), 12.0, -0.04),))
    seen = growth_seen(before, SEVERAL, SEVERAL.push(points))
    np.testing.assert_allclose(seen, growth(before, SEVERAL, points), rtol=1e-9)


def test_bumps_follow_one_another() -> None:
    points = around(500)
    one_by_one, whole = points, np.ones(500)
    for bump in SEVERAL.bumps:
        whole = whole * Bumps((bump,)).jacobian(one_by_one)
        one_by_one = Bumps((bump,)).pull(one_by_one)
    np.testing.assert_allclose(SEVERAL.pull(points), one_by_one, atol=1e-12)
    np.testing.assert_allclose(SEVERAL.jacobian(points), whole, rtol=1e-12)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.builds(
            Bump,
            st.tuples(*[st.floats(-20, 20)] * 3),
            st.floats(5, 20),
            st.floats(-0.1, 0.1),
        ),
        max_size=4,
    )
)
def test_what_was_pulled_comes_back_where_it_was(bumps: list[Bump]) -> None:
    change = Bumps(tuple(bumps))
    points = around(50, 40.0)
    np.testing.assert_allclose(change.push(change.pull(points)), points, atol=1e-8)
    np.testing.assert_allclose(change.pull(change.push(points)), points, atol=1e-8)


def test_nothing_is_torn_where_the_reach_ends() -> None:
    r = np.linspace(6.9, 7.1, 201) * SHRINKING.sigma_mm
    points = np.array(CENTRE)[:, None] + np.stack([r, 0 * r, 0 * r])
    moved = Bumps((SHRINKING,)).pull(points)[0] - points[0]
    assert max(abs(b - a) for a, b in pairwise(moved)) < 1e-8


def test_single_precision_goes_in_and_out() -> None:
    points = around(100).astype(np.float32)
    for found in (SEVERAL.pull(points), SEVERAL.push(points), SEVERAL.jacobian(points)):
        assert found.dtype == np.float32
    np.testing.assert_allclose(SEVERAL.jacobian(points), SEVERAL.jacobian(points.astype(float)), atol=1e-6)
