"""Gradient tables: counting axes, grouping shells, conditioning."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_head import sphere

from analyses.shared.gradients import condition_number, design, distinct_axes, shells, unweighted

GOLDEN = (1 + 5**0.5) / 2
ICOSAHEDRON = np.array(
    [[1, GOLDEN, 0], [-1, GOLDEN, 0], [0, 1, GOLDEN], [0, -1, GOLDEN], [GOLDEN, 0, 1], [GOLDEN, 0, -1]]
) / np.hypot(1, GOLDEN)  # fmt: skip


def test_opposite_vectors_are_one_axis() -> None:
    vectors = sphere(20)
    assert distinct_axes(vectors) == 20
    assert distinct_axes(np.concatenate([vectors, -vectors])) == 20


def test_vectors_within_five_degrees_are_one_axis() -> None:
    def tilted(degrees: float) -> np.ndarray:
        angle = np.radians(degrees)
        return np.array([[1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]])

    assert distinct_axes(tilted(4.9)) == 1
    assert distinct_axes(tilted(5.1)) == 2


def test_zero_vectors_are_no_axis() -> None:
    assert distinct_axes(np.zeros((3, 3))) == 0


def test_the_icosahedron_has_the_best_condition_that_six_axes_can_have() -> None:
    # Skare 2000, 10.1006/jmre.2000.2209: the icosahedral scheme attains sqrt(5/2)
    assert condition_number(ICOSAHEDRON) == pytest.approx(np.sqrt(2.5), rel=1e-6)
    assert condition_number(sphere(30)) == pytest.approx(np.sqrt(2.5), rel=0.1)


def test_axes_on_a_cone_or_too_few_do_not_determine_a_tensor() -> None:
    angle = np.linspace(0, 2 * np.pi, 13)[:-1]
    cone = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=1) / np.sqrt(2)
    assert condition_number(cone) == np.inf
    assert condition_number(ICOSAHEDRON[:5]) == np.inf


def test_small_b_values_are_b0_and_real_ones_group_into_shells() -> None:
    bvals = np.array([1.25, 929.75, 1000.0, 0.004, 2500.0, 950.0])
    assert unweighted(bvals).tolist() == [True, False, False, True, False, False]
    found = shells(bvals)
    assert [shell.volumes for shell in found] == [(1, 2, 5), (4,)]
    assert found[0].bvalue == pytest.approx(959.9, abs=0.1)


def test_the_design_predicts_the_signal_of_a_known_tensor() -> None:
    tensor = np.array([[1.2, 0.1, -0.2], [0.1, 0.7, 0.05], [-0.2, 0.05, 0.5]])  # um2/ms
    bvals, bvecs = np.array([0.0, 700.0, 1300.0]), np.concatenate([np.zeros((1, 3)), sphere(2)])
    unknowns = np.array([1.2, 0.7, 0.5, 0.1, -0.2, 0.05, np.log(500.0)])
    expected = 500.0 * np.exp([-b / 1000 * g @ tensor @ g for b, g in zip(bvals, bvecs, strict=True)])
    np.testing.assert_allclose(np.exp(design(bvals, bvecs) @ unknowns), expected, rtol=1e-12)
