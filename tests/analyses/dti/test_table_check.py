"""The b-table check: right tables pass, every wrong one of the 24 is noticed and named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_head import head, tensors

from analyses.dti.table_check import AS_STORED, CONFIGURATIONS, Configuration, check_table
from analyses.dti.tensor import TensorField, fit_tensor

AXES = ("left-right", "anterior-posterior", "head-foot")
VOXEL = (3.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def field() -> TensorField:
    volume, (_, brain, _, _) = head(), tensors()
    return fit_tensor(volume.data, brain, volume.bvals, volume.bvecs)


def wrong(field: TensorField, configuration: Configuration) -> TensorField:
    """The field that a table stored under `configuration` would have given."""
    right = field.direction
    stored = np.empty_like(right)
    for n in range(3):  # reading it as sign[n] * stored[order[n]] gives the right vector back
        stored[:, configuration.order[n]] = configuration.sign[n] * right[:, n]
    return replace(field, direction=stored)


def test_the_24_readings_are_all_there_are() -> None:
    assert len(set(CONFIGURATIONS)) == 24
    assert AS_STORED in CONFIGURATIONS


def test_a_right_table_passes(field: TensorField) -> None:
    check = check_table(field, VOXEL)
    assert check.agrees
    assert not check.contradicted


@pytest.mark.parametrize("configuration", [c for c in CONFIGURATIONS if not c.as_stored], ids=str)
def test_a_wrong_table_is_noticed_and_the_right_reading_named(field: TensorField, configuration: Configuration) -> None:
    check = check_table(wrong(field, configuration), VOXEL)
    assert check.contradicted
    assert check.rival == configuration


@pytest.mark.parametrize(
    ("order", "sign", "sentence"),
    [
        ((0, 1, 2), (1, -1, 1), "anterior-posterior reversed"),
        ((1, 0, 2), (1, 1, 1), "left-right and anterior-posterior exchanged"),
        ((0, 2, 1), (-1, 1, 1), "anterior-posterior and head-foot exchanged, left-right reversed"),
    ],
)
def test_the_fault_is_a_sentence(order: tuple[int, int, int], sign: tuple[int, int, int], sentence: str) -> None:
    assert Configuration(order, sign).sentence(AXES) == sentence


def test_without_fibres_nothing_is_decided(field: TensorField) -> None:
    check = check_table(replace(field, fa=np.full_like(field.fa, 0.1)), VOXEL)
    assert not check.decided
    assert not check.agrees
    assert not check.contradicted


def test_random_directions_are_not_taken_for_a_right_table(field: TensorField) -> None:
    random = np.random.default_rng(5).normal(size=field.direction.shape).astype(np.float32)
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    check = check_table(replace(field, direction=random), VOXEL)
    assert not check.agrees
    assert not check.contradicted
