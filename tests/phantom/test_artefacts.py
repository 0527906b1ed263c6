"""What spoils a diffusion series, each against theory, and what the record of it says."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import integrate, special

from phantom import diffusion
from phantom.anatomy.body import ROW, TISSUES, Distance, Fractions, Labels, Points, Steps
from phantom.anatomy.person import Person
from phantom.anatomy.warp import random_warp
from phantom.disease import HEALTHY
from phantom.sequences import artefacts, dwi, field
from phantom.sequences.artefacts import LEFT_BY_DROPOUT, NONE, Artefacts, Eddy, Motion
from phantom.sequences.noise import rician
from phantom.slab import LPS_TO_RAS, Slab, finer, rotation
from phantom.tissue import Tissue

Image = npt.NDArray[np.float32]
PROTOCOL = dwi.Protocol(shells=(dwi.Shell(1000, 6), dwi.Shell(2000, 6)), unweighted=2)
CENTRE = np.array([3.0, -2.0, 4.0])
WHITE = dwi.unweighted_signal(Tissue.WHITE, PROTOCOL)


class Egg:
    """White matter in an ellipsoid with a smooth rim, air round it."""

    name = "egg"
    half_mm = np.array([[26.0], [32.0], [24.0]], np.float32)

    def _inside(self, at: Points) -> npt.NDArray[np.float32]:
        radius = np.sqrt(((at / self.half_mm) ** 2).sum(axis=0))
        return np.asarray(special.expit((1 - radius) * 12), np.float32)

    def fractions(self, at: Points, steps: Steps) -> Fractions:
        rows = np.zeros((len(TISSUES), at.shape[1]), np.float32)
        rows[ROW[Tissue.WHITE]] = self._inside(at)
        rows[ROW[Tissue.AIR]] = 1 - rows[ROW[Tissue.WHITE]]
        return rows

    def parcels(self, at: Points) -> Labels:
        return np.zeros(at.shape[1], np.uint8)

    def skin(self, at: Points) -> Distance:
        return np.full(at.shape[1], -100, np.float32)

    def brain(self, at: Points) -> Distance:
        return np.asarray((np.sqrt(((at / self.half_mm) ** 2).sum(axis=0)) - 1) * 28, np.float32)


@pytest.fixture(scope="module")
def person() -> Person:
    x, y, z = (float(v) for v in CENTRE)
    return Person(Egg(), random_warp(np.random.default_rng(0), 1e-6), rotation((6.0, -4.0, 9.0)), (x, y, z))


@pytest.fixture(scope="module")
def slab() -> Slab:
    return Slab.around((3.0, -2.0, 4.0), (30, 36, 24), (3.0, 2.5, 3.0), tilt_deg=(4.0, 0.0, 6.0))


@pytest.fixture(scope="module")
def body(person: Person, slab: Slab) -> diffusion.DiffusionBody:
    return diffusion.see(person, slab, PROTOCOL, HEALTHY)


Scan = tuple[npt.NDArray[np.float64], diffusion.History]


def scan(
    body: diffusion.DiffusionBody,
    person: Person,
    spoilt: Artefacts,
    sigma: float = 0.0,
    seed: int = 5,
    forward: bool = True,
    protocol: dwi.Protocol = PROTOCOL,
) -> Scan:
    series, history = diffusion.acquire(
        body, person, body.slab, protocol, spoilt, sigma, np.random.SeedSequence(seed), forward
    )
    unit = dwi.unweighted_signal(Tissue.VITREOUS, protocol) * (1 + spoilt.bias) / diffusion.BRIGHTEST_STORED
    return series * unit, history


def test_nothing_is_spoilt_when_nothing_is_asked(body: diffusion.DiffusionBody, person: Person) -> None:
    series, history = scan(body, person, NONE)
    b, g = dwi.table(PROTOCOL)
    for volume in range(len(b)):
        clean = diffusion.signal(body, b[volume], g[volume] * LPS_TO_RAS)
        np.testing.assert_allclose(series[..., volume], clean, atol=2e-4)
    assert (history.motion, history.eddy, history.field_hz, history.dropped) == (None, None, None, ())


@pytest.mark.parametrize(
    "spoilt",
    [
        Artefacts(bias=0.0, motion_mm=2.0, motion_deg=2.0),
        Artefacts(bias=0.0, eddy_mm=3.0),
        Artefacts(bias=0.0, susceptibility=0.2),
        Artefacts(bias=0.0, dropout=0.1),
        Artefacts(bias=0.2),
    ],
)
def test_an_artefact_changes_no_other_s_random_numbers(
    body: diffusion.DiffusionBody, person: Person, spoilt: Artefacts
) -> None:
    """In a corner of air there is noise alone, and it stays the same; so does a second scan with the same seed."""
    plain, _ = scan(body, person, NONE, sigma=0.02)
    other, history = scan(body, person, spoilt, sigma=0.02)
    unit = (1 + spoilt.bias) * 2e-4  # of a stored value
    np.testing.assert_allclose(other[:3, :3, :3], plain[:3, :3, :3], atol=2 * unit)
    assert np.abs(other - plain).max() > 0.002
    again, once_more = scan(body, person, spoilt, sigma=0.02)
    np.testing.assert_array_equal(again, other)
    both = Artefacts(
        **{
            name: max(getattr(spoilt, name), getattr(Artefacts(bias=0.0, motion_mm=1.0, dropout=0.2), name))
            for name in ("bias", "motion_mm", "motion_deg", "eddy_mm", "susceptibility", "dropout")
        }
    )
    _, mixed = scan(body, person, both, sigma=0.02)
    if history.eddy is not None:
        assert mixed.eddy is not None
        np.testing.assert_array_equal(mixed.eddy.coefficients, history.eddy.coefficients)
    if history.motion is not None and mixed.motion is not None:
        np.testing.assert_array_equal(mixed.motion.turn, history.motion.turn)
    assert once_more.dropped == history.dropped
    assert set(history.dropped) <= set(mixed.dropped)


def test_noise_is_rician_of_the_asked_snr(body: diffusion.DiffusionBody, person: Person) -> None:
    sigma = WHITE / 10
    series, _ = scan(body, person, NONE, sigma=sigma)
    pure = body.white > 0.999
    unweighted = series[pure][:, :2]
    assert pure.sum() > 100
    clean = np.broadcast_to(body.unweighted[pure][:, None], unweighted.shape)
    assert (unweighted - clean).std() == pytest.approx(sigma, rel=0.05)
    assert unweighted.mean() - clean.mean() == pytest.approx(
        sigma**2 / (2 * WHITE), abs=4 * sigma / np.sqrt(clean.size)
    )
    air = series[:3, :3, :]
    assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    assert (air**2).mean() == pytest.approx(2 * sigma**2, rel=0.03)


def test_still_motion_changes_not_a_bit(body: diffusion.DiffusionBody) -> None:
    still = Motion(np.repeat(np.eye(3)[None], 4, axis=0), np.zeros((4, 3)), CENTRE)
    image = diffusion.signal(body, 1000.0, np.array([1.0, 0.0, 0.0]))
    assert artefacts.moved(image, body.slab.affine, still, 2) is image
    first = artefacts.walk(8, Artefacts(motion_mm=2, motion_deg=2), CENTRE, np.random.default_rng(0))
    assert first.still(0)
    assert not first.still(1)


def blobs(points: npt.NDArray[np.float64]) -> Image:
    """Three Gaussians at places (3, n), so that no turn or flip leaves them where they are."""
    centres, sizes = np.array([[10.0, 4, 2], [-12, 9, -6], [2, -14, 8]]), (9.0, 7.0, 8.0)
    parts = [
        h * np.exp(-((points - c[:, None]) ** 2).sum(axis=0) / (2 * s**2))
        for c, s, h in zip(centres, sizes, (1.0, 0.7, 1.3), strict=True)
    ]
    return np.asarray(sum(parts), np.float32)


def test_a_planted_movement_is_the_one_in_the_record(slab: Slab) -> None:
    motion = artefacts.walk(6, Artefacts(motion_mm=4, motion_deg=5), CENTRE, np.random.default_rng(3))
    assert np.sqrt((motion.shift_mm**2).sum(axis=1).mean()) == pytest.approx(4)
    points = slab.points_ras().astype(float)
    painted = blobs(points).reshape(slab.shape)
    for volume in (2, 5):
        turn, shift = motion.turn[volume], motion.shift_mm[volume]
        assert np.linalg.norm(shift) > 1
        # x -> turn (x - centre) + centre + shift; so the head's place of a scanner place is the inverse.
        before = turn.T @ (points - shift[:, None] - CENTRE[:, None]) + CENTRE[:, None]
        found = artefacts.moved(painted, slab.affine, motion, volume)
        inner = (slice(4, -4),) * 3
        np.testing.assert_allclose(found[inner], blobs(before).reshape(slab.shape)[inner], atol=0.01)


def test_a_turned_head_meets_the_direction_turned_back(body: diffusion.DiffusionBody, person: Person) -> None:
    spoilt = Artefacts(bias=0.0, motion_deg=12.0)
    series, history = scan(body, person, spoilt)
    assert history.motion is not None
    b, g = dwi.table(PROTOCOL)
    volume = int(np.argmax(np.abs(history.motion.turn - np.eye(3)).sum(axis=(1, 2)) * (b > 0)))
    turn = history.motion.turn[volume]
    seen = diffusion.signal(body, b[volume], turn.T @ (g[volume] * LPS_TO_RAS))
    expected = artefacts.moved(seen, body.slab.affine, history.motion, volume)
    np.testing.assert_allclose(series[..., volume], np.clip(expected, 0, None), atol=5e-4)
    unturned = artefacts.moved(
        diffusion.signal(body, b[volume], g[volume] * LPS_TO_RAS), body.slab.affine, history.motion, volume
    )
    assert np.abs(unturned - expected).max() > 0.005, "it matters"


def test_eddy_displacement_is_linear_in_b_and_direction_and_as_large_as_asked(slab: Slab) -> None:
    eddy = artefacts.eddies(2000.0, Artefacts(eddy_mm=3.0), np.random.default_rng(2))
    g, h = np.array([0.6, 0.0, 0.8]), np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(eddy.terms_mm(2000, g), 2 * eddy.terms_mm(1000, g))
    np.testing.assert_allclose(eddy.terms_mm(1000, -g), -eddy.terms_mm(1000, g))
    np.testing.assert_allclose(eddy.terms_mm(1000, g + h), eddy.terms_mm(1000, g) + eddy.terms_mm(1000, h))
    around = dwi.directions(400)
    corners = np.array(np.meshgrid([1.0], [-1, 1], [-1, 1], [-1, 1])).reshape(4, -1)
    largest = np.abs(np.stack([eddy.terms_mm(2000, one) for one in (*around, *-around)]) @ corners).max()
    assert largest == pytest.approx(3.0, rel=0.01)
    planes = artefacts.eddy_displacement(np.array([0.5, 1.0, -2.0, 3.0]), slab)
    steps = [np.diff(planes, axis=axis) for axis in range(3)]
    for step, slope, edge in zip(steps, (1.0, -2.0, 3.0), slab.voxel_mm, strict=True):
        np.testing.assert_allclose(step, slope * edge / artefacts.HALF_FIELD_MM, atol=1e-5)
    assert planes.mean() == pytest.approx(0.5, abs=1e-5)


def test_displaced_signal_is_divided_by_the_jacobian_and_keeps_its_sum() -> None:
    y = np.arange(80, dtype=float)
    blob = np.exp(-((y - 38) ** 2) / (2 * 5**2))
    image = np.broadcast_to(blob[None, :, None], (3, 80, 2)).astype(np.float32)
    stretch = ((y - 40) * 0.1 + 2.3)[None, :, None].repeat(3, 0).repeat(2, 2).astype(np.float32)
    found = artefacts.displaced(image, stretch * 2.5, 2.5)
    source = (y - 2.3 + 4.0) / 1.1
    expected = np.exp(-((source - 38) ** 2) / (2 * 5**2)) / 1.1
    np.testing.assert_allclose(found[1, :, 1], expected, atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=1), image.sum(axis=1), rtol=1e-5)
    folded = np.where(np.abs(y - 40) < 6, 14.0, 0.0)[None, :, None].repeat(3, 0).repeat(2, 2).astype(np.float32)
    np.testing.assert_allclose(artefacts.displaced(image, folded, 1.0).sum(axis=1), image.sum(axis=1), rtol=1e-5)
    still = artefacts.displaced(image, np.zeros_like(stretch), 2.5)
    np.testing.assert_array_equal(still, image)


def test_currents_move_every_volume_by_their_record(body: diffusion.DiffusionBody, person: Person) -> None:
    series, history = scan(body, person, Artefacts(bias=0.0, eddy_mm=4.0))
    plain, _ = scan(body, person, NONE)
    assert isinstance(history.eddy, Eddy)
    b, g = dwi.table(PROTOCOL)
    np.testing.assert_array_equal(series[..., b == 0], plain[..., b == 0])
    y = np.arange(body.slab.shape[1])
    for volume in np.flatnonzero(b > 0):
        assert series[..., volume].sum() == pytest.approx(plain[..., volume].sum(), rel=2e-3)
        terms = history.eddy.terms_mm(b[volume], g[volume] * LPS_TO_RAS)
        shift = artefacts.eddy_displacement(terms, body.slab) / body.slab.voxel_mm[1]
        moved = (series[..., volume] * y[None, :, None]).sum() - (plain[..., volume] * y[None, :, None]).sum()
        expected = (plain[..., volume] * shift).sum()
        assert moved == pytest.approx(expected, abs=0.03 * plain[..., volume].sum())


def test_forward_and_reverse_differ_by_twice_the_field(body: diffusion.DiffusionBody, person: Person) -> None:
    spoilt = Artefacts(bias=0.0, susceptibility=0.3)
    unweighted = diffusion.reversed_protocol(dwi.Protocol(reversed_unweighted=1))
    there, history = scan(body, person, spoilt, protocol=unweighted)
    back, reverse = scan(body, person, spoilt, protocol=unweighted, forward=False)
    plain, _ = scan(body, person, NONE, protocol=unweighted)
    assert history.field_hz is not None
    assert (history.shift_sign, reverse.shift_sign) == (1, -1)
    assert np.abs(history.field_hz[body.brain > 0.5]).max() > 10
    lost = 1 - there.sum() / plain.sum()
    assert abs(lost) < 2e-3
    assert back.sum() == pytest.approx(plain.sum(), rel=2e-3)
    voxels = history.field_hz * PROTOCOL.readout_ms * 1e-3
    y = np.arange(body.slab.shape[1])[None, :, None]
    apart = ((there - back)[..., 0] * y).sum(axis=1)
    expected = 2 * (plain[..., 0] * voxels).sum(axis=1)
    heavy = plain[..., 0].sum(axis=1) > 0.5 * plain[..., 0].sum(axis=1).max()
    np.testing.assert_allclose(apart[heavy], expected[heavy], atol=0.03 * np.abs(expected[heavy]).max())


def test_the_field_of_a_sphere_is_a_dipole() -> None:
    """(chi/3) (a/r)^3 (3 cos^2 - 1) outside, nothing inside (Lorentz sphere): Jackson 5.11."""
    size, edge, radius = 72, 2.0, 20.0
    axis = (np.arange(size) - size / 2 + 0.5) * edge
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    r = np.sqrt(x**2 + y**2 + z**2)
    chi = np.clip(0.5 + (radius - r) / edge, 0, 1).astype(np.float32) * 9.0
    for b0 in (np.array([0.0, 0.0, 1.0]), np.array([0.6, 0.0, 0.8])):
        found = field.dipole_field(chi, edge, b0)
        cosine = (x * b0[0] + y * b0[1] + z * b0[2]) / r
        expected = 3.0 * (radius / r) ** 3 * (3 * cosine**2 - 1)
        outside = (r > radius + 6) & (r < 55)
        np.testing.assert_allclose(found[outside], expected[outside], atol=0.12)
        assert np.abs(found[r < radius / 2]).max() < 0.2
        assert expected[outside].max() > 2


def test_air_beside_tissue_shifts_the_head_s_frequency_and_the_shim_takes_the_smooth_part(person: Person) -> None:
    small = Slab.around((3.0, -2.0, 4.0), (10, 12, 8), (6.0, 6.0, 6.0))
    found = field.off_resonance(person, small)
    brain = person.body.brain(person.template(small.points_ras())).reshape(small.shape) < -6
    assert abs(found[brain].mean()) < 5
    assert 0.5 < found[brain].std() < 60


def dirichlet(line: npt.NDArray[np.float64], at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The band-limited curve through the lower half of a line's spectrum, at places in fine voxels, by plain sum."""
    count = len(line)
    k = np.arange(-(count // 4), count // 4 + 1)
    weight = np.where(np.abs(k) == count // 4, 0.5, 1.0)
    spectrum = (line[None] * np.exp(-2j * np.pi * k[:, None] * np.arange(count) / count)).sum(axis=1) / count
    return np.asarray((weight * spectrum * np.exp(2j * np.pi * k * at[:, None] / count)).sum(axis=1).real)


def test_truncated_k_space_rings_as_theory_says() -> None:
    """8.95 per cent beside a true step (Gibbs); painting by half voxels blurs the step and folds some of it back."""
    gibbs = special.sici(np.pi)[0] / np.pi - 0.5
    assert gibbs == pytest.approx(0.0895, abs=1e-4)
    fine = np.arange(256)
    largest = 0.0
    for edge in np.linspace(60, 62, 21):
        line = np.clip(fine + 1 - edge, 0, 1) - np.clip(fine + 1 - edge - 120, 0, 1)
        image = np.broadcast_to(line[:, None, None], (256, 8, 1)).astype(np.float32)
        seen = artefacts.truncated(image)
        assert seen.shape == (128, 4, 1)
        np.testing.assert_allclose(seen[:, 1, 0], dirichlet(line, 2 * np.arange(128) + 0.5), atol=1e-5)
        largest = max(largest, float(seen.max()) - 1)
    assert largest == pytest.approx(gibbs, abs=0.012)


def test_truncation_moves_nothing() -> None:
    """A smooth image comes back sampled at the coarse voxels' middles, along both axes."""
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(96) + 0.5, indexing="ij")
    wave = (2 + np.sin(2 * np.pi * 3 * x / 64) + np.cos(2 * np.pi * 5 * y / 96))[..., None]
    seen = artefacts.truncated(wave.astype(np.float32))
    cx, cy = np.meshgrid(2 * np.arange(32) + 1.0, 2 * np.arange(48) + 1.0, indexing="ij")
    expected = (2 + np.sin(2 * np.pi * 3 * cx / 64) + np.cos(2 * np.pi * 5 * cy / 96))[..., None]
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_a_series_rings_when_it_is_painted_finer(person: Person) -> None:
    slab = Slab.around((3.0, -2.0, 4.0), (24, 28, 6), (4.0, 4.0, 4.0))
    plain, fine = (diffusion.see(person, s, PROTOCOL, HEALTHY) for s in (slab, finer(slab)))
    random = np.random.SeedSequence(1)
    smooth, _ = diffusion.acquire(plain, person, slab, PROTOCOL, NONE, 0.0, random)
    rung, _ = diffusion.acquire(fine, person, slab, PROTOCOL, NONE, 0.0, random)
    assert rung.shape == smooth.shape
    difference = np.abs(rung.astype(float) - smooth)
    assert difference.max() > 5
    assert difference.mean() < 0.02 * smooth.max()


def test_dropped_slices_are_those_of_the_record(body: diffusion.DiffusionBody, person: Person) -> None:
    plain, _ = scan(body, person, NONE)
    spoilt, history = scan(body, person, Artefacts(bias=0.0, dropout=0.2))
    b, _ = dwi.table(PROTOCOL)
    slices = body.slab.shape[2]
    lost = {(v, s) for v in range(len(b)) for s in range(slices) if not (spoilt[:, :, s, v] == plain[:, :, s, v]).all()}
    bright = {(v, s) for v, s in history.dropped if plain[:, :, s, v].max() > 0}
    assert lost == bright
    assert all(b[volume] > 0 for volume, _ in history.dropped)
    count = (b > 0).sum() * slices
    assert len(history.dropped) / count == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / count))
    volume, place = next((v, s) for v, s in history.dropped if s == slices // 2 or plain[:, :, s, v].max() > 0.05)
    ratio = spoilt[:, :, place, volume].sum() / plain[:, :, place, volume].sum()
    assert ratio == pytest.approx(LEFT_BY_DROPOUT, abs=0.01)


@pytest.mark.parametrize("ratio", [0.0, 1.0, 3.0, 30.0])
def test_noise_is_rician(ratio: float) -> None:
    """Mean of a Rice distribution by quadrature of its density."""
    sigma = 2.0
    drawn = rician(np.full(400_000, ratio * sigma, np.float32), sigma, np.random.default_rng(3))

    def weighted_density(x: float) -> float:
        return float(x * x * np.exp(-((x - ratio) ** 2) / 2) * special.ive(0, x * ratio))

    mean, _ = integrate.quad(weighted_density, max(0, ratio - 9), ratio + 9)
    assert drawn.mean() / sigma == pytest.approx(mean, abs=0.006)
