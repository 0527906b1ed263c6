"""The folded cortex: its thickness against shells, banks and rays, what thinning takes, shares against finer grids."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from phantom.anatomy import cortex as cortex_module
from phantom.anatomy import folds, template, thickness
from phantom.anatomy.cortex import THICKNESS_MM, Cortex
from phantom.anatomy.levelset import signed_distance
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure
from phantom.slab import rotation

HAND_RIGHT = Parcel(Structure.PRECENTRAL_HAND, Side.RIGHT)
LOST_MM = 0.3
# A block of the right hand area, all of it well inside the parcel's upper and lower border.
BLOCK = (24.0, -34.0, 46.0), (48.0, 4.0, 68.0)

Grid = npt.NDArray[np.float32]
Fields = Callable[[Grid, Grid, Grid], dict[str, Grid]]


@pytest.fixture(scope="module")
def healthy() -> Cortex:
    return Cortex(template.load(), {})


@pytest.fixture(scope="module")
def thinned() -> Cortex:
    return Cortex(template.load(), {HAND_RIGHT: LOST_MM})


def grid(low: tuple[float, float, float], high: tuple[float, float, float], step: float) -> Grid:
    axes = [np.arange(a, b, step, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


@pytest.fixture
def shaped(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fields], Cortex]:
    """A cortex whose folds are given by formulae of body x, y, z."""

    def make(formulae: Fields) -> Cortex:
        x, y, z = np.meshgrid(
            *[low + np.arange(n) for low, n in zip(folds.LOWER_MM, folds.SHAPE, strict=True)], indexing="ij"
        )
        fields = np.full((*folds.SHAPE, len(folds.FIELDS)), 7.0, np.float32)
        fields[..., folds.FIELDS.index("more")] = 0
        for name, values in formulae(x, y, z).items():
            fields[..., folds.FIELDS.index(name)] = values
        monkeypatch.setattr(cortex_module, "fold", lambda template: folds.Folds(fields))
        return Cortex(template.load(), {})

    return make


def test_distance_to_a_surface_is_finer_than_its_lattice() -> None:
    centre, radius = 24.7, 15.3
    away = np.linalg.norm(np.indices((50, 50, 50)) - centre, axis=0)
    found = signed_distance(((away**2 - radius**2) / 30).astype(np.float32), 8.0)
    inner = np.abs(away - radius) < 6
    error = np.abs(found - (away - radius))[inner]
    # A chord of a cell lies 1/(8 radius) = 0.008 under each of two curvatures; a foot may be a neighbour's.
    assert error.mean() < 0.025
    assert np.quantile(error, 0.99) < 0.05
    assert error.max() < 0.15


def test_a_shell_has_the_volume_and_the_thickness_of_a_shell(shaped: Callable[[Fields], Cortex]) -> None:
    centre, radius, thick = (35.0, 46.0, 20.0), 20.0, THICKNESS_MM[Structure.FRONTAL]
    ball = shaped(
        lambda x, y, z: {"hull": radius - np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)}
    )
    at = grid((10, 21, -5), (61, 72, 46), 1.0).reshape(3, -1)
    grey, white, fluid = ball.shares(at, np.eye(3)).astype(np.float64).sum(axis=1)
    inside = 4 / 3 * np.pi * (radius - thick) ** 3
    assert white == pytest.approx(inside, rel=0.005)
    assert grey == pytest.approx(4 / 3 * np.pi * radius**3 - inside, rel=0.01)
    assert fluid < 0.001 * grey
    cast = thickness.rays(ball, 3.1)
    np.testing.assert_allclose(cast.length_mm, thick, atol=0.02)
    middle = np.array(centre)[:, None]
    np.testing.assert_allclose(np.linalg.norm(cast.end - middle, axis=0), radius, atol=0.03)


def test_the_banks_of_a_closed_sulcus_are_each_as_thick_as_open_cortex(shaped: Callable[[Fields], Cortex]) -> None:
    thick = THICKNESS_MM[Structure.FRONTAL]
    lean = 0.37  # so that it meets the sub-samples of each voxel elsewhere
    slant = np.sqrt(1 + lean**2)
    sulcus = shaped(
        lambda x, y, z: {
            "hull": np.full(x.shape, 25.0),
            "random": np.clip((y - 46.3 + lean * (x - 43)) / slant, -7, 7),
            "random_end": np.full(x.shape, -5.0),
        }
    )
    at = grid((40, 36, 18), (46, 57, 24), 1.0)
    grey, white, fluid = sulcus.shares(at.reshape(3, -1), np.eye(3)).reshape(3, *at.shape[1:]).mean(axis=(1, 3))
    assert fluid.sum() == pytest.approx(slant * folds.gap_mm(25.0), abs=0.02)
    assert grey.sum() == pytest.approx(2 * slant * thick, abs=0.02)
    assert white[:5].min() == white[-5:].min() == 1


def test_a_thin_blade_of_white_matter_keeps_its_width(shaped: Callable[[Fields], Cortex]) -> None:
    thick, blade = THICKNESS_MM[Structure.FRONTAL], 1.5
    half = thick + blade / 2 + folds.gap_mm(29.0) / 2
    gyrus = shaped(
        lambda x, y, z: {
            "hull": np.full(x.shape, 29.0),
            "random": np.clip(y - (46 - half), -7, 7),
            "random_end": np.full(x.shape, -5.0),
            "motor": np.clip(y - (46 + half), -7, 7),
            "motor_end": np.full(x.shape, -5.0),
        }
    )
    at = grid((40, 44, 18), (46, 49, 24), 1.0)
    _, white, fluid = gyrus.shares(at.reshape(3, -1), np.eye(3)).reshape(3, *at.shape[1:]).mean(axis=(1, 3))
    assert white.sum() == pytest.approx(blade, abs=0.03)
    assert fluid.max() == 0


def surface(depth: Grid, level: float, step: float) -> Grid:
    """Points (n, 3) where `depth` passes `level`, in mm from the grid's corner."""
    found = []
    for axis in range(3):
        ends = np.diff(np.sign(depth - level), axis=axis) != 0
        index = np.argwhere(ends)
        after = index.copy()
        after[:, axis] += 1
        low, high = depth[tuple(index.T)], depth[tuple(after.T)]
        place = index.astype(np.float64)
        place[:, axis] += (level - low) / (high - low)
        found.append(place * step)
    return np.concatenate(found)


@pytest.mark.parametrize(
    "corner", [(24.0, -34.0, 48.0), (25.0, 26.0, 24.0), (-66.0, -30.0, -34.0), (5.0, -94.0, 0.0), (10.0, 44.0, 0.0)]
)
def test_depth_is_the_distance_to_the_pia(healthy: Cortex, corner: tuple[float, float, float]) -> None:
    """So the layer of a given depth is as thick everywhere: in closed sulci, at their floors, on crowns."""
    step, side, depth_mm = 0.25, 24.0, 2.5
    high = (corner[0] + side, corner[1] + side, corner[2] + side)
    at = grid(corner, high, step)
    depth = healthy.depth(at.reshape(3, -1)).reshape(at.shape[1:])
    pia = cKDTree(surface(depth, 0.0, step))
    deep = surface(depth, depth_mm, step)
    deep = deep[((deep > 3.5) & (deep < side - 3.5)).all(axis=1)][::5]
    away, _ = pia.query(deep)
    assert np.median(away) == pytest.approx(depth_mm, abs=0.02)
    assert away.mean() == pytest.approx(depth_mm, abs=0.025)
    assert np.quantile(np.abs(away - depth_mm), 0.9) < 0.15  # kinks of the field between nodes 1 mm apart


def test_rays_find_what_was_put_in(healthy: Cortex) -> None:
    found = thickness.mean_thickness_mm(healthy)
    for parcel, length in found.items():
        # Where two sheets cross, the field between its nodes is rounded.
        assert length == pytest.approx(THICKNESS_MM[parcel.structure], rel=0.03), parcel
        if parcel.structure.name.startswith(("PRECENTRAL", "POSTCENTRAL")):
            assert length == pytest.approx(THICKNESS_MM[parcel.structure], rel=0.01), parcel


def test_rays_find_the_thinning_that_was_planted(healthy: Cortex, thinned: Cortex) -> None:
    low, high = BLOCK
    lost = []
    for body in (healthy, thinned):
        cast = thickness.rays(body, 1.3)
        label = LABEL[HAND_RIGHT]
        # Rays that end in a neighbour (over the floor of a sulcus, across a border) are not of this parcel alone.
        inner = (cast.parcel == label) & (body.parcels(cast.end) == label)
        inner &= ((cast.start > np.array(low)[:, None]) & (cast.start < np.array(high)[:, None])).all(axis=0)
        assert inner.sum() > 100
        lost.append(np.median(cast.length_mm[inner]))
    assert lost[0] - lost[1] == pytest.approx(LOST_MM, rel=0.005)


def test_an_independent_estimator_finds_the_planted_thinning(healthy: Cortex, thinned: Cortex) -> None:
    """Two voxel distance transforms at 0.5 mm, over the hand area: steps of the lattice cancel in the mean."""
    low, high = BLOCK
    step = 0.5
    at = grid(low, high, step)
    flat = at.reshape(3, -1)
    white = healthy.depth(flat) > healthy.thickness_mm(flat)
    inner = (healthy.parcels(flat) == LABEL[HAND_RIGHT]).reshape(at.shape[1:])
    middle = np.zeros_like(inner)
    middle[8:-8, 8:-8, 8:-8] = True
    found = []
    to_white = ndimage.distance_transform_edt(~white.reshape(inner.shape)) * step
    crown = (to_white > 0) & (to_white < step + 0.01) & inner & middle
    for body in (healthy, thinned):
        tissue = (body.depth(flat) > 0).reshape(inner.shape)
        found.append((ndimage.distance_transform_edt(tissue) * step)[crown].mean())
    assert crown.sum() > 500
    assert found[0] - found[1] == pytest.approx(LOST_MM, rel=0.02)


def test_thinning_turns_grey_matter_to_fluid_on_its_side_only(healthy: Cortex, thinned: Cortex) -> None:
    at = grid((-72, -50, 10), (73, 30, 82), 2.0).reshape(3, -1)
    steps = 2 * np.eye(3)
    before, after = healthy.shares(at, steps), thinned.shares(at, steps)
    change = (after - before).astype(np.float64)
    np.testing.assert_allclose(change.sum(axis=0), 0, atol=1e-5)
    assert np.abs(change[1]).max() < 1e-5, "white matter stays"
    assert np.abs(change[:, at[0] < 0]).max() < 1e-5, "the left side stays"
    fine = grid((14, -45, 26), (72, 20, 82), 0.5).reshape(3, -1)
    depth = healthy.depth(fine)
    outer = (depth > 0) & (depth < LOST_MM) & (healthy.parcels(fine) == LABEL[HAND_RIGHT])
    assert change[2].sum() * 8 == pytest.approx(outer.sum() * 0.5**3, rel=0.02)
    mirrored = Cortex(template.load(), {Parcel(Structure.PRECENTRAL_HAND, Side.LEFT): LOST_MM})
    other = mirrored.shares(at, steps)
    assert np.abs(other - before)[:, at[0] > 0].max() < 1e-5
    assert np.abs(other - before)[:, at[0] < 0].max() > 0.05


@pytest.mark.parametrize(
    ("edges", "turned"),
    [((1.0, 1.0, 1.0), (0, 0, 0)), ((2.0, 2.0, 2.0), (0, 0, 0)), ((1.0, 1.2, 1.5), (20, 10, 30))],
)
def test_shares_are_those_of_a_four_times_finer_grid(
    thinned: Cortex, edges: tuple[float, float, float], turned: tuple[float, float, float]
) -> None:
    steps = rotation(turned) * np.array(edges)
    count = 9
    index = np.indices((count, count, count)).reshape(3, -1) - (count - 1) / 2
    at = (np.array([[38.0], [-18.0], [58.0]]) + steps @ index).astype(np.float32)
    found = thinned.shares(at, steps)
    # 4 x 4 x 4 parts of each voxel, each of 4 x 4 x 4 points that are one tissue or another.
    part = (np.indices((16, 16, 16)).reshape(3, -1) + 0.5) / 16 - 0.5
    points = at[:, :, None] + (steps @ part).astype(np.float32)[:, None, :]
    flat = points.reshape(3, -1)
    depth, thick = thinned.depth(flat), thinned.thickness_mm(flat)
    white = (depth > thick).reshape(at.shape[1], -1).mean(axis=1)
    grey = ((depth > 0) & (depth <= thick)).reshape(at.shape[1], -1).mean(axis=1)
    for mine, finer in ((found[1], white), (found[0], grey)):
        boundary = (finer > 0) & (finer < 1)
        error = (mine - finer)[boundary]
        assert boundary.sum() > 100
        assert np.sqrt((error**2).mean()) < 0.03
        assert abs(error.mean()) < 0.01


def test_a_point_is_within_the_tissue_that_its_shares_name(healthy: Cortex) -> None:
    at = grid((-70, -100, -40), (70, 70, 80), 3.7).reshape(3, -1)
    shares = healthy.shares(at, 0.05 * np.eye(3))
    depth = healthy.depth(at)
    whole = shares.sum(axis=0)
    assert whole.max() < 1.0001
    outside = whole == 0
    assert (depth[outside] < 0.1).all()
    assert (healthy.parcels(at)[outside & (depth < -0.1)] == 0).all()
    fluid = shares[2] > 0.99
    assert fluid.sum() > 20
    assert (depth[fluid] < 0).all()
    grey = shares[0] > 0.99
    thick = healthy.thickness_mm(at)
    assert ((depth > 0) & (depth < thick))[grey].all()


def test_the_cerebrum_has_a_cerebrum_s_volumes(healthy: Cortex) -> None:
    """Adults of 10.1016/j.neuroimage.2008.02.024: grey 600-700 ml, white 450-600 ml; here nuclei and ventricles, about
    130 ml, are still white.
    """
    at = grid((-76, -112, -56), (77, 81, 87), 2.0).reshape(3, -1)
    grey, white, fluid = healthy.shares(at, 2 * np.eye(3)).astype(np.float64).sum(axis=1) * 8 / 1000
    assert 600 < grey < 700
    assert 580 < white < 740
    assert 80 < fluid < 200
    right = at[0] > 0
    shares = healthy.shares(at, 2 * np.eye(3))[0]
    assert shares[right].sum() == pytest.approx(shares[~right].sum(), rel=0.08)


def test_left_and_right_are_no_mirror_images(healthy: Cortex) -> None:
    at = grid((4, -90, -20), (66, 60, 74), 2.0).reshape(3, -1)
    mirrored = at * np.array([[-1], [1], [1]], np.float32)
    difference = np.abs(healthy.shares(at, np.eye(3)) - healthy.shares(mirrored, np.eye(3)))[0]
    assert difference.mean() > 0.15


@pytest.mark.parametrize(
    ("thinning", "words"),
    [
        ({Parcel(Structure.THALAMUS, Side.LEFT): 0.1}, "only cortex"),
        ({HAND_RIGHT: 3.0}, "outside 0"),
        ({HAND_RIGHT: -0.1}, "outside 0"),
    ],
)
def test_thinning_that_cannot_be_is_refused(thinning: dict[Parcel, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Cortex(template.load(), thinning)
