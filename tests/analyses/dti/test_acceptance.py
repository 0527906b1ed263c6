"""What is refused from headers alone, and which shell is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_head import facts, sphere

from analyses.dti.acceptance import accept, tensor_shell

REFUSED = [
    ({"complete": False, "completeness": "2037 of 2040 slices received"}, "Volumes are incomplete: 2037 of 2040"),
    ({"bvals": ()}, "no b-values"),
    ({"bvals": (1000.0,) * 30}, "without diffusion weighting"),
    ({"bvals": (0.0, 300.0, 300.0)}, "highest b is 300"),
    ({"bvals": (0.0, *(5000.0,) * 30)}, "highest b is 5000"),
    ({"directions": 0}, "directions are missing"),
    ({"directions": 5}, "Only 5 diffusion directions; at least 6"),
    ({"coverage_mm": 6.0}, "Slices cover 6 mm"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_what_cannot_carry_a_tensor_is_refused_with_its_reason(changes: dict[str, object], sentence: str) -> None:
    refusal = accept(facts(**changes))
    assert refusal is not None
    assert sentence in refusal.reason


def test_a_good_series_is_accepted() -> None:
    assert accept(facts()) is None


@pytest.mark.parametrize(
    "changes", [{"directions": 6}, {"coverage_mm": 70.0}, {"coverage_mm": None}, {"original": False}], ids=str
)
def test_a_limited_series_is_accepted_and_limited_later(changes: dict[str, object]) -> None:
    assert accept(facts(**changes)) is None


def shell_of(*counts: tuple[float, int]) -> float | None:
    bvals = np.concatenate([[0.0], *[np.full(n, b) for b, n in counts]])
    bvecs = np.concatenate([np.zeros((1, 3)), *[sphere(n) for _, n in counts]])
    shell = tensor_shell(bvals, bvecs)
    return None if shell is None else shell.bvalue


@pytest.mark.parametrize(
    ("counts", "chosen"),
    [
        ([(700, 30), (1000, 30), (2000, 60)], 1000),
        ([(1000, 12), (1500, 30)], 1500),
        ([(1000, 12), (2000, 60)], 1000),
        ([(300, 30), (2500, 20)], 2500),
        ([(1000, 4), (2000, 20)], 2000),
        ([(1000, 4)], None),
        ([(400, 30)], None),
    ],
)
def test_the_shell_is_the_one_nearest_to_what_a_tensor_describes(
    counts: list[tuple[float, int]], chosen: float | None
) -> None:
    assert shell_of(*counts) == chosen
