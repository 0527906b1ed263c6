"""Tubes against an independent way to the same curve, finer lattices, and each other."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.interpolate import CubicSpline, PchipInterpolator

from phantom.anatomy import fibres
from phantom.anatomy.bundles import CALLOSUM_MOTOR, CORTICOSPINAL, HAND, Tube, tubes
from phantom.anatomy.fibres import SIX, Compartments, Fibres
from phantom.anatomy.parcels import Side
from phantom.disease import BundleChange
from phantom.slab import rotation
from phantom.tissue import BUNDLE

Floats = npt.NDArray[np.float64]
LISTED = list(tubes())


class Map:
    """F(s, u, v) of a tube, straight from its definition; s is the length of the chords."""

    def __init__(self, tube: Tube) -> None:
        points = np.array(tube.points, float)
        chords = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
        self.length = float(chords[-1])
        self.curve = CubicSpline(chords, points)
        self.half = PchipInterpolator(chords, tube.a), PchipInterpolator(chords, tube.b)
        self.lean = np.array(tube.lean)

    def __call__(self, s: Floats, u: Floats, v: Floats) -> Floats:
        tangent = self.curve(s, 1)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        second = np.cross(tangent, self.lean)
        second /= np.linalg.norm(second, axis=1, keepdims=True)
        first = np.cross(second, tangent)
        a, b = (half(s)[:, None] for half in self.half)
        return np.asarray(self.curve(s) + u[:, None] * a * first + v[:, None] * b * second)

    def random(self, count: int, reach: float, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        s, angle = random.uniform(2, self.length - 2, count), random.uniform(0, 2 * np.pi, count)
        radius = reach * np.sqrt(random.uniform(size=count))
        return s, radius * np.cos(angle), radius * np.sin(angle)


def degrees_between(one: Floats, other: Floats) -> Floats:
    """Angle between axes (n, 3), sign ignored."""
    size = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray(np.degrees(np.arccos(np.clip(np.abs((one * other).sum(axis=1)) / size, 0, 1))))


def alone(tube: Tube, at: Floats, edge_mm: float) -> tuple[Floats, Floats]:
    """Share (n,) and direction (n, 3) of a tube that has the body to itself."""
    points = np.ascontiguousarray(at.T, np.float32)
    share, direction, _ = fibres.filled(fibres.laid_out([tube]), points, np.eye(3) * edge_mm)
    return share[0].astype(float), direction[0].T.astype(float)


@pytest.mark.parametrize("place", range(len(LISTED)), ids=lambda n: f"{LISTED[n][0].name} {LISTED[n][1]}")
def test_fibres_run_along_the_map_of_their_tube(place: int) -> None:
    tube, _ = LISTED[place]
    whole = Map(tube)
    random = np.random.default_rng(place)
    s, u, v = whole.random(400, 0.96, random)
    step = 1e-3
    along = whole(s + step, u, v) - whole(s - step, u, v)
    share, direction = alone(tube, whole(s, u, v), 0.01)
    assert share.min() > 0.99, "inside the tube"
    assert degrees_between(along, direction).max() < 0.5
    assert ((along * direction).sum(axis=1) > 0).all()
    on_curve = whole(s, 0 * s, 0 * s)
    assert degrees_between(whole.curve(s, 1), alone(tube, on_curve, 0.01)[1]).max() < 0.2
    outside, _ = alone(tube, whole(s, 1.04 * np.cos(s), 1.04 * np.sin(s)), 0.01)
    assert outside.max() == 0, "no tube runs back into itself"


@pytest.mark.parametrize("name", [HAND, "arcuate fasciculus", "callosum, genu"])
def test_a_tube_fills_the_volume_of_its_map(name: str) -> None:
    (tube, *_) = (tube for tube, _ in LISTED if tube.name == name)
    whole = Map(tube)
    s = np.linspace(0, whole.length, 4000)
    speed = np.linalg.norm(whole.curve(s, 1), axis=1)
    expected = np.trapezoid(np.pi * whole.half[0](s) * whole.half[1](s) * speed, s)  # Pappus
    lattice = fibres.laid_out([tube])
    low, high = np.min(tube.points, axis=0) - 12, np.max(tube.points, axis=0) + 12
    axes = np.meshgrid(*[np.arange(a, b, 1.5) for a, b in zip(low, high, strict=True)], indexing="ij")
    points = np.stack([axis.ravel() for axis in axes]).astype(np.float32)
    share, _, _ = fibres.filled(lattice, points, np.eye(3) * 1.5)
    assert share.sum() * 1.5**3 == pytest.approx(expected, rel=0.01)


def near_tubes(count: int) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(5)
    where = fibres.lattice().rows[:, fibres.CURVE]
    return np.asarray((where[random.integers(len(where), size=count)] + random.normal(0, 4, (count, 3))).T, np.float32)


@pytest.mark.parametrize("edge", [1.0, 2.0, 3.0])
def test_partial_volume_is_that_of_a_lattice_four_times_as_fine(edge: float) -> None:
    """Error of n^3 evenly spaced samples at a plane boundary: 0.027 rms for 3^3 (2.4 of the design)."""
    points = near_tubes(300)
    share, _, number = fibres.filled(fibres.lattice(), points, np.eye(3) * edge)
    coarse = [{int(k): float(s) for k, s in zip(number[:, n], share[:, n], strict=True) if k} for n in range(300)]
    count = 4 * max(3, int(np.ceil(edge / fibres.SUBSAMPLE_MM)))
    at = ((np.arange(count) + 0.5) / count - 0.5) * edge
    offsets = np.stack(np.meshgrid(at, at, at, indexing="ij"), axis=-1).reshape(-1, 3)
    where = fibres.lattice()
    kinds = [np.zeros((3, 300), np.float32), np.zeros((3, 3, 300), np.float32), np.zeros((3, 300), np.uint8)]
    parts = (where.rows, where.start, where.lower, where.shape, where.cells, where.near)
    fibres._tubes.fill(points, offsets, *parts, *kinds)
    fine = [{int(k): float(s) for k, s in zip(kinds[2][:, n], kinds[0][:, n], strict=True) if k} for n in range(300)]
    error = np.array([c.get(k, 0.0) - f.get(k, 0.0) for c, f in zip(coarse, fine, strict=True) for k in {*c, *f}])
    assert np.sqrt((error**2).mean()) < 0.03
    assert abs(error.mean()) < 0.004
    assert share.sum(axis=0).max() <= 1.0001


def test_left_is_right_in_a_mirror() -> None:
    points = near_tubes(800)
    mirror = np.array([[-1], [1], [1]], np.float32)
    here, there = (Fibres({}).at(p, np.eye(3) * 2.0) for p in (points, points * mirror))
    np.testing.assert_allclose(here.share, there.share, atol=1e-5)
    dyadic = [np.einsum("fin,fjn->fijn", c.direction, c.direction) for c in (here, there)]
    flip = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]])[None, :, :, None]
    clear = (here.share[0] - here.share[1] > 0.01) & (here.share[0] > 0)
    np.testing.assert_allclose(dyadic[0][0][..., clear], (dyadic[1] * flip)[0][..., clear], atol=1e-4)


def test_the_callosal_fan_crosses_the_corticospinal_tract_at_a_wide_angle() -> None:
    axes = np.meshgrid(np.arange(14, 50, 2.0), np.arange(-34, 2, 2.0), np.arange(24, 52, 2.0), indexing="ij")
    points = np.stack([axis.ravel() for axis in axes]).astype(np.float32)
    seen = Fibres({}).at(points, np.eye(3) * 2.0)
    names = np.array(["", *(tube.name for tube, _ in LISTED)])[seen.number]
    cst, callosum = (
        np.where(np.isin(names, wanted) & (seen.share > 0.15), seen.share, 0)
        for wanted in (CORTICOSPINAL, (CALLOSUM_MOTOR,))
    )
    both = (cst.max(axis=0) > 0) & (callosum.max(axis=0) > 0)
    assert both.sum() > 60, "on the right alone"
    column = np.flatnonzero(both)
    angles = degrees_between(
        seen.direction[cst[:, column].argmax(axis=0), :, column],
        seen.direction[callosum[:, column].argmax(axis=0), :, column],
    )
    assert np.percentile(angles, 5) > 55
    assert np.median(angles) > 60


def test_what_lies_between_the_tubes_is_a_mean_of_directions() -> None:
    points = np.random.default_rng(2).uniform([[-60], [-90], [-50]], [[60], [60], [70]], (3, 2000)).astype(np.float32)
    between = Fibres({}).at(points, np.eye(3) * 2.0).between
    full = between[[0, 1, 2, 1, 3, 4, 2, 4, 5]].T.reshape(-1, 3, 3)
    np.testing.assert_allclose(np.trace(full, axis1=1, axis2=2), 1, atol=1e-5)
    assert np.linalg.eigvalsh(full).min() > -1e-5
    beside = Fibres({}).at(np.array([[27.5], [-12.0], [8.0]], np.float32), np.eye(3) * 2.0)
    assert beside.between[5] > 0.6, "beside the internal capsule it follows it, up and down"


def test_disease_changes_its_bundle_on_its_side_only() -> None:
    struck = Fibres({(HAND, Side.RIGHT): BundleChange(radial=1.4, share=0.9)})
    for number, (tube, side) in enumerate(LISTED, start=1):
        hit = (tube.name, side) == (HAND, Side.RIGHT)
        assert struck.radial[number] == pytest.approx(BUNDLE[1] * (1.4 if hit else 1))
        assert struck.kept[number] == pytest.approx(0.9 if hit else 1)
    with pytest.raises(ValueError, match="no such bundle"):
        Fibres({("corticospinal, foot", Side.RIGHT): BundleChange()})


def test_directions_go_along_with_the_frame() -> None:
    turn = rotation((25.0, -10.0, 40.0))
    points = near_tubes(50)
    seen = Fibres({}).at(points, np.eye(3) * 2.0)
    carry = np.repeat(turn[None].astype(np.float32), 50, axis=0)
    turned: Compartments = seen.carried(carry)
    here = seen.share[0] > 0.1
    np.testing.assert_allclose(turned.direction[0][:, here], turn @ seen.direction[0][:, here], atol=1e-5)
    assert len(SIX) == 6
    full, after = (c.between[[0, 1, 2, 1, 3, 4, 2, 4, 5]].T.reshape(-1, 3, 3) for c in (seen, turned))
    np.testing.assert_allclose(after, turn @ full @ turn.T, atol=1e-5)
    squeezed = seen.carried(np.repeat(np.diag([2.0, 1.0, 0.5]).astype(np.float32)[None], 50, axis=0))
    np.testing.assert_allclose(np.linalg.norm(squeezed.direction[0][:, here], axis=0), 1, atol=1e-5)
