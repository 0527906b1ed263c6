"""The shipped body: shares, sides, order of layers, volumes, and voxels of any shape."""

import numpy as np
import pytest

from phantom.anatomy import deep, template
from phantom.anatomy.adult import Adult
from phantom.anatomy.body import ROW, TISSUES, Points
from phantom.anatomy.parcels import LABEL, MIDLINE, PARCELS, Parcel, Side, Structure
from phantom.slab import rotation
from phantom.tissue import Tissue

# ml of one side (of the whole, in the midline) in adults: 10.1016/j.neuroimage.2016.05.016 and 10.1002/hbm.24898;
# the template is a fifth larger than a mean head, so the upper ends are too.
VOLUMES_ML = {
    Structure.THALAMUS: (5.5, 10),
    Structure.CAUDATE: (2.8, 5),
    Structure.PUTAMEN: (3.8, 7),
    Structure.PALLIDUM: (1.1, 2.4),
    Structure.HIPPOCAMPUS: (2.8, 5.2),
    Structure.AMYGDALA: (1.1, 2.6),
    Structure.VENTRICLE: (3, 20),
    Structure.CEREBELLUM: (50, 100),
    Structure.BRAINSTEM: (18, 35),
    Structure.CALLOSUM: (3, 20),
}


@pytest.fixture(scope="module")
def adult() -> Adult:
    return Adult(template.load(), {})


def box(low: tuple[float, ...], high: tuple[float, ...], step: float) -> Points:
    axes = [np.arange(a, b, step) + step / 2 for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).astype(np.float32)


def one(*place: float) -> Points:
    return np.array(place, np.float32)[:, None]


@pytest.mark.parametrize(
    "steps", [np.eye(3), np.eye(3) * 2, np.diag([0.5, 0.5, 5.0]), rotation((20, -10, 30)) * np.array([1.0, 2.0, 3.0])]
)
def test_shares_sum_to_one(adult: Adult, steps: np.ndarray) -> None:
    at = np.random.default_rng(1).uniform((-100, -130, -220), (100, 120, 100), (40000, 3)).T.astype(np.float32)
    fractions = adult.fractions(at, steps)
    assert fractions.shape == (len(TISSUES), 40000)
    assert fractions.min() >= 0
    assert fractions.max() <= 1 + 1e-5
    np.testing.assert_allclose(fractions.sum(axis=0), 1, atol=1e-4)
    assert (fractions.max(axis=1) > 0.5).sum() > 15, "most tissues occur"


@pytest.mark.parametrize(
    ("low", "high", "tissue"),
    [
        ((16, 46, -54), (48, 78, -22), Tissue.VITREOUS),
        ((-14, -34, -4), (-2, -4, 18), Tissue.THALAMUS),
        ((-20, -70, 70), (20, -20, 100), Tissue.AIR),
        ((-36, 21, 11), (-18, 39, 29), Tissue.LESION),
    ],
)
def test_a_voxel_holds_the_mean_of_a_finer_grid(
    adult: Adult, low: tuple[float, ...], high: tuple[float, ...], tissue: Tissue
) -> None:
    coarse = adult.fractions(box(low, high, 2.0), np.eye(3) * 2)[ROW[tissue]]
    fine = adult.fractions(box(low, high, 0.5), np.eye(3) * 0.5)[ROW[tissue]]
    shape = [round((b - a) / 2) for a, b in zip(low, high, strict=True)]
    fine = fine.reshape(shape[0], 4, shape[1], 4, shape[2], 4).mean(axis=(1, 3, 5)).ravel()
    assert ((fine > 0.1) & (fine < 0.9)).sum() > 20, "surfaces are there"
    assert np.sqrt(((coarse - fine) ** 2).mean()) < 0.03
    # A straight ramp over a surface of curvature 2/r gains 1/r times a twelfth of the square of the voxel's edge.
    assert abs((coarse - fine).mean()) < 0.01


def test_a_long_voxel_blurs_along_its_length_only(adult: Adult) -> None:
    up = np.stack([np.full(60, 20.0), np.full(60, -20.0), np.linspace(85, 100, 60)]).astype(np.float32)
    wide, tall = (adult.fractions(up, np.diag(steps))[ROW[Tissue.AIR]] for steps in ((4.0, 0.5, 0.5), (0.5, 0.5, 4.0)))
    edge_wide, edge_tall = (((air > 0.02) & (air < 0.98)).sum() for air in (wide, tall))
    assert edge_tall > 2 * edge_wide


def test_layers_follow_one_another_from_the_air_to_the_brain(adult: Adult) -> None:
    down = np.stack([np.full(400, 25.0), np.full(400, -20.0), np.linspace(105, 60, 400)]).astype(np.float32)
    thickest = adult.fractions(down, np.eye(3) * 0.2).argmax(axis=0)
    order = [TISSUES[row] for n, row in enumerate(thickest) if n == 0 or row != thickest[n - 1]]
    shell = [Tissue.AIR, Tissue.MUSCLE, Tissue.FAT, Tissue.MUSCLE, Tissue.BONE, Tissue.MARROW, Tissue.BONE, Tissue.DURA]
    assert order[: len(shell) + 2] == [*shell, Tissue.CSF, Tissue.CORTEX]
    skin = adult.skin(down)
    assert (np.diff(skin) < 0).all()
    np.testing.assert_allclose(skin[thickest == ROW[Tissue.AIR]].min(), 0, atol=0.15)


def test_the_marker_lies_in_the_left_frontal_lobe_only(adult: Adult) -> None:
    x, y, z = deep.LESION_CENTRE_MM
    assert x < 0 < y, "left, in front"
    shares = adult.fractions(np.concatenate([one(x, y, z), one(-x, y, z)], axis=1), np.eye(3))[ROW[Tissue.LESION]]
    np.testing.assert_array_equal(shares, [1, 0])


@pytest.mark.parametrize("sign", [-1, 1])
def test_each_nucleus_has_its_tissue_and_parcel_at_its_centre(adult: Adult, sign: int) -> None:
    side = Side.LEFT if sign < 0 else Side.RIGHT
    for solid in deep.NUCLEI:
        part = solid.parts[len(solid.parts) // 2]
        x, y, z = part.centre if hasattr(part, "centre") else part.first
        at = one(sign * x, y, z)
        assert TISSUES[int(adult.fractions(at, np.eye(3))[:, 0].argmax())] is solid.tissue, solid.name
        if solid.name in set(Structure):
            assert adult.parcels(at)[0] == LABEL[Parcel(Structure(solid.name), side)]


@pytest.mark.parametrize(
    ("place", "tissue"),
    [
        ((33, 61, -38), Tissue.VITREOUS),
        ((29, 51, -60), Tissue.AIR),
        ((7, 20, -43), Tissue.AIR),
        ((0, -7, -86), Tissue.AIR),
        ((0, -5, -48), Tissue.MARROW),
        ((30, 46, -26), Tissue.FAT),
        ((0, -26, -34), Tissue.WHITE),
        ((0, -44, -32), Tissue.CSF),
        ((0, 26, 5), Tissue.WHITE),
        ((0, -37, 11), Tissue.WHITE),
        ((14, -28, 21), Tissue.CSF),
        ((0, -33, 77), Tissue.BLOOD),
    ],
)
def test_what_a_reader_looks_for_is_where_he_looks(
    adult: Adult, place: tuple[float, float, float], tissue: Tissue
) -> None:
    x, y, z = place
    near = box((x - 2, y - 2, z - 2), (x + 2, y + 2, z + 2), 1.0)
    for sign in (1, -1):
        mean = adult.fractions(near * np.array([[sign], [1], [1]], np.float32), np.eye(3)).mean(axis=1)
        assert TISSUES[int(mean.argmax())] is tissue, place


def test_every_parcel_is_there_with_a_plausible_volume(adult: Adult) -> None:
    at = box((-78, -110, -206), (78, 78, 84), 2.0)
    labels = adult.parcels(at)
    volume_ml = np.bincount(labels, minlength=len(PARCELS) + 1) * 8 / 1000
    centre = {}
    for number, parcel in enumerate(PARCELS, start=1):
        assert volume_ml[number] > 0.3, parcel
        centre[parcel] = at[:, labels == number].mean(axis=1)
        if parcel.structure in VOLUMES_ML:
            low, high = VOLUMES_ML[parcel.structure]
            assert low < volume_ml[number] < high, parcel
        if parcel.structure in MIDLINE:
            assert abs(centre[parcel][0]) < 1.5
        else:
            assert centre[parcel][0] * (1 if parcel.side is Side.RIGHT else -1) > 5, parcel
    heights = [centre[Parcel(Structure(f"spinal cord, C{n}"), Side.BOTH)][2] for n in range(1, 8)]
    assert (np.diff(heights) < -10).all()


def test_cord_levels_hold_their_mean_area(adult: Adult) -> None:
    """A thick slice through a leaning cord: its pixels sum to the area over the cosine."""
    cord = adult.cord
    s_mm = 125.0
    x, y, z = cord.body(0, 0, s_mm)
    at = box((x - 14, y - 14, z - 0.25), (x + 14, y + 14, z + 0.25), 0.5)
    fractions = adult.fractions(at, np.diag([0.5, 0.5, 5.0]))
    found = (fractions[ROW[Tissue.CORD_GREY]] + fractions[ROW[Tissue.CORD_WHITE]]).sum() * 0.25
    along = cord.body(0, 0, s_mm + 0.5) - cord.body(0, 0, s_mm - 0.5)
    cosine = abs(along[2]) / np.linalg.norm(along)
    assert cosine < 0.96
    assert found * cosine == pytest.approx(float(cord.area_mm2(s_mm)), rel=0.015)


def test_thinner_cortex_of_one_parcel_is_less_grey_matter_there() -> None:
    parcel = Parcel(Structure.PRECENTRAL_HAND, Side.LEFT)
    healthy, thin = Adult(template.load(), {}), Adult(template.load(), {parcel: 0.3})
    at = box((-62, -40, 20), (62, 10, 70), 2.0)
    labels = healthy.parcels(at)
    before, after = (body.fractions(at, np.eye(3) * 2)[ROW[Tissue.CORTEX]] for body in (healthy, thin))
    lost = {
        side: 1
        - after[labels == LABEL[Parcel(Structure.PRECENTRAL_HAND, side)]].sum()
        / before[labels == LABEL[Parcel(Structure.PRECENTRAL_HAND, side)]].sum()
        for side in (Side.LEFT, Side.RIGHT)
    }
    assert lost[Side.LEFT] == pytest.approx(0.3 / 2.6, rel=0.3)
    assert lost[Side.RIGHT] == pytest.approx(0, abs=0.002)
    assert healthy.name != thin.name


def test_smooth_voxel_steps_turn_with_the_voxel(adult: Adult) -> None:
    at = box((10, 40, -60), (50, 80, -20), 4.0)
    straight = adult.fractions(at, np.diag([1.0, 1.0, 2.0]))
    swapped = adult.fractions(at, np.array([[0, 1.0, 0], [0, 0, 1.0], [2.0, 0, 0]]).T[[0, 1, 2]].T)
    np.testing.assert_allclose(swapped, straight, atol=1e-4)
