"""Real heads as a second body: labels to tissues, sides, and their place in body coordinates."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from phantom.anatomy.body import ROW
from phantom.anatomy.labels_body import CENTRES, TISSUE_OF, LabelBody
from phantom.anatomy.parcels import LABEL, PARCELS, Parcel, Side, Structure
from phantom.tissue import Tissue


def block_head(folder: Path, turned: bool) -> Path:
    """A head of boxes at known places, stored left-to-right or right-to-left."""
    numbers = np.zeros((120, 110, 90), np.int16)
    affine = np.array([[1.0, 0, 0, -60], [0, 1, 0, -60], [0, 0, 1, -50], [0, 0, 0, 1]])
    numbers[8:112, 8:102, 8:82] = 511
    numbers[12:108, 12:98, 12:78] = 515
    numbers[16:60, 16:94, 16:74] = 2
    numbers[60:104, 16:94, 16:74] = 41
    numbers[16:18, 30:60, 30:60] = 3
    for (left, right), (x, y, z) in CENTRES.items():
        for number, sign in ((left, 1), (right, -1)):
            i, j, k = (round(v) for v in (sign * x + 60, y + 60, z + 50))
            numbers[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3] = number
    if turned:
        numbers, affine = (
            numbers[::-1],
            affine @ np.array([[-1.0, 0, 0, 119], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        )
    path = folder / f"head_{turned}.nii"
    nibabel.Nifti1Image(np.ascontiguousarray(numbers), affine).to_filename(path)  # type: ignore[no-untyped-call]
    return path


@pytest.mark.parametrize("turned", [False, True])
def test_labels_lie_where_the_affine_says_whatever_way_the_voxels_run(tmp_path: Path, turned: bool) -> None:
    body = LabelBody(block_head(tmp_path, turned))
    at = np.array([[-25.5, 3, 1.5], [25.5, 3, 1.5], [-43.5, -28, -15], [40, 10, 10], [0, 0, 60]], np.float32).T
    fractions = body.fractions(at, np.eye(3))
    np.testing.assert_allclose(fractions.sum(axis=0), 1, atol=1e-5)
    assert fractions[ROW[Tissue.PUTAMEN], 0] > 0.99
    assert fractions[ROW[Tissue.AIR], 4] > 0.99
    parcels = [PARCELS[int(label) - 1] for label in body.parcels(at)[:4]]
    assert parcels[0] == Parcel(Structure.PUTAMEN, Side.LEFT)
    assert parcels[1] == Parcel(Structure.PUTAMEN, Side.RIGHT)
    assert parcels[2] == Parcel(Structure.TEMPORAL, Side.LEFT), "cortex by its place"
    assert parcels[3] == Parcel(Structure.WHITE, Side.RIGHT)
    assert body.skin(at)[4] > 0 > body.skin(at)[0]
    assert body.brain(at)[4] > 0 > body.brain(at)[0]


def test_a_large_voxel_holds_the_mean_of_its_small_ones(tmp_path: Path) -> None:
    body = LabelBody(block_head(tmp_path, False))
    at = np.array([[-45.0], [-15.0], [-3.0]], np.float32)
    offsets = (np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij")).reshape(3, -1) - 3.5) / 8 * 4
    fine = body.fractions((at + offsets).astype(np.float32), np.eye(3) * 0.5).mean(axis=1)
    coarse = body.fractions(at, np.eye(3) * 4)[:, 0]
    assert 0.1 < coarse[ROW[Tissue.BONE]] < 0.9
    np.testing.assert_allclose(coarse, fine, atol=0.03)


@pytest.mark.data
def test_a_real_head_lies_in_body_coordinates(data: Callable[[str], Path]) -> None:
    path = data("head-label-maps") / "head_02.nii"
    assert set(np.unique(np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj)).astype(int)) <= set(TISSUE_OF)
    body = LabelBody(path)
    axes = [np.arange(low, high, 2.0) for low, high in ((-90, 90), (-130, 110), (-110, 100))]
    at = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).astype(np.float32)
    fractions, labels = body.fractions(at, np.eye(3) * 2), body.parcels(at)
    np.testing.assert_allclose(fractions.sum(axis=0), 1, atol=1e-5)
    for structure, (x, y, z), ml in (
        (Structure.THALAMUS, (12, -19, 7), (4, 12)),
        (Structure.HIPPOCAMPUS, (28, -23, -14), (2, 6)),
        (Structure.CEREBELLUM, (26, -64, -36), (45, 100)),
        (Structure.OCCIPITAL, (20, -85, 5), (15, 90)),
        (Structure.PRECENTRAL_HAND, (38, -18, 52), (2, 14)),
    ):
        for side, sign in ((Side.LEFT, -1), (Side.RIGHT, 1)):
            inside = labels == LABEL[Parcel(structure, side)]
            assert ml[0] < inside.sum() * 8 / 1000 < ml[1], structure
            np.testing.assert_allclose(at[:, inside].mean(axis=1), (sign * x, y, z), atol=12)
    eyes = fractions[ROW[Tissue.VITREOUS]] > 0.9
    assert np.median(at[1, eyes]) > 45
    assert (at[0, eyes] > 20).any()
    assert (at[0, eyes] < -20).any()
