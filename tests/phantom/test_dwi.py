"""The diffusion signal against its equation, and what a fit makes of it against what was put in."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest

from analyses.dti.tensor import fit_tensor
from phantom import diffusion
from phantom.anatomy.body import ROW, TISSUES, Distance, Fractions, Labels, Points, Steps
from phantom.anatomy.bundles import CORTICOSPINAL, HAND, tubes
from phantom.anatomy.fibres import FIBRES, Fibres
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure
from phantom.anatomy.person import Person
from phantom.anatomy.warp import Warp, random_warp
from phantom.disease import HEALTHY, LATE, LIMB_LEFT, BundleChange, Disease, Parameter
from phantom.sequences import dwi
from phantom.sequences.artefacts import NONE
from phantom.slab import LPS_TO_RAS, Slab, finer, rotation
from phantom.tissue import BETWEEN, BUNDLE, BUNDLE_SHARE, HINDERED_MD, PROPERTIES, Tissue
from tests.phantom.answers import noise_free_fit

Floats = npt.NDArray[np.float64]
TUBES = list(tubes())


class Toy:
    """A body whose fractions are a function of the place; all of it is brain, and it has one parcel."""

    name = "toy"

    def __init__(self, fractions: Callable[[Points], Fractions], parcel: Parcel | None = None) -> None:
        self._fractions = fractions
        self._label = 0 if parcel is None else LABEL[parcel]

    def fractions(self, at: Points, steps: Steps) -> Fractions:
        return self._fractions(at)

    def parcels(self, at: Points) -> Labels:
        return np.full(at.shape[1], self._label, np.uint8)

    def skin(self, at: Points) -> Distance:
        return np.full(at.shape[1], -100, np.float32)

    def brain(self, at: Points) -> Distance:
        return np.full(at.shape[1], -100, np.float32)


def mixture(at: Points) -> Fractions:
    """White matter, cortex, thalamus, fluid, cord and fat in shares that differ from place to place."""
    weights = {
        Tissue.WHITE: 2 + np.sin(at[0] / 5),
        Tissue.CORTEX: 0.4 + 0.4 * np.cos(at[1] / 7),
        Tissue.THALAMUS: 0.3 + 0.3 * np.sin(at[2] / 4),
        Tissue.CSF: 0.2 + 0.2 * np.cos(at[2] / 9),
        Tissue.CORD_WHITE: 0.1 + 0 * at[0],
        Tissue.FAT: 0.1 + 0 * at[0],
    }
    total = sum(weights.values())
    rows = np.zeros((len(TISSUES), at.shape[1]), np.float32)
    for tissue, weight in weights.items():
        rows[ROW[tissue]] = weight / total
    return rows


def white(at: Points) -> Fractions:
    rows = np.zeros((len(TISSUES), at.shape[1]), np.float32)
    rows[ROW[Tissue.WHITE]] = 1
    return rows


@lru_cache
def bent(rms_mm: float) -> Warp:
    return random_warp(np.random.default_rng(1), rms_mm)


def person_of(body: Toy, turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0), warp_mm: float = 1e-6) -> Person:
    return Person(body, bent(warp_mm), rotation(turn_deg), (3.0, -2.0, 4.0))


def slab_at(
    person: Person, body: tuple[float, float, float], shape: tuple[int, int, int], voxel_mm: float = 2.0
) -> Slab:
    x, y, z = (float(v) for v in person.scanner(body))
    return Slab.around((x, y, z), shape, (voxel_mm,) * 3)


TWO_SHELLS = dwi.Protocol(shells=(dwi.Shell(1000, 6), dwi.Shell(2500, 6)), unweighted=2)


def written_out(person: Person, slab: Slab, protocol: dwi.Protocol, disease: Disease, b: float, g: Floats) -> Floats:
    """The equation for every voxel (flat), one at a time, from fractions and fibres."""
    points = slab.points_ras()
    at = person.template(points)
    fractions = person.body.fractions(at, person.steps(slab))
    fibres = Fibres(disease.bundles())
    seen = fibres.at(at, person.steps(slab)).carried(person.carry(points))
    labels = person.body.parcels(at)
    risen = {LABEL[parcel]: factor for parcel, factor in disease.diffusivity().items()}
    unweighted = {tissue: dwi.unweighted_signal(tissue, protocol) for tissue in TISSUES}
    signals = np.zeros(points.shape[1])
    for n in range(points.shape[1]):
        for tissue in TISSUES:
            share = float(fractions[ROW[tissue], n])
            if tissue in (Tissue.WHITE, Tissue.CORD_WHITE):
                directed, free = 0.0, 0.0
                for k in range(FIBRES):
                    number, filled = int(seen.number[k, n]), float(seen.share[k, n])
                    change = disease.bundles().get(
                        (TUBES[number - 1][0].name, TUBES[number - 1][1]) if number else ("", Side.BOTH), BundleChange()
                    )
                    along = float(g @ seen.direction[k, :, n])
                    across = BUNDLE[1] * change.radial
                    fibre = np.exp(-b * 1e-3 * (across + (BUNDLE[0] - across) * along**2))
                    hindered = np.exp(-b * 1e-3 * HINDERED_MD)
                    directed += filled * change.share * (BUNDLE_SHARE * fibre + (1 - BUNDLE_SHARE) * hindered)
                    directed += filled * (1 - change.share) * 0.9 * hindered
                    free += filled * (1 - change.share) * 0.1 * np.exp(-b * 1e-3 * PROPERTIES[Tissue.CSF].md)
                e = seen.between[[0, 1, 2, 1, 3, 4, 2, 4, 5], n].reshape(3, 3).astype(float)
                between = BETWEEN[1] * np.eye(3) + (BETWEEN[0] - BETWEEN[1]) * e
                directed += (1 - seen.share[:, n].sum()) * np.exp(-b * 1e-3 * g @ between @ g)
                signals[n] += share * unweighted[tissue] * (directed + free)
            else:
                md = PROPERTIES[tissue].md
                if tissue in (Tissue.CORTEX, Tissue.THALAMUS):
                    md *= risen.get(int(labels[n]), 1.0)
                signals[n] += share * unweighted[tissue] * np.exp(-b * 1e-3 * md)
    return signals


@pytest.mark.parametrize("disease", [HEALTHY, LATE])
def test_every_voxel_is_the_sum_of_its_compartments(disease: Disease) -> None:
    person = person_of(Toy(mixture, Parcel(Structure.THALAMUS, Side.RIGHT)), (12.0, -7.0, 20.0), 2.0)
    slab = slab_at(person, (28.0, -18.0, 34.0), (6, 5, 4))
    body = diffusion.see(person, slab, TWO_SHELLS, disease)
    assert (body.fibres.number[1] > 0).any(), "fibres cross here"
    for b in (0.0, 1000.0, 2500.0):
        for g in (np.array([0.6, -0.64, 0.48]), np.array([-0.36, 0.48, 0.8])):
            expected = written_out(person, slab, TWO_SHELLS, disease, b, g)
            found = diffusion.signal(body, b, g).ravel()
            np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_the_tensor_is_the_slope_of_the_signal_at_no_weighting() -> None:
    person = person_of(Toy(mixture), (12.0, -7.0, 20.0))
    protocol = dwi.Protocol(shells=(dwi.Shell(5.0, 6),))
    slab = slab_at(person, (28.0, -18.0, 34.0), (5, 5, 4))
    body = diffusion.see(person, slab, protocol, LATE)
    t = body.tensor.reshape(6, -1).astype(float)
    full = t[[0, 1, 2, 1, 3, 4, 2, 4, 5]].T.reshape(-1, 3, 3)
    for g in dwi.directions(6):
        slope = -np.log(diffusion.signal(body, 5.0, g) / body.unweighted).ravel() / 5e-3
        np.testing.assert_allclose(slope, np.einsum("i,nij,j->n", g, full, g), rtol=0.01, atol=2e-4)


@pytest.mark.parametrize("turn", [(0.0, 0.0, 40.0), (25.0, 0.0, 0.0), (0.0, 30.0, 0.0)])
def test_fibres_turn_with_the_head(turn: tuple[float, float, float]) -> None:
    for place in ((23.0, -14.0, 8.0), (-23.0, -14.0, 8.0), (0.0, -13.0, 26.5)):
        axes = []
        for degrees in ((0.0, 0.0, 0.0), turn):
            person = person_of(Toy(white), degrees)
            slab = slab_at(person, place, (1, 1, 1), 1.0)
            body = diffusion.see(person, slab, TWO_SHELLS, HEALTHY)
            t = body.tensor.reshape(6)
            axes.append(np.linalg.eigh(t[[0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(3, 3))[1][:, 2])
        assert abs(axes[1] @ rotation(turn) @ axes[0]) > 0.999


def capsule(disease: Disease, side: int = 1) -> tuple[diffusion.DiffusionBody, npt.NDArray[np.bool_]]:
    """White matter round the corticospinal tract in the internal capsule, and its voxels of one fibre."""
    person = person_of(Toy(white))
    slab = slab_at(person, (side * 23.0, -14.0, 6.0), (16, 16, 16))
    body = diffusion.see(person, slab, dwi.Protocol(), disease)
    names = np.array(["", *(tube.name for tube, _ in TUBES)])
    single = (body.fibres.share[0] > 0.95) & np.isin(names[body.fibres.number[0]], CORTICOSPINAL)
    assert single.sum() > 40
    return body, single


def test_a_voxel_of_the_corticospinal_tract_is_like_a_healthy_person_s() -> None:
    """PLIC and tract means of a real person at 3 T: FA 0.56-0.65, MD 0.68-0.76; a pure voxel lies a little above."""
    body, single = capsule(HEALTHY)
    values = {name: image.ravel()[body.fibres.index][single] for name, image in dwi.scalars(body.tensor).items()}
    assert 0.6 < values["FA"].min() <= values["FA"].max() < 0.75
    assert values["MD"] == pytest.approx(0.76, abs=0.02)


def test_disease_takes_a_tenth_of_fa_by_radial_diffusivity_alone() -> None:
    only_fa = Disease("late", LIMB_LEFT.severity, frozenset({Parameter.FA}))
    (before, single), (after, _) = capsule(HEALTHY), capsule(only_fa)
    names = np.array(["", *(tube.name for tube, _ in TUBES)])
    struck = (names[before.fibres.number[0]] == HAND) & single
    old, new = (
        {name: image.ravel()[body.fibres.index][struck] for name, image in dwi.scalars(body.tensor).items()}
        for body in (before, after)
    )
    assert new["FA"].mean() / old["FA"].mean() == pytest.approx(0.90, abs=0.005)
    np.testing.assert_allclose(new["AD"], old["AD"], rtol=0.01)
    assert (new["RD"] / old["RD"]).mean() > 1.2
    (left, single), (other, _) = capsule(HEALTHY, -1), capsule(only_fa, -1)
    np.testing.assert_array_equal(left.tensor, other.tensor)


def test_late_disease_takes_a_tenth_of_fa_with_the_fibres_that_are_lost() -> None:
    (before, single), (after, _) = capsule(HEALTHY), capsule(LATE)
    old, new = (
        {name: image.ravel()[body.fibres.index][single] for name, image in dwi.scalars(body.tensor).items()}
        for body in (before, after)
    )
    assert new["FA"].mean() / old["FA"].mean() == pytest.approx(0.90, abs=0.01)
    assert (new["AD"] / old["AD"]).mean() > 0.95


def test_noise_moves_fa_and_md_of_a_tract_by_less_than_the_target() -> None:
    """SNR 30: FA within 0.01, MD within 2 per cent, of the compartment mean as well as of the noise-free fit."""
    body, single = capsule(HEALTHY)
    protocol, snr = dwi.Protocol(), 30.0
    sigma = dwi.unweighted_signal(Tissue.WHITE, protocol) / snr
    mask = np.zeros(body.slab.shape, bool)
    mask.reshape(-1)[body.fibres.index[single]] = True
    b, g = dwi.table(protocol)
    person = person_of(Toy(white))
    clean = noise_free_fit(body, protocol, mask)
    true = dwi.scalars(body.tensor)
    fa, md = [], []
    for seed in range(12):
        series, _ = diffusion.acquire(body, person, body.slab, protocol, NONE, sigma, np.random.SeedSequence(seed))
        fitted = fit_tensor(series.astype(np.float32), mask, b, g * LPS_TO_RAS)
        fa.append(float(fitted.fa.mean()))
        md.append(float(fitted.md.mean()))
    for truth_fa, truth_md in ((true["FA"][mask].mean(), true["MD"][mask].mean()), (clean.fa.mean(), clean.md.mean())):
        assert abs(np.mean(fa) - truth_fa) < 0.01
        assert abs(np.mean(md) / truth_md - 1) < 0.02


def test_the_noise_free_fit_finds_the_tensor_of_a_gaussian_voxel() -> None:
    def thalamus(at: Points) -> Fractions:
        rows = np.zeros((len(TISSUES), at.shape[1]), np.float32)
        rows[ROW[Tissue.THALAMUS]] = 1
        return rows

    person = person_of(Toy(thalamus))
    body = diffusion.see(person, slab_at(person, (0.0, 0.0, 0.0), (4, 4, 4)), dwi.Protocol(), HEALTHY)
    fitted = noise_free_fit(body, dwi.Protocol(), np.ones((4, 4, 4), bool))
    np.testing.assert_allclose(fitted.md, PROPERTIES[Tissue.THALAMUS].md, rtol=1e-4)
    np.testing.assert_allclose(fitted.fa, 0, atol=1e-3)


def test_the_noise_free_fit_knows_left_from_right_and_front_from_back() -> None:
    person = person_of(Toy(white))
    slab = slab_at(person, (30.0, -16.0, 20.0), (5, 4, 6))
    body = diffusion.see(person, slab, dwi.Protocol(), HEALTHY)
    fitted = noise_free_fit(body, dwi.Protocol(), np.ones(slab.shape, bool))
    t = body.tensor.reshape(6, -1)
    along = np.linalg.eigh(t[[0, 1, 2, 1, 3, 4, 2, 4, 5]].T.reshape(-1, 3, 3))[1][:, :, 2].reshape(*slab.shape, 3)
    found = fitted.volume(fitted.direction)
    clear = fitted.volume(fitted.fa) > 0.4
    assert clear.sum() > 20
    assert np.abs((along * found).sum(axis=-1))[clear].min() > 0.99


def test_directions_are_unit_axes_spread_over_the_whole_sphere() -> None:
    for count in (15, 20, 32, 64):
        g = dwi.directions(count)
        np.testing.assert_allclose(np.linalg.norm(g, axis=1), 1)
        between = np.degrees(np.arccos(np.clip(np.abs(g @ g.T) - 2 * np.eye(count), 0, 1)))
        # Caps of half the least angle cover at most 0.83 of the half sphere (dense packing is not reached).
        densest = 2 * np.degrees(np.arccos(1 - 0.83 / count))
        assert between[~np.eye(count, dtype=bool)].min() > 0.8 * densest
        assert np.linalg.norm(g.mean(axis=0)) < 0.06, "not a half sphere"
        design = np.column_stack([g[:, i] * g[:, j] * (1 if i == j else 2) for i in range(3) for j in range(i, 3)])
        assert np.linalg.cond(design) < 1.65  # 1.58 is the least that a tensor design can have


def test_the_b_table_holds_its_shells_and_where_its_images_without_weighting_lie() -> None:
    two = dwi.Protocol(shells=(dwi.Shell(1000, 20), dwi.Shell(2000, 30)), unweighted=5)
    b, g = dwi.table(two)
    assert b.tolist() == [0] * 5 + [1000] * 20 + [2000] * 30
    np.testing.assert_allclose(np.linalg.norm(g, axis=1), (b > 0).astype(float))
    assert (np.abs(g[5:25] @ g[25:].T) < 1 - 1e-6).all(), "no direction twice"
    between, _ = dwi.table(dwi.Protocol(shells=two.shells, unweighted=5, interspersed=True))
    assert np.flatnonzero(between == 0).tolist() == [0, 11, 22, 33, 44]
    assert sorted(between) == sorted(b)
    _, half = dwi.table(dwi.Protocol(half_sphere=True))
    assert half[:, 1].min() >= 0
    assert dwi.table(diffusion.reversed_protocol(dwi.Protocol(reversed_unweighted=3)))[0].tolist() == [0, 0, 0]
    assert two.b_values == (0.0, 1000.0, 2000.0)


def test_the_slab_that_is_painted_for_ringing_covers_the_same_field() -> None:
    slab = Slab.around((3.0, 4.0, 5.0), (6, 8, 4), (2.0, 2.5, 3.0), tilt_deg=(5.0, 10.0, -20.0))
    fine = finer(slab)
    centres = slab.points_ras().reshape(3, 6, 8, 4)
    quarters = fine.points_ras().reshape(3, 6, 2, 8, 2, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(quarters, centres, atol=1e-4)


def test_diffusion_signal_is_a_spin_echo_times_a_gaussian() -> None:
    p = PROPERTIES[Tissue.CORTEX]
    expected = p.pd * (1 - np.exp(-5000 / p.t1_ms)) * np.exp(-72 / p.t2_ms)
    assert dwi.unweighted_signal(Tissue.CORTEX, dwi.Protocol(tr_ms=5000, te_ms=72)) == pytest.approx(expected)
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3))
    full = root @ root.T
    g = np.array([0.48, -0.6, 0.64])
    six = np.array([full[0, 0], full[0, 1], full[0, 2], full[1, 1], full[1, 2], full[2, 2]], np.float32)[:, None]
    assert dwi.attenuation(six, 700, g)[0] == pytest.approx(np.exp(-0.7 * g @ full @ g), rel=1e-5)


def test_fat_is_suppressed_in_diffusion_only() -> None:
    with_fat = dwi.unweighted_signal(Tissue.FAT, dwi.Protocol(fat_left=1))
    assert dwi.unweighted_signal(Tissue.FAT, dwi.Protocol()) == pytest.approx(0.03 * with_fat)


def test_scalars_of_a_prolate_tensor_follow_the_textbook() -> None:
    axial, radial = 1.6, 0.4
    n = np.array([2.0, -1.0, 2.0]) / 3
    full = radial * np.eye(3) + (axial - radial) * np.outer(n, n)
    six = full[np.triu_indices(3)].astype(np.float32)[:, None]
    found = {name: float(values[0]) for name, values in dwi.scalars(six).items()}
    assert found["AD"] == pytest.approx(axial, rel=1e-5)
    assert found["RD"] == pytest.approx(radial, rel=1e-5)
    assert found["MD"] == pytest.approx((axial + 2 * radial) / 3, rel=1e-5)
    assert found["FA"] == pytest.approx((axial - radial) / np.sqrt(axial**2 + 2 * radial**2), rel=1e-5)


def test_a_voxel_full_of_one_bundle_is_like_the_internal_capsule() -> None:
    axial, radial = (BUNDLE_SHARE * value + (1 - BUNDLE_SHARE) * HINDERED_MD for value in BUNDLE)
    assert (axial - radial) / np.sqrt(axial**2 + 2 * radial**2) == pytest.approx(0.71, abs=0.03)
