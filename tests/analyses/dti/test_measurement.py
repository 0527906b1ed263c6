"""DTI from a volume to findings: truth, geometry, quality, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_head import CORTEX_MD, FIBRE_FA, FIBRE_MD, facts, head, reoriented, tensors

from analyses.contract import Findings, Inputs, Statistic, Unsuitable, Verdict, Volume, Workspace
from analyses.dti.analysis import DTI
from analyses.quantities import BRAIN, WHITE_MATTER


def run(volume: Volume) -> Findings:
    work = Workspace(Path("unused"), lambda share, what: None, np.random.default_rng(0))
    return DTI.run(Inputs({"dwi": volume}), work)


def value(findings: Findings, quantity: str, site: str, statistic: Statistic = Statistic.MEAN) -> float:
    (found,) = [
        m for m in findings.measurements if m.quantity.name == quantity and m.site == site and m.statistic is statistic
    ]
    return found.value


def check(findings: Findings, name: str) -> Verdict:
    (found,) = [q for q in findings.quality if q.name == name]
    return found.verdict


def is_coloured(rgb: np.ndarray) -> bool:
    """Whether pixels are clearly red, green or blue: the ground is a little blue, the letters a little yellow."""
    return bool(np.mean(np.ptp(rgb.astype(int), axis=2) > 60) > 0.005)


@pytest.fixture(scope="module")
def good() -> Findings:
    return run(head())


def test_known_tensors_are_measured(good: Findings) -> None:
    assert value(good, "FA", WHITE_MATTER) == pytest.approx(FIBRE_FA, abs=0.005)
    assert value(good, "MD", WHITE_MATTER) == pytest.approx(FIBRE_MD, abs=0.005)
    assert value(good, "AD", WHITE_MATTER) == pytest.approx(1.4, abs=0.01)
    assert value(good, "RD", WHITE_MATTER) == pytest.approx(0.4, abs=0.01)
    assert value(good, "MD", BRAIN, Statistic.MEDIAN) == pytest.approx(CORTEX_MD, abs=0.05)
    _, brain, _, _ = tensors()
    assert value(good, "volume", BRAIN, Statistic.TOTAL) == pytest.approx(brain.sum() * 0.027, rel=0.03)


def test_a_good_series_passes_every_check(good: Findings) -> None:
    assert good.verdict is Verdict.GOOD
    assert all(m.quality is Verdict.GOOD and not m.quality_reason for m in good.measurements)


def test_maps_are_nan_outside_the_brain_and_finite_inside(good: Findings) -> None:
    _, brain, _, affine = tensors()
    for found in good.maps:
        inside = np.isfinite(found.data)
        assert 2 * (inside & brain).sum() / (inside.sum() + brain.sum()) > 0.97
        np.testing.assert_array_equal(found.affine, affine)


@pytest.mark.parametrize(
    ("order", "flips"),
    [
        ((0, 1, 2), (True, False, False)),  # left-handed, as scanners store axial slices
        ((0, 1, 2), (False, True, True)),
        ((1, 2, 0), (False, True, True)),  # sagittal slices
        ((0, 2, 1), (False, False, False)),  # coronal slices
    ],
)
def test_the_way_slices_were_stored_changes_nothing_in_the_patient(
    good: Findings, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    stored = reoriented(head(), order, flips)
    found = run(stored)
    for quantity in ("FA", "MD"):
        assert value(found, quantity, WHITE_MATTER) == pytest.approx(value(good, quantity, WHITE_MATTER), abs=2e-4)
    back = np.linalg.inv(stored.affine)
    spots = np.array([[-30.0, 20.0, 25.0], [40.0, 10.0, 20.0], [10.0, -60.0, 20.0], [25.0, 0.0, -20.0]])
    here = np.linalg.inv(good.maps[0].affine)
    for spot in spots:
        i = np.rint(here[:3, :3] @ spot + here[:3, 3]).astype(int)
        at = good.maps[0].affine[:3, :3] @ i + good.maps[0].affine[:3, 3]  # that voxel's own centre
        j = np.rint(back[:3, :3] @ at + back[:3, 3]).astype(int)
        for a, b in zip(good.maps, found.maps, strict=True):
            assert b.data[tuple(j)] == pytest.approx(a.data[tuple(i)], abs=1e-4)
    assert check(found, "gradient directions") is Verdict.GOOD
    picture, other = good.figures[0].rgb.astype(int), found.figures[0].rgb.astype(int)
    assert picture.shape == other.shape
    assert np.mean(np.abs(picture - other) > 40) < 0.005  # the brain stands upright with its sides right, as before


def test_a_flipped_table_is_told_and_its_colours_withheld(good: Findings) -> None:
    volume = head()
    flipped = run(replace(volume, bvecs=np.asarray(volume.bvecs) * [1.0, -1.0, 1.0]))
    (told,) = [q for q in flipped.quality if q.name == "gradient directions"]
    assert told.verdict is Verdict.LIMITED
    assert "anterior-posterior reversed" in told.sentence
    assert any("colour map is withheld" in sentence for sentence in flipped.statements)
    assert is_coloured(good.figures[0].rgb)
    assert not is_coloured(flipped.figures[0].rgb)
    assert value(flipped, "FA", WHITE_MATTER) == pytest.approx(value(good, "FA", WHITE_MATTER), abs=0.003)


def test_few_directions_give_limited_numbers_with_the_reason() -> None:
    found = run(head(directions=12))
    assert check(found, "directions") is Verdict.LIMITED
    assert all(m.quality is Verdict.LIMITED for m in found.measurements)
    assert "12 distinct diffusion directions" in found.measurements[0].quality_reason


def test_lost_slices_are_left_out_of_the_fit(good: Findings) -> None:
    volume = head()
    data = volume.data.copy()
    for index, number in ((20, 9), (26, 17)):
        data[:, :, index, number] *= 0.3
    found = run(replace(volume, data=data))
    (told,) = [q for q in found.quality if q.name == "lost slices"]
    assert told.sentence.startswith("2 of ")
    before, after = good.maps[0].data[:, :, (20, 26)], found.maps[0].data[:, :, (20, 26)]
    both = np.isfinite(before) & np.isfinite(after)
    assert np.abs(before - after)[both].mean() < 0.01


REFUSED = {
    "an isotropic phantom": lambda: phantom(2.2),
    "a phantom as slow as tissue": lambda: phantom(0.8),
    "b-values ten times too high": lambda: replace(head(tensor_scale=0.1)),
    "noise": lambda: head(snr=4),
    "no b=0": lambda: replace(head(), bvals=np.full(32, 1000.0)),
    "vectors gone": lambda: replace(head(), bvecs=None),
    "a volume more than b-values": lambda: replace(head(), bvals=np.asarray(head().bvals)[:-1]),
    "not a number": lambda: replace(head(), data=np.where(np.arange(32) == 4, np.nan, head().data)),
    "empty images": lambda: replace(head(), data=np.zeros_like(head().data)),
    "axes on a cone": lambda: replace(head(), bvecs=cone()),
}


def phantom(md: float) -> Volume:
    volume, (_, brain, _, _) = head(), tensors()
    signal = np.where(brain[..., None], 1000.0 * np.exp(-np.asarray(volume.bvals) / 1000 * md), 0.0)
    noise = np.random.default_rng(0).normal(0, 20, signal.shape)
    return replace(volume, data=np.abs(signal + noise).astype(np.float32))


def cone() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 31)[:-1]
    axes = np.stack([np.cos(angle), np.sin(angle), np.ones(30)], axis=1) / np.sqrt(2)
    return np.concatenate([np.zeros((2, 3)), axes])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_measurable_brain_is_unsuitable_with_a_sentence(name: str) -> None:
    with pytest.raises(Unsuitable, match=r"^[A-Z0-9].*\.$"):
        run(REFUSED[name]())


def test_a_short_slab_is_limited_in_coverage() -> None:
    volume = head()
    slab = replace(volume, data=volume.data[:, :, 14:34], facts=facts(slices=20, coverage_mm=60.0))
    assert check(run(slab), "coverage") is Verdict.LIMITED
