"""Slices that lost signal."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_head import head, tensors

from analyses.dti.dropout import Dropouts, find_dropouts
from analyses.dti.tensor import fit_tensor

VOXEL = (3.0, 3.0, 3.0)
PLANTED = [(12, 5), (20, 9), (22, 9), (28, 17), (30, 25), (33, 31)]  # (slice, volume)


def found(loss: float) -> Dropouts:
    volume, (_, brain, _, _) = head(snr=20), tensors()
    data = volume.data.copy()
    for index, number in PLANTED:
        data[:, :, index, number] *= 1 - loss
    field = fit_tensor(data, brain, volume.bvals, volume.bvecs)
    return find_dropouts(data, field, volume.bvals, volume.bvecs, VOXEL)


@pytest.mark.parametrize("loss", [0.15, 0.3, 0.6])
def test_planted_losses_are_found_and_nothing_else(loss: float) -> None:
    assert {(int(a), int(b)) for a, b in np.argwhere(found(loss).lost)} == set(PLANTED)


def test_a_whole_series_has_no_loss() -> None:
    dropouts = found(0.0)
    assert dropouts.judged > 800
    assert dropouts.share == 0.0


def test_six_directions_and_one_b0_cannot_be_judged() -> None:
    volume, (_, brain, _, _) = head(directions=6), tensors()
    data, bvals, bvecs = volume.data[..., 1:], volume.bvals[1:], volume.bvecs[1:]
    field = fit_tensor(np.ascontiguousarray(data), brain, bvals, bvecs)
    assert find_dropouts(data, field, bvals, bvecs, VOXEL).judged == 0
