"""The acceptance test passes what is right and fails what is not: values, sides, units, sites, refusals, strangers."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from analyses.contract import Findings, Laterality, Measurement, Statistic, Technique
from analyses.quantities import FA, MD, VOLUME, WHITE_MATTER, Quantity
from dicom_io.header import read_series
from dicom_io.results.findings_json import results_json
from dicom_io.results.run import AnalysisRun, Maker, RunState
from dicom_io.results.sr import write_sr
from phantom import truth as true
from phantom.dialects import philips
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired, Kind, Sequence
from phantom.slab import Slab
from phantom.truth import Allowance, Cause, NotRun, Refusal, Tolerance, TrueMeasurement, Truth
from phantom.truth import Kind as TruthKind
from phantom.verify import NotComparable, Outcome, Verdict, compare, verify, verify_dicom

LEFT, RIGHT = Laterality.LEFT, Laterality.RIGHT
HAND = "precentral gyrus, hand"
Record = dict[str, Any]


def told(
    quantity: Quantity, site: str, value: float, allowed: float, side: Laterality | None = None, **more: object
) -> TrueMeasurement:
    tolerance = Tolerance((Allowance(Cause.FLOOR, allowed, "test"),))
    return TrueMeasurement("dti", quantity, site, value, TruthKind.EXPECTED, tolerance, 100, laterality=side, **more)


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    one = told(FA, WHITE_MATTER, 0.450, 0.010)
    return Truth(
        tmp_path / "phantom",
        {"version": "1", "seed": 7, "body": "x", "dialect": "philips", "resolution_mm": 2.0, "snr": 30.0},
        "1.2.3",
        (),
        (
            one,
            told(MD, WHITE_MATTER, 0.780, 0.016),
            told(VOLUME, WHITE_MATTER, 480.0, 10.0, statistic=Statistic.TOTAL),
            told(FA, HAND, 0.30, 0.01, LEFT),
            told(FA, HAND, 0.36, 0.01, RIGHT),
            replace(one, kind=TruthKind.BODY, value=0.7),
        ),
        {},
        (-27.0, 30.0, 20.0),
    )


def right_run(truth: Truth) -> AnalysisRun:
    numbers = tuple(
        Measurement(
            one.quantity, one.site, one.value + 0.2 * one.tolerance.absolute, one.statistic, one.laterality, n=9
        )
        for one in truth.measurements
        if one.kind is TruthKind.EXPECTED
    )
    spread = replace(numbers[0], sd=0.1)
    return AnalysisRun("dti", "1", Technique.DTI, {}, RunState.DONE, findings=Findings((spread, *numbers[1:])))


def as_files(truth: Truth, results: Record, folder: Path) -> tuple[Path, Path]:
    truth.folder.mkdir(exist_ok=True)
    true.write(truth)
    (folder / "results.json").write_text(json.dumps(results))
    return folder / "results.json", truth.folder / "truth.json"


@pytest.fixture
def results(truth: Truth) -> Record:
    return results_json("1.2.3", ["1.2.4"], [right_run(truth)], phantom=True)


def record(truth: Truth) -> Record:
    return json.loads(json.dumps(true.to_json(truth)))


def test_right_results_pass_and_what_was_put_in_is_not_asked_for(results: Record, truth: Truth) -> None:
    found = compare(results, record(truth))
    assert found.outcome is Outcome.PASS
    assert found.summary == "PASS 5 of 5"
    lines = found.text.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")][:4] == ["quantity", "site", "side", "truth"]
    cells = [cell.strip() for cell in lines[4].split("|")]
    assert cells == ["FA mean", HAND, "left", "0.3", "0.302", "+0.002", "0.01", "pass"]
    assert len({len(line.split("|")) for line in lines[:6]}) == 1
    assert lines[-1] == found.summary


def exchange_sides(values: Record) -> None:
    for one in values["measurements"]:
        one["laterality"] = {"left": "right", "right": "left", None: None}[one["laterality"]]


def change(index: int, **what: object) -> Callable[[Record], None]:
    return lambda values: values["measurements"][index].update(what)


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (exchange_sides, [Verdict.FAIL, Verdict.FAIL]),
        (change(1, unit="mm2/s"), [Verdict.FAIL]),
        (change(1, unit="mm2/s", value=0.00078), [Verdict.FAIL]),
        (change(1, code="DCM:110808"), [Verdict.FAIL]),
        (change(0, value=0.4349), [Verdict.FAIL]),
        (change(0, value=0.4651), [Verdict.FAIL]),
        (change(0, value=float("nan")), [Verdict.FAIL]),
        (change(0, statistic="median"), [Verdict.MISSING, Verdict.UNEXPECTED]),
        (change(0, site="brain"), [Verdict.MISSING, Verdict.UNEXPECTED]),
        (change(3, laterality=None), [Verdict.MISSING, Verdict.UNEXPECTED]),
        (lambda values: values["measurements"].pop(2), [Verdict.MISSING]),
        (
            lambda values: values["measurements"].append({**values["measurements"][0], "site": "brain"}),
            [Verdict.UNEXPECTED],
        ),
    ],
)
def test_what_is_wrong_fails(
    results: Record, truth: Truth, fault: Callable[[Record], None], wanted: list[Verdict]
) -> None:
    fault(results)
    found = compare(results, record(truth))
    assert found.outcome is Outcome.FAIL
    assert [row.verdict for row in found.rows if row.verdict is not Verdict.PASS] == wanted
    assert found.summary.startswith(f"FAIL {len(found.rows) - len(wanted)} of {len(found.rows)}")


def test_a_little_beyond_the_tolerance_is_told_and_passes(results: Record, truth: Truth) -> None:
    change(0, value=0.4640)(results)
    found = compare(results, record(truth))
    assert found.rows[0].verdict is Verdict.WARN
    assert found.outcome is Outcome.PASS
    assert found.summary == "PASS 5 of 5, 1 of them beyond the tolerance but within 1.5 times"


def test_a_wrong_unit_and_a_missing_number_are_named(results: Record, truth: Truth) -> None:
    change(1, unit="mm2/s")(results)
    results["measurements"].pop(3)
    text = compare(results, record(truth)).text
    assert "fail: dti MD mean cerebral white matter 0.7832 (unit mm2/s, not um2/ms)" in text
    assert f"missing: dti FA mean {HAND} left 0.3" in text


def test_an_analysis_that_failed_says_why_its_numbers_are_missing(truth: Truth) -> None:
    broken = AnalysisRun("dti", "1", Technique.DTI, {}, RunState.FAILED, "it crashed")
    found = compare(results_json("1.2.3", [], [broken], phantom=True), record(truth))
    assert found.outcome is Outcome.FAIL
    assert {row.verdict for row in found.rows} == {Verdict.MISSING}
    assert "not run: it crashed" in found.text


def test_a_refusal_is_right_when_it_was_wanted_for_that_reason(results: Record, truth: Truth) -> None:
    spoilt = replace(truth, refuse=(Refusal("dti", "no b-value"),))
    refused = AnalysisRun("dti", "1", Technique.DTI, {}, RunState.NOT_RUN, "No b-value between 600 and 3000 s/mm2.")
    found = compare(results_json("1.2.3", [], [refused], phantom=True), record(spoilt))
    assert found.summary == "PASS 1 of 1"
    assert "refused as expected: dti (No b-value" in found.text
    other = replace(refused, reason="the disk is full")
    assert compare(results_json("1.2.3", [], [other], phantom=True), record(spoilt)).outcome is Outcome.FAIL
    measured = compare(results, record(spoilt))
    assert measured.outcome is Outcome.FAIL
    assert measured.rows[0].verdict is Verdict.MEASURED
    assert {row.verdict for row in measured.rows[1:]} == {Verdict.UNEXPECTED}, "numbers of what had to be refused"


def test_results_of_another_study_or_of_a_patient_are_not_compared(results: Record, truth: Truth) -> None:
    results["study"]["study_uid"] = "1.2.9"
    with pytest.raises(NotComparable, match=r"of study 1\.2\.9, the truth of study 1\.2\.3") as other:
        compare(results, record(truth))
    results["study"] = {"study_uid": "1.2.3", "series_uids": []}
    with pytest.raises(NotComparable, match="of a patient, not of a phantom") as patient:
        compare(results, record(truth))
    assert {other.value.outcome, patient.value.outcome} == {Outcome.OTHER_STUDY}


def test_nothing_in_common_is_neither_pass_nor_fail(results: Record, truth: Truth) -> None:
    for one in results["measurements"]:
        one["analysis"] = "thickness"
    empty = replace(truth, measurements=(), not_run=(NotRun("dti", "no DWI in this study"),))
    none = results_json("1.2.3", [], [], phantom=True)
    for told_of, said in ((truth, results), (truth, none), (empty, results)):
        with pytest.raises(NotComparable, match="nothing in common") as fault:
            compare(said, record(told_of))
        assert fault.value.outcome is Outcome.NOTHING


def test_files_that_are_none_end_with_a_sentence(results: Record, truth: Truth, tmp_path: Path) -> None:
    found, there = as_files(truth, results, tmp_path)
    assert verify(found, there).summary == verify(tmp_path, truth.folder).summary == "PASS 5 of 5"
    for broken, words in (("", "is no JSON"), ("[]", "is no results.json of schema 1"), ('{"schema": 9}', "schema 1")):
        found.write_text(broken)
        with pytest.raises(NotComparable, match=words) as fault:
            verify(found, there)
        assert fault.value.outcome is Outcome.NOTHING
    found.write_text('{"schema": 1, "study": {"study_uid": "1.2.3", "phantom": true}}')
    with pytest.raises(NotComparable, match="form that was promised"):
        verify(found, there)
    with pytest.raises(NotComparable, match="cannot be read: No such file"):
        verify(tmp_path / "nowhere.json", there)


def test_a_number_said_twice_is_no_result(results: Record, truth: Truth) -> None:
    results["measurements"].append(results["measurements"][0])
    with pytest.raises(NotComparable, match="twice"):
        compare(results, record(truth))


MAKER = Maker("0.1.0", "betz-test", "", datetime(2026, 3, 11, 12, 30, tzinfo=UTC))


PHANTOM = Identity("test", 7)
SEQUENCE = Sequence(201, Kind.MPRAGE, "T1", 8.0, 3.5, 8.0, "101600", 300.0, "ROW", ti_ms=900.0, cycle_ms=2300.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small series of the phantom, as the source that a report is written about."""
    series = Acquired(
        SEQUENCE, Slab.around((0.0, 0.0, 0.0), (8, 8, 3), (4.0, 4.0, 4.0)), np.ones((8, 8, 3, 1), np.uint16)
    )
    return sorted(philips.write(tmp_path_factory.mktemp("source"), series, PHANTOM))


def report(
    source: list[Path], runs: list[AnalysisRun], folder: Path, phantom: bool = True, old: Path | None = None
) -> Path:
    """A delivered report, written about the source."""
    series = read_series(source)
    runs = [replace(run, series={"dwi": series}) if run.findings else run for run in runs]
    folder.mkdir(parents=True, exist_ok=True)
    return write_sr(series.first, runs, MAKER, [str(folder)], folder, old, phantom)


@pytest.fixture
def of_source(truth: Truth) -> Truth:
    truth = replace(truth, study_uid=PHANTOM.study_uid)
    truth.folder.mkdir()
    true.write(truth)
    return truth


def test_delivered_reports_say_the_same_as_results_json(of_source: Truth, source: list[Path], tmp_path: Path) -> None:
    why = "no multi-echo gradient-echo series with phase images in the study, and without phase there is nothing to see"
    other = AnalysisRun("qsm", "1", Technique.DTI, {}, RunState.NOT_RUN, why)
    run = right_run(of_source)
    report(source, [run, other], tmp_path / "archive")
    (tmp_path / "archive" / "notes.txt").write_text("not DICOM")
    shutil.copy(source[0], tmp_path / "archive")
    found = verify_dicom(tmp_path / "archive", of_source.folder)
    from_json = compare(results_json(of_source.study_uid, [], [run, other], phantom=True), record(of_source))
    assert found.summary == from_json.summary == "PASS 5 of 5"
    assert [row.verdict for row in found.rows] == [row.verdict for row in from_json.rows]
    for delivered_row, json_row in zip(found.rows, from_json.rows, strict=True):
        assert delivered_row.result == pytest.approx(json_row.result, rel=5e-4), "four digits are sent"
    refuse = replace(of_source, refuse=(Refusal("qsm", why),))
    true.write(refuse)
    assert verify_dicom(tmp_path / "archive", refuse.folder).summary == "PASS 6 of 6", "long reasons come back whole"


def test_a_delivered_report_with_sides_exchanged_fails(of_source: Truth, source: list[Path], tmp_path: Path) -> None:
    run = right_run(of_source)
    assert run.findings is not None
    other_side = {LEFT: RIGHT, RIGHT: LEFT, None: None}
    numbers = tuple(replace(one, laterality=other_side[one.laterality]) for one in run.findings.measurements)
    report(source, [replace(run, findings=Findings(numbers))], tmp_path / "archive")
    found = verify_dicom(tmp_path / "archive", of_source.folder)
    assert [row.side for row in found.rows if row.verdict is Verdict.FAIL] == ["left", "right"]


def test_a_delivered_unit_is_held_against_the_truth(of_source: Truth, source: list[Path], tmp_path: Path) -> None:
    path = report(source, [right_run(of_source)], tmp_path / "archive")
    dataset = pydicom.dcmread(path)
    for item in dataset.iterall():
        if item.keyword == "CodeValue" and item.value == "um2/ms":
            item.value = "mm2/s"
    dataset.save_as(path)
    found = verify_dicom(tmp_path / "archive", of_source.folder)
    assert [(row.quantity, row.note) for row in found.rows if row.verdict is Verdict.FAIL] == [
        ("MD mean", "unit mm2/s, not um2/ms")
    ]


def test_the_newest_report_counts(of_source: Truth, source: list[Path], tmp_path: Path) -> None:
    run = right_run(of_source)
    assert run.findings is not None
    wrong = replace(run, findings=Findings((replace(run.findings.measurements[0], value=0.9),)))
    old = report(source, [wrong], tmp_path / "archive" / "1")
    report(source, [run], tmp_path / "archive" / "2", old=old)
    assert verify_dicom(tmp_path / "archive", of_source.folder).summary == "PASS 5 of 5"


def test_delivered_reports_of_nobody_a_patient_or_another_study(
    of_source: Truth, source: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotComparable, match="no measurement report of Betz lies below") as nothing:
        verify_dicom(tmp_path / "empty", of_source.folder)
    assert nothing.value.outcome is Outcome.NOTHING
    path = report(source, [right_run(of_source)], tmp_path / "archive", phantom=False)
    dataset = pydicom.dcmread(path)
    dataset.QualityControlSubject = "NO"
    dataset.save_as(path)
    with pytest.raises(NotComparable, match="of a patient") as patient:
        verify_dicom(tmp_path / "archive", of_source.folder)
    true.write(replace(of_source, study_uid="1.2.3"))
    with pytest.raises(NotComparable, match="the truth of study") as other:
        verify_dicom(tmp_path / "archive", of_source.folder)
    assert {patient.value.outcome, other.value.outcome} == {Outcome.OTHER_STUDY}
