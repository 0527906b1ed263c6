"""The brain mask."""

from __future__ import annotations

import numpy as np
from synthetic_head import head, tensors

from analyses.dti.mask import brain_mask, eroded, largest_component, otsu, without_neck

ISOTROPIC = (3.0, 3.0, 3.0)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def mask_of(data: np.ndarray) -> np.ndarray:
    return brain_mask(data[..., :2].mean(axis=3), data[..., 2:].mean(axis=3), ISOTROPIC)


def test_otsu_parts_two_populations_between_them() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(10, 2, 4000), random.normal(100, 10, 1000)])
    assert 20 < otsu(values) < 75


def test_the_brain_is_found_without_a_bright_eye_or_a_dim_scalp() -> None:
    volume, (_, brain, _, _) = head(), tensors()
    data = volume.data.copy()
    x, y, z = np.ogrid[: data.shape[0], : data.shape[1], : data.shape[2]]
    data[((x - 12) ** 2 + (y - 60) ** 2 + (z - 8) ** 2 < 9)] = 2500  # apart from the brain
    assert dice(mask_of(data), brain) > 0.97


def test_a_receive_field_of_one_to_three_does_not_cut_the_brain() -> None:
    volume, (_, brain, _, _) = head(), tensors()
    field = np.linspace(0.5, 1.5, volume.data.shape[1])[None, :, None, None]
    assert dice(mask_of(volume.data * field), brain) > 0.95


def test_a_slab_keeps_its_outermost_slices() -> None:
    volume, (_, brain, _, _) = head(), tensors()
    slab = slice(15, 31)
    assert dice(mask_of(volume.data[:, :, slab]), brain[:, :, slab]) > 0.97


def test_nothing_bright_is_no_brain() -> None:
    assert not mask_of(np.zeros((20, 20, 20, 4), dtype=np.float32)).any()


def test_the_largest_component_is_kept() -> None:
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[1:3, 1:3, 1:3] = mask[5:9, 5:9, 5:9] = True
    kept = largest_component(mask)
    assert kept[6, 6, 6]
    assert not kept[1, 1, 1]


def test_erosion_takes_millimetres_whatever_the_voxels_and_spares_cut_edges() -> None:
    mask = np.zeros((30, 30, 10), dtype=bool)
    mask[5:25, 5:25, :] = True  # goes on beyond both ends of the slab
    deep = eroded(mask, 6.0, (2.0, 2.0, 5.0))
    assert deep[8:22, 8:22, :].all()
    assert not deep[:8].any()
    assert not deep[22:].any()


def test_a_dim_deep_brain_that_opens_at_the_base_is_filled() -> None:
    volume, (_, brain, _, _) = head(), tensors()
    data = volume.data.copy()
    x, y, z = np.ogrid[: data.shape[0], : data.shape[1], : data.shape[2]]
    column = ((x - 26) ** 2 + (y - 31) ** 2 < 36) & (z < 26)
    data[column & brain] *= 0.05
    assert mask_of(data)[26, 31, 12:24].all()


def test_the_neck_under_a_brain_is_left_out_however_slices_were_stored() -> None:
    """A brain with half axes of 60 and 70 mm with a neck of 9 cm2 under it, on sagittal slices stored head first."""
    affine = np.array([[0, 0, 3.0, -66], [2.5, 0, 0, -80], [0, -2.5, 0, 80], [0, 0, 0, 1]])
    index = np.indices((64, 80, 45)).reshape(3, -1).T
    x, y, z = (index @ affine[:3, :3].T + affine[:3, 3]).T.reshape(3, 64, 80, 45)
    brain = (x / 60) ** 2 + (y / 70) ** 2 + (z / 60) ** 2 < 1
    neck = (x**2 + y**2 < 17**2) & (z < 0) & ~brain
    assert neck.sum() * 0.01875 > 25  # ml
    found = without_neck(brain | neck, affine)
    assert (found & neck & (z < -60)).sum() == 0
    assert dice(found, brain) > 0.99


def test_a_brain_that_ends_at_the_edge_of_the_slab_is_not_shortened() -> None:
    brain = np.zeros((50, 60, 20), dtype=bool)
    brain[5:45, 5:55, :15] = True
    assert np.array_equal(without_neck(brain, np.diag([3.0, 3.0, 3.0, 1.0])), brain)
