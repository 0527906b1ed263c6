"""Findings survive the spool, and results.json has the form that other programs were promised."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from analyses.contract import Findings, Laterality, Measurement, Technique
from analyses.quantities import FA, WHITE_MATTER
from dicom_io.results.findings_json import from_json, results_json, to_json
from dicom_io.results.run import AnalysisRun, RunState
from tests.dicom_io.results.result_sources import findings_on

DOCS = Path(__file__).parents[3] / "docs"


def found() -> Findings:
    findings = findings_on((4, 4, 4), np.eye(4))
    sided = Measurement(FA, WHITE_MATTER, 0.4, laterality=Laterality.LEFT, z=-1.5)
    return replace(findings, measurements=(*findings.measurements, sided))


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((DOCS / name).read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def runs() -> list[AnalysisRun]:
    done = AnalysisRun("dti", "1", Technique.DTI, {}, RunState.DONE, findings=found())
    return [done, AnalysisRun("qsm", "1", Technique.DTI, {}, RunState.UNSUITABLE, "phase is missing")]


def test_all_but_arrays_comes_back_from_json():
    findings = found()
    text = json.dumps(to_json(findings), allow_nan=False)
    assert from_json(json.loads(text)) == replace(findings, maps=(), figures=())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="FA of cerebral white matter is not a finite number"):
        to_json(Findings((Measurement(FA, WHITE_MATTER, value),)))


def test_an_unknown_quantity_is_an_error_and_not_a_guess():
    values = to_json(found())
    values["measurements"][0]["quantity"] = "FAT"
    with pytest.raises(KeyError):
        from_json(values)


def test_results_json_is_exactly_what_the_architecture_says():
    values = results_json("1.2.3", ["1.2.5", "1.2.4"], runs())
    validator("results.schema.json").validate(values)
    assert values["study"] == {"study_uid": "1.2.3", "series_uids": ["1.2.4", "1.2.5"]}
    assert values["not_run"] == [{"analysis": "qsm", "reason": "phase is missing"}]
    assert values["measurements"][-1] == {
        "analysis": "dti", "quantity": "FA", "code": "DCM:110808", "site": "cerebral white matter",
        "laterality": "left", "statistic": "mean", "value": 0.4, "unit": "1", "sd": None, "z": -1.5, "quality": "good",
    }  # fmt: skip


@pytest.mark.parametrize(
    "fault",
    [
        lambda v: v["measurements"][0].pop("unit"),
        lambda v: v["measurements"][0].update(laterality="both"),
        lambda v: v["study"].update(patient="somebody"),
        lambda v: v.update(schema=2),
    ],
)
def test_the_schema_notices_what_breaks_the_promise(fault):
    values = results_json("1.2.3", [], runs())
    fault(values)
    assert not validator("results.schema.json").is_valid(values)


def test_the_schemas_know_every_word_of_the_contract():
    from analyses.contract import Body, RoleKind, Statistic, Verdict

    results = json.loads((DOCS / "results.schema.json").read_text("utf-8"))
    number = results["properties"]["measurements"]["items"]["properties"]
    assert number["statistic"]["enum"] == list(Statistic)
    assert number["quality"]["enum"] == list(Verdict)
    routing = json.loads((DOCS / "routing.schema.json").read_text("utf-8"))
    series = routing["properties"]["series"]["items"]["properties"]
    assert series["role"]["enum"] == list(RoleKind)
    assert series["body"]["enum"] == list(Body)
    assert set(routing["properties"]["jobs"]["items"]["properties"]["state"]["enum"]) == {"planned", *RunState}


def test_routing_json_of_the_service_has_its_form():
    validator("routing.schema.json").validate(
        {
            "schema": 1,
            "series": [{"series_uid": "1.2", "role": "DWI", "body": "brain", "reason": "b", "instances": 3}],
            "jobs": [{"analysis": "dti", "series": {"dwi": "1.2"}, "state": "done", "reason": ""}],
        }
    )
