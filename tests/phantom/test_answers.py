"""What Betz measures on the patient: the same in every dialect, without bias where one bundle fills the voxel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyses.contract import Findings, Volume
from phantom.disease import HEALTHY, LIMB_LEFT
from phantom.examination import Dialect, Examination
from phantom.truth import Truth
from tests.phantom import answers
from tests.phantom.conftest import COARSE_MM

SAME_FA = 1e-4
SINGLE_MM = 2.5  # fine enough that some bundles fill a voxel
FA_BIAS, MD_BIAS = 0.01, 0.02
# A line through exp(-bD) of compartments that differ bends: MD of the fit lies this far below the mean tensor.
CURVATURE = (-0.02, 0.0)

Answer = tuple[Truth, Volume, Findings]


@pytest.fixture(scope="module")
def every_answer(tmp_path_factory: pytest.TempPathFactory) -> dict[Dialect, Answer]:
    found = {}
    for dialect in Dialect:
        folder = tmp_path_factory.mktemp(dialect.value)
        examination = Examination(LIMB_LEFT, resolution_mm=COARSE_MM)
        truth, volume = answers.written(dialect, examination, folder)
        found[dialect] = truth, volume, answers.measured(volume, folder)
    return found


def test_every_dialect_gives_the_same_map_and_the_same_numbers(every_answer: dict[Dialect, Answer]) -> None:
    truth, _, first = every_answer[Dialect.PHILIPS]
    fa, affine = answers.true_map(truth, "FA")
    maps = {}
    for dialect, (_, _, findings) in every_answer.items():
        (found,) = [one for one in findings.maps if one.quantity.name == "FA"]
        maps[dialect] = answers.on_grid(found.data, found.affine, fa.shape, affine)
        assert len(findings.measurements) == len(first.measurements)
        for mine, theirs in zip(findings.measurements, first.measurements, strict=True):
            assert (mine.quantity, mine.site, mine.statistic, mine.n) == (
                theirs.quantity,
                theirs.site,
                theirs.statistic,
                theirs.n,
            )
            assert mine.value == pytest.approx(theirs.value, rel=SAME_FA), (dialect, mine.quantity.name, mine.site)
    for dialect, found_fa in maps.items():
        np.testing.assert_allclose(found_fa, maps[Dialect.PHILIPS], atol=SAME_FA, err_msg=dialect)


def test_a_side_swapped_is_noticed(every_answer: dict[Dialect, Answer]) -> None:
    """One-sided disease and a tilted head: no left-right flip of the images, however small, stays the same map."""
    truth, _, findings = every_answer[Dialect.PHILIPS]
    fa, affine = answers.true_map(truth, "FA")
    (found,) = [one for one in findings.maps if one.quantity.name == "FA"]
    placed = answers.on_grid(found.data, found.affine, fa.shape, affine)
    inside = (fa > 0) & (placed > 0)
    assert np.corrcoef(placed[inside], fa[inside])[0, 1] > 0.9
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(placed[::-1], placed, atol=SAME_FA)
    mirrored = placed[::-1]
    both = (fa > 0) & (mirrored > 0)
    assert np.corrcoef(mirrored[both], fa[both])[0, 1] < 0.8


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, Volume]:
    examination = Examination(HEALTHY, resolution_mm=SINGLE_MM)
    return answers.written(Dialect.SIEMENS, examination, tmp_path_factory.mktemp("fine"))


def unbiased(found: answers.Bias) -> bool:
    return abs(found.fa_fit) <= FA_BIAS and abs(found.md_fit) <= MD_BIAS


def test_fa_and_md_are_unbiased_where_one_bundle_fills_the_voxel(fine: tuple[Truth, Volume]) -> None:
    found = answers.bias(*fine)
    assert found.voxels > 300
    assert unbiased(found), found
    assert abs(found.fa_body) <= FA_BIAS, found
    low, high = CURVATURE
    assert low <= found.md_body <= high, found


def test_a_flipped_series_is_biased(fine: tuple[Truth, Volume]) -> None:
    truth, volume = fine
    assert not unbiased(answers.bias(truth, replace(volume, data=np.asarray(volume.data)[::-1])))
