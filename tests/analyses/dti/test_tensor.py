"""The tensor fit against tensors that are known, plain numpy, and MRtrix3."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from synthetic_head import FIBRE_FA, FIBRE_MD, head, sphere, tensors

from analyses.dti import _kernels
from analyses.dti.tensor import TensorField, fit_tensor
from analyses.shared.gradients import design

BVALS = np.array([0.0, *(1000.0,) * 20])
BVECS = np.concatenate([np.zeros((1, 3)), sphere(20)])


def random_signals(count: int, noise: float) -> npt.NDArray[np.float32]:
    """Signals (count, 1, 1, volume) of random tensors with eigenvalues of 0.2 to 2 um2/ms."""
    random = np.random.default_rng(11)
    values = random.uniform(0.2, 2.0, (count, 3))
    frames = np.linalg.qr(random.normal(size=(count, 3, 3)))[0]
    tensor = np.einsum("vij,vj,vkj->vik", frames, values, frames)
    decay = np.einsum("ni,vij,nj->vn", BVECS, tensor, BVECS)
    signal = 1000 * np.exp(-BVALS / 1000 * decay) + random.normal(0, noise, (count, len(BVALS)))
    return np.maximum(signal, 1.0).astype(np.float32)[:, None, None, :]


def fitted(signals: npt.NDArray[np.float32], passes: int = 2) -> TensorField:
    return fit_tensor(signals, np.ones(signals.shape[:3], dtype=bool), BVALS, BVECS, passes=passes)


def plain_numpy(signals: npt.NDArray[np.float32], passes: int) -> npt.NDArray[np.float64]:
    """OLS, then WLS with squared predicted signals, voxel by voxel."""
    x = design(BVALS, BVECS)
    answers = []
    for row in signals.reshape(-1, len(BVALS)).astype(np.float64):
        y = np.log(row)
        beta = np.linalg.lstsq(x, y, rcond=None)[0]
        for _ in range(passes):
            w = np.exp(x @ beta)
            beta = np.linalg.lstsq(x * w[:, None], y * w, rcond=None)[0]
        answers.append(beta)
    return np.array(answers)


@pytest.mark.parametrize("passes", [0, 1, 2])
def test_the_kernel_is_the_textbook_estimator(passes: int) -> None:
    signals = random_signals(300, 30.0)  # 300: two full blocks of lanes and a rest
    np.testing.assert_allclose(fitted(signals, passes).tensor, plain_numpy(signals, passes), rtol=1e-8, atol=1e-9)


def test_noise_free_tensors_come_back() -> None:
    volume = head(snr=0)
    truth, brain, white, _ = tensors()
    field = fit_tensor(np.asarray(volume.data), brain, np.asarray(volume.bvals), np.asarray(volume.bvecs))
    expected = truth[brain.T.nonzero()[::-1]]  # in the field's order: first array axis fastest
    found = field.tensor[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    inside = field.voxels(white)
    np.testing.assert_allclose(field.fa[inside], FIBRE_FA, atol=2e-6)
    np.testing.assert_allclose(field.md[inside], FIBRE_MD, atol=2e-6)
    np.testing.assert_allclose(field.ad[inside], 1.4, atol=5e-6)
    np.testing.assert_allclose(field.rd[inside], 0.4, atol=5e-6)


def test_eigenvalues_and_the_main_direction_are_those_of_lapack() -> None:
    field = fitted(random_signals(500, 20.0))
    matrices = field.tensor[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
    values, vectors = np.linalg.eigh(matrices)
    clipped = np.maximum(values, 0)
    np.testing.assert_allclose(field.ad, clipped[:, 2], atol=1e-5)
    np.testing.assert_allclose(field.rd, clipped[:, :2].mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(field.lowest, values[:, 0], atol=1e-5)
    apart = values[:, 2] - values[:, 1] > 0.05  # where two values are equal, a direction does not exist
    cosine = np.abs(np.einsum("vi,vi->v", field.direction, vectors[:, :, 2]))
    assert cosine[apart].min() > 1 - 1e-6
    mean = clipped.mean(axis=1, keepdims=True)
    fa = np.sqrt(1.5 * ((clipped - mean) ** 2).sum(axis=1) / (clipped**2).sum(axis=1))
    np.testing.assert_allclose(field.fa, fa, atol=1e-6)


def test_the_vector_exponential_is_exact_to_two_bits() -> None:
    x = np.linspace(-600, 600, 100_001)
    found = np.empty_like(x)
    _kernels._exp(x, np.empty(len(x), dtype=np.int64), found)
    np.testing.assert_allclose(found, np.exp(x), rtol=4.5e-16)


def test_samples_of_zero_count_as_the_smallest_positive_one_and_are_counted() -> None:
    signals = random_signals(50, 10.0)
    least = float(signals.min())
    holed = signals.copy()
    holed[3, 0, 0, 5] = 0
    holed[4, 0, 0, 6] = -2
    filled = signals.copy()
    filled[3, 0, 0, 5] = filled[4, 0, 0, 6] = least
    field = fitted(holed)
    assert field.floored == 2
    assert field.floor == least
    np.testing.assert_array_equal(field.tensor, fitted(filled).tensor)


def test_a_dead_voxel_has_no_nan() -> None:
    field = fitted(np.zeros((3, 1, 1, len(BVALS)), dtype=np.float32))
    assert np.isfinite(field.tensor).all()
    np.testing.assert_allclose(field.fa, 0, atol=1e-3)


def test_the_residual_tells_the_noise() -> None:
    field = fitted(random_signals(3000, 20.0))
    assert np.sqrt(np.mean(np.square(field.sigma.astype(float)))) == pytest.approx(20.0, rel=0.05)


def test_threads_change_no_bit() -> None:
    volume = head()
    mask = np.ones(volume.data.shape[:3], dtype=bool)
    one, two = (fit_tensor(volume.data, mask, volume.bvals, volume.bvecs, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.tensor, two.tensor)
    np.testing.assert_array_equal(one.direction, two.direction)


def test_values_return_to_their_voxels_in_either_memory_order() -> None:
    volume = head(snr=0)
    _, brain, _, _ = tensors()
    fields = [
        fit_tensor(np.asarray(volume.data, order=order), brain, volume.bvals, volume.bvecs) for order in ("C", "F")
    ]
    maps = [field.volume(field.md) for field in fields]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.isnan(maps[0][~brain]).all()
    np.testing.assert_array_equal(maps[0][brain], fields[0].volume(fields[0].md)[brain])
    i, j, k = np.argwhere(brain)[1234]
    only = np.zeros_like(brain)
    only[i, j, k] = True
    assert maps[0][i, j, k] == fields[0].md[fields[0].voxels(only)][0]
