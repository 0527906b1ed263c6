"""Truth of a person's regions against shapes whose thickness, volume and change are known."""

import numpy as np
import pytest

from phantom.anatomy.body import Distance, Fractions, Labels, Points, Steps
from phantom.anatomy.change import Bump, Bumps, Unchanged
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure
from phantom.anatomy.person import Person
from phantom.anatomy.thickness import Rays
from phantom.anatomy.warp import COARSE_MM, LOWER_MM, UPPER_MM, Warp, random_warp
from phantom.body_truth import Growth, grown, measurements, thickness_mm, unwarped, volumes_ml
from phantom.slab import Slab, rotation
from phantom.t1 import T1Body

HAND = {side: Parcel(Structure.PRECENTRAL_HAND, side) for side in (Side.LEFT, Side.RIGHT)}
WHITE = Parcel(Structure.WHITE, Side.LEFT)
STEM = Parcel(Structure.BRAINSTEM, Side.BOTH)
CENTRE = (30.0, -20.0, 40.0)


class Nothing:
    """A body that is never asked."""

    name = "nothing"

    def fractions(self, at: Points, steps: Steps) -> Fractions:
        raise NotImplementedError

    def parcels(self, at: Points) -> Labels:
        raise NotImplementedError

    def skin(self, at: Points) -> Distance:
        raise NotImplementedError

    def brain(self, at: Points) -> Distance:
        raise NotImplementedError


def stretched(x: float, y: float, z: float) -> Warp:
    """A person who is the body times x, y, z: a cubic B-spline of linear coefficients is that line itself."""
    shape = tuple(int(n) for n in np.ceil((UPPER_MM - LOWER_MM) / COARSE_MM) + 1)
    place = (
        np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")) * COARSE_MM + LOWER_MM[:, None, None, None]
    )
    factor = 1 / np.array([x, y, z]) - 1
    return Warp((place * factor[:, None, None, None]).astype(np.float32))


def person(warp: Warp, change: Bumps | Unchanged | None = None) -> Person:
    return Person(Nothing(), warp, np.eye(3), (0.0, 0.0, 0.0), change or Unchanged())


def cast(start: list[tuple[float, ...]], end: list[tuple[float, ...]], parcels: list[Parcel]) -> Rays:
    first, last = (np.array(ends, np.float32).T for ends in (start, end))
    labels = np.array([LABEL[parcel] for parcel in parcels], np.uint8)
    return Rays(first, last, np.linalg.norm(last - first, axis=0), labels)


def test_the_body_itself_keeps_its_thickness_by_region_and_side() -> None:
    rays = cast(
        [(30, 0, 0), (0, 30, 0), (-30, 0, 0)],
        [(32, 0, 0), (0, 33, 0), (-32.6, 0, 0)],
        [HAND[Side.RIGHT], HAND[Side.RIGHT], HAND[Side.LEFT]],
    )
    found = thickness_mm(person(stretched(1, 1, 1)), rays)
    assert found == {HAND[Side.RIGHT]: pytest.approx(2.5), HAND[Side.LEFT]: pytest.approx(2.6)}


def test_a_wider_person_has_a_thicker_cortex_where_it_is_crossed_and_more_of_it_where_it_is_not() -> None:
    """Along x the ray is 1.2 times as long; across x its area is 1.2 times as large, and so its weight."""
    rays = cast([(30, 5, 0), (5, 30, 0)], [(32, 5, 0), (5, 33, 0)], [HAND[Side.RIGHT]] * 2)
    found = thickness_mm(person(stretched(1.2, 1, 1)), rays)
    assert found[HAND[Side.RIGHT]] == pytest.approx((1.0 * 2.0 * 1.2 + 1.2 * 3.0) / 2.2, rel=1e-4)
    higher = thickness_mm(person(stretched(1, 1, 1.3)), rays)
    assert higher[HAND[Side.RIGHT]] == pytest.approx(2.5, rel=1e-4), "both areas grow alike"


def test_a_shrinking_place_thins_the_cortex() -> None:
    rays = cast([CENTRE], [(CENTRE[0] + 2.5, *CENTRE[1:])], [HAND[Side.RIGHT]])
    change = Bumps((Bump(CENTRE, 10.0, 0.05),))
    found = thickness_mm(person(stretched(1, 1, 1), change), rays)[HAND[Side.RIGHT]]
    assert found * (1 + 0.05 * np.exp(-(found**2) / 200)) == pytest.approx(2.5, abs=1e-4)


def test_the_way_back_through_a_warp_ends_where_it_began() -> None:
    warp = random_warp(np.random.default_rng(7), 2.5)
    points = np.random.default_rng(0).uniform(-75, 75, (3, 1000)).astype(np.float32)
    np.testing.assert_allclose(warp.pull(unwarped(warp, points)), points, atol=1e-3)


SLAB = Slab.around(CENTRE, (40, 40, 40), (1.0, 1.0, 1.0))


def scan(labels: np.ndarray) -> T1Body:
    grey, white = np.full(labels.shape, 0.25, np.float32), np.full(labels.shape, 0.5, np.float32)
    return T1Body(np.zeros(labels.shape, np.float32), labels.astype(np.uint8), grey, white)


def test_volumes_count_the_tissue_that_a_region_is_of() -> None:
    labels = np.zeros(SLAB.shape)
    labels[:10], labels[10:20], labels[20:30] = LABEL[HAND[Side.LEFT]], LABEL[WHITE], LABEL[STEM]
    ml = 10 * 40 * 40 / 1000
    wanted = {HAND[Side.LEFT]: 0.25 * ml, WHITE: 0.5 * ml, STEM: ml}
    assert volumes_ml(scan(labels), SLAB) == {parcel: pytest.approx(value) for parcel, value in wanted.items()}


@pytest.mark.parametrize("turned", [(0.0, 0.0, 0.0), (10.0, -5.0, 20.0)])
def test_the_loss_of_a_ball_is_found_wherever_the_head_lies(turned: tuple[float, float, float]) -> None:
    """A ball of 12 mm of the follow-up's image about a bump; its radius at the first visit is known."""
    first, now = Bumps((Bump(CENTRE, 10.0, -0.025),)), Bumps((Bump(CENTRE, 10.0, 0.025),))
    placement, shift = rotation(turned), (3.0, -2.0, 5.0)
    lying = Person(Nothing(), stretched(1, 1, 1), placement, shift, now)
    x, y, z = (float(v) for v in placement @ np.array(CENTRE) + shift)
    slab = Slab.around((x, y, z), (51, 51, 51), (0.75, 0.75, 0.75))
    away = np.linalg.norm(slab.points_ras() - np.array([[x], [y], [z]]), axis=0).reshape(slab.shape)
    found = grown(lying, first, scan(np.where(away < 12.0, LABEL[STEM], 0)), slab)
    rim = np.array(CENTRE)[:, None] + [[12.0], [0], [0]]
    before = first.push(now.pull(rim))[0, 0] - CENTRE[0]
    assert found.share == {STEM: pytest.approx((12.0 / before) ** 3 - 1, abs=5e-4)}
    assert found.share[STEM] < -0.05
    assert found.jacobian[25, 25, 25] == pytest.approx((0.975 / 1.025) ** 3, abs=2e-4)
    assert found.jacobian[0, 0, 0] == 1


def test_a_change_is_told_as_per_cent_a_year() -> None:
    class NoCortex:
        def depth(self, at: Points) -> np.ndarray:
            return np.full(at.shape[1], -50, np.float32)

        def thickness_mm(self, at: Points) -> np.ndarray:
            return np.zeros(at.shape[1], np.float32)

        def parcels(self, at: Points) -> Labels:
            return np.zeros(at.shape[1], np.uint8)

    labels = np.full(SLAB.shape, LABEL[STEM])
    growth = Growth(np.ones(SLAB.shape, np.float32), {STEM: -0.01})
    told = measurements(person(stretched(1, 1, 1)), NoCortex(), scan(labels), SLAB, growth, 0.5)
    by_quantity = {one.quantity.name: one for one in told}
    assert by_quantity["volume change"].value == pytest.approx(-2.0)
    assert by_quantity["volume change"].quantity.unit == "%/a"
    assert by_quantity["volume"].value == pytest.approx(64.0)
    first = measurements(person(stretched(1, 1, 1)), NoCortex(), scan(labels), SLAB, None, 0.0)
    assert {one.quantity.name for one in first} == {"volume"}
