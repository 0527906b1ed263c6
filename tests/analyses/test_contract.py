"""Every registered analysis keeps the contract: declared quantities, sites, geometry, JSON, determinism, refusals.

An analysis joins by adding its input and its unsuitable inputs to the two tables.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_head import facts, head

from analyses.contract import Analysis, Findings, Inputs, SeriesFacts, Unsuitable, Volume, Workspace
from analyses.quantities import QUANTITIES, SITES
from analyses.registry import ANALYSES, analysis

INPUTS: dict[str, Callable[[], dict[str, Volume]]] = {"dti": lambda: {"dwi": head()}}

UNSUITABLE: dict[str, dict[str, Callable[[], dict[str, Volume]]]] = {
    "dti": {
        "no table": lambda: {"dwi": dataclasses.replace(head(), bvals=None, bvecs=None)},
        "no b=0": lambda: {"dwi": dataclasses.replace(head(), bvals=np.full(32, 1000.0))},
        "no brain": lambda: {"dwi": dataclasses.replace(head(), data=np.zeros_like(head().data))},
    }
}

REFUSED: dict[str, list[SeriesFacts]] = {"dti": [facts(complete=False), facts(directions=3), facts(bvals=())]}


def run(one: Analysis, volumes: dict[str, Volume], folder: Path) -> Findings:
    steps: list[float] = []
    work = Workspace(folder, lambda share, what: steps.append(share), np.random.default_rng(42))
    found = one.run(Inputs(volumes), work)
    assert steps == sorted(steps)
    assert all(0 <= step <= 1 for step in steps)
    return found


@pytest.fixture(scope="module", params=ANALYSES, ids=lambda one: one.name)
def one(request: pytest.FixtureRequest) -> Analysis:
    return request.param


@pytest.fixture(scope="module")
def volumes(one: Analysis) -> dict[str, Volume]:
    return INPUTS[one.name]()


@pytest.fixture(scope="module")
def findings(one: Analysis, volumes: dict[str, Volume], tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return run(one, volumes, tmp_path_factory.mktemp(one.name))


def test_every_analysis_has_its_inputs_here() -> None:
    names = {one.name for one in ANALYSES}
    assert len(names) == len(ANALYSES)
    assert names == set(INPUTS) == set(UNSUITABLE) == set(REFUSED)
    assert all(analysis(name).name == name for name in names)


def test_quantities_and_sites_are_declared(one: Analysis, findings: Findings) -> None:
    assert findings.measurements
    for measurement in findings.measurements:
        assert measurement.quantity in one.produces
        assert QUANTITIES[measurement.quantity.name] is measurement.quantity
        assert measurement.site in SITES
    for found in findings.maps:
        assert found.quantity in one.produces


def test_values_are_plausible_in_their_unit(findings: Findings) -> None:
    for measurement in findings.measurements:
        low, high = measurement.quantity.plausible
        assert low <= measurement.value <= high
        assert measurement.n is None or measurement.n > 0
        assert measurement.sd is None or measurement.sd >= 0


def test_a_number_appears_once(findings: Findings) -> None:
    keys = [(m.quantity.name, m.site, m.laterality, m.statistic) for m in findings.measurements]
    assert len(keys) == len(set(keys))


def test_maps_lie_on_the_grid_of_their_input(findings: Findings, volumes: dict[str, Volume]) -> None:
    for found in findings.maps:
        source = volumes[found.need]
        assert found.data.shape == source.data.shape[:3]
        assert found.data.dtype == np.float32
        np.testing.assert_array_equal(found.affine, source.affine)
        inside = np.isfinite(found.data)
        assert 0 < inside.sum() < inside.size
        low, high = found.quantity.plausible
        assert low - 1e-6 <= found.data[inside].min()
        assert found.data[inside].max() <= max(high, 10.0)  # single voxels of noise may leave the range
        assert found.display_range[0] < found.display_range[1]


def test_figures_are_pictures_with_words(findings: Findings) -> None:
    assert findings.figures
    for figure in findings.figures:
        assert figure.rgb.dtype == np.uint8
        assert figure.rgb.ndim == 3
        assert figure.rgb.shape[2] == 3
        assert figure.caption.endswith(".")
        assert figure.rgb.std() > 5  # not one flat colour


def test_everything_but_pixels_is_json(findings: Findings) -> None:
    plain = dataclasses.replace(findings, maps=(), figures=())
    again = json.loads(json.dumps(dataclasses.asdict(plain), allow_nan=False))
    assert len(again["measurements"]) == len(findings.measurements)


def test_checks_and_statements_are_sentences(findings: Findings) -> None:
    for check in findings.quality:
        assert check.sentence.endswith(".")
        assert check.limit
    assert all(sentence.endswith(".") for sentence in findings.statements)
    assert findings.provenance


def test_the_same_seed_gives_the_same_bits(
    one: Analysis, volumes: dict[str, Volume], findings: Findings, tmp_path: Path
) -> None:
    again = run(one, volumes, tmp_path)
    assert again.measurements == findings.measurements
    assert again.quality == findings.quality
    for a, b in zip(again.maps, findings.maps, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    for p, q in zip(again.figures, findings.figures, strict=True):
        np.testing.assert_array_equal(p.rgb, q.rgb)


def test_inputs_are_left_as_they_were(one: Analysis, volumes: dict[str, Volume], findings: Findings) -> None:
    for name, fresh in INPUTS[one.name]().items():
        np.testing.assert_array_equal(volumes[name].data, fresh.data)


def test_unsuitable_inputs_end_with_a_reason(one: Analysis, tmp_path: Path) -> None:
    for name, make in UNSUITABLE[one.name].items():
        with pytest.raises(Unsuitable) as told:
            run(one, make(), tmp_path)
        assert str(told.value).endswith("."), name


def test_headers_that_cannot_answer_are_refused_with_a_reason(one: Analysis) -> None:
    (need, *_) = one.needs
    assert need.accept(facts(role=need.role)) is None
    for bad in REFUSED[one.name]:
        refusal = need.accept(bad)
        assert refusal is not None
        assert refusal.reason.endswith(".")


def test_needs_and_cost_are_declared(one: Analysis) -> None:
    assert one.version
    assert one.cost.threads >= 1
    assert 0 < one.cost.memory_mb <= 8000
    assert 0 < one.cost.time_limit_s <= 3600
    assert any(need.required for need in one.needs)
