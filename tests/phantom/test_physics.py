"""Each signal against an independent way to the same number."""

import numpy as np
import pytest
from scipy import integrate, special

from phantom.sequences import dwi, mprage
from phantom.sequences.noise import rician
from phantom.tissue import BUNDLE, BUNDLE_SHARE, HINDERED_MD, PROPERTIES, Tissue


def mprage_by_bloch(tissue: Tissue, protocol: mprage.Protocol) -> float:
    """Longitudinal magnetisation pulse by pulse, cycle after cycle, until it repeats itself."""
    p = PROPERTIES[tissue]
    flip = np.radians(protocol.flip_deg)

    def relaxed(m: float, ms: float) -> float:
        return 1 + (m - 1) * np.exp(-ms / p.t1_ms)

    middle = protocol.pulses // 2
    first_ms = protocol.ti_ms - middle * protocol.tr_ms
    m, centre = 1.0, 0.0
    for _ in range(60):
        m = relaxed(-m, first_ms)
        for pulse in range(protocol.pulses):
            if pulse == middle:
                centre = m
            m = relaxed(m * np.cos(flip), protocol.tr_ms)
        m = relaxed(m, protocol.cycle_ms - first_ms - protocol.pulses * protocol.tr_ms)
    return float(abs(p.pd * centre * np.sin(flip) * np.exp(-protocol.te_ms / p.t2star_ms)))


@pytest.mark.parametrize("tissue", [t for t in Tissue if t is not Tissue.AIR])
def test_mprage_is_the_steady_state_of_its_pulses(tissue: Tissue) -> None:
    protocol = mprage.Protocol()
    assert mprage.signal(tissue, protocol) == pytest.approx(mprage_by_bloch(tissue, protocol), rel=1e-6, abs=1e-12)


def test_t1_contrast_is_white_over_grey_over_fluid() -> None:
    white, cortex, fluid, fat = (
        mprage.signal(t, mprage.Protocol()) for t in (Tissue.WHITE, Tissue.CORTEX, Tissue.CSF, Tissue.FAT)
    )
    assert fat > white > 1.3 * cortex > 2 * fluid


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


@pytest.mark.parametrize("ratio", [0.0, 1.0, 3.0, 30.0])
def test_noise_is_rician(ratio: float) -> None:
    """Mean of a Rice distribution by quadrature of its density."""
    sigma = 2.0
    drawn = rician(np.full(400_000, ratio * sigma, np.float32), sigma, np.random.default_rng(3))

    def weighted_density(x: float) -> float:
        return float(x * x * np.exp(-((x - ratio) ** 2) / 2) * special.ive(0, x * ratio))

    mean, _ = integrate.quad(weighted_density, max(0, ratio - 9), ratio + 9)
    assert drawn.mean() / sigma == pytest.approx(mean, abs=0.006)


def test_directions_are_unit_axes_spread_over_the_whole_sphere() -> None:
    g = dwi.directions(32)
    np.testing.assert_allclose(np.linalg.norm(g, axis=1), 1)
    between = np.degrees(np.arccos(np.clip(np.abs(g @ g.T) - 2 * np.eye(32), 0, 1)))
    assert between[~np.eye(32, dtype=bool)].min() > 20, "32 axes can lie 22 degrees apart"
    assert np.linalg.norm(g.mean(axis=0)) < 0.2, "not a half sphere"
    design = np.column_stack([g[:, i] * g[:, j] * (1 if i == j else 2) for i in range(3) for j in range(i, 3)])
    assert np.linalg.cond(design) < 1.65  # 1.58 is the least that a tensor design can have
