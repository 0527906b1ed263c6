"""A phantom is told by any of its marks, and everything that is made from it says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import highdicom
import jsonschema
import pydicom
import pytest
from pydicom.dataset import Dataset

from analyses.contract import Findings, Measurement, Technique
from analyses.quantities import FA, WHITE_MATTER
from dicom_io.classify import Role, classify
from dicom_io.header import SeriesHeader, read_folder
from dicom_io.results.findings_json import results_json
from dicom_io.results.report import write_report
from dicom_io.results.run import AnalysisRun, Maker, RunState
from phantom import markers
from tests.dicom_io.results.peers import errors_of_dciodvfy

MAKER = Maker("0.1.0", "betz-test", "+0100", datetime(2026, 3, 11, 12, 30, 5, tzinfo=UTC))
SCHEMA = Path(__file__).parents[2] / "docs" / "results.schema.json"
# element -> what a real patient has there
MARKS = {
    "QualityControlSubject": "NO",
    "PatientName": "Doe^Jane",
    "PatientID": "0815",
    "DeviceSerialNumber": "40112",
    "PatientComments": "",
    "ImageComments": "",
    "StudyDescription": "Brain",
}
TELLING = ("QualityControlSubject", "PatientName", "PatientID", "DeviceSerialNumber", "StudyDescription")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small series as the phantom writes it."""
    folder = tmp_path_factory.mktemp("phantom")
    markers.write_dwi(folder / "dicom", markers.slab())
    return folder


@pytest.fixture
def edited(written: Path, tmp_path: Path) -> Callable[[Callable[[Dataset], None]], SeriesHeader]:
    """The series after an edit of every object."""

    def edit(change: Callable[[Dataset], None]) -> SeriesHeader:
        (tmp_path / "edited").mkdir()
        for path in sorted(written.rglob("*.dcm")):
            dataset = pydicom.dcmread(path)
            change(dataset)
            dataset.save_as(tmp_path / "edited" / path.name)
        (series,) = read_folder(tmp_path / "edited").series
        return series

    return edit


def without(*keywords: str) -> Callable[[Dataset], None]:
    """Put what a patient has in place of these marks."""

    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            setattr(dataset, keyword, MARKS[keyword])

    return change


def test_every_object_bears_every_mark(written: Path) -> None:
    for path in written.rglob("*.dcm"):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert dataset.QualityControlSubject == "YES"
        assert str(dataset.PatientName).startswith("PHANTOM^BETZ")
        assert dataset.PatientID.startswith("BETZ-PHANTOM-")
        assert dataset.DeviceSerialNumber == "BETZ-PHANTOM"
        assert dataset.StudyDescription.startswith("PHANTOM")
        for comment in (dataset.PatientComments, dataset.ImageComments):
            assert comment == "Digital phantom. Not a person."


@pytest.mark.parametrize("mark", MARKS)
def test_a_phantom_without_one_of_its_marks_is_still_a_phantom(mark: str, edited: Callable[..., SeriesHeader]) -> None:
    assert classify(edited(without(mark))).phantom


@pytest.mark.parametrize("mark", TELLING)
def test_one_mark_alone_tells_a_phantom(mark: str, edited: Callable[..., SeriesHeader]) -> None:
    assert classify(edited(without(*(MARKS.keys() - {mark})))).phantom


def test_without_any_mark_it_would_pass_for_a_patient(edited: Callable[..., SeriesHeader]) -> None:
    assert not classify(edited(without(*MARKS))).phantom


def run_on(series: SeriesHeader) -> AnalysisRun:
    findings = Findings((Measurement(FA, WHITE_MATTER, 0.42),))
    return AnalysisRun("dti", "1", Technique.DTI, {"dwi": series}, RunState.DONE, findings=findings)


def report(series: SeriesHeader, folder: Path) -> tuple[Path, ...]:
    return write_report([(series, classify(series))], [run_on(series)], MAKER, folder)


@pytest.mark.parametrize("marks", [TELLING, ("DeviceSerialNumber",), ("PatientID",)])
@pytest.mark.integration
def test_report_and_pages_of_a_phantom_say_so(
    marks: tuple[str, ...],
    edited: Callable[..., SeriesHeader],
    tmp_path: Path,
    program: Callable[[str], str],
) -> None:
    series = edited(without(*(MARKS.keys() - set(marks))))
    sr, *pages = report(series, tmp_path / "report")
    for path in (sr, *pages):
        assert pydicom.dcmread(path, stop_before_pixels=True).QualityControlSubject == "YES"
        assert errors_of_dciodvfy(program, path) == []
    assert ("121024", "113681") in subject_of(sr)


def test_the_report_of_a_patient_bears_no_mark(edited: Callable[..., SeriesHeader], tmp_path: Path) -> None:
    sr, *pages = report(edited(without(*MARKS)), tmp_path / "report")
    for path in (sr, *pages):
        assert pydicom.dcmread(path, stop_before_pixels=True).get("QualityControlSubject") != "YES"
    assert not subject_of(sr)


def subject_of(sr: Path) -> list[tuple[str, str]]:
    """(concept, value) of what the report's first group says of the subject."""
    group = highdicom.sr.srread(sr).content.get_image_measurement_groups()[0]
    said = [(one.name.value, one.value.value) for one in group.get_qualitative_evaluations()]
    return [pair for pair in said if pair[0] == "121024"]


def test_every_page_of_a_phantom_bears_a_banner_and_no_page_of_a_patient(
    edited: Callable[..., SeriesHeader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    from dicom_io.results import report as writer

    draw = writer.draw_pages
    monkeypatch.setattr(writer, "draw_pages", lambda *given: drawn.extend(pages := draw(*given)) or pages)
    series = edited(without())
    patient = Role(classify(series).kind, classify(series).body, phantom=False, reason="", evidence=())
    write_report([(series, classify(series))], [run_on(series)], MAKER, tmp_path / "phantom")
    assert len(drawn) == 2
    for page in drawn:
        assert "PHANTOM, not a patient" in [one.text for one in page.placed]
    drawn.clear()
    write_report([(series, classify(series)), (series, patient)], [run_on(series)], MAKER, tmp_path / "mixed")
    for page in drawn:
        assert any(one.text.startswith("PHANTOM, not a patient: series") for one in page.placed)
    drawn.clear()
    write_report([(series, patient)], [run_on(series)], MAKER, tmp_path / "patient")
    assert not any("not a patient" in one.text for page in drawn for one in page.placed)


def test_results_json_says_that_a_study_is_a_phantom_s_and_nothing_of_a_patient_s() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    phantom = results_json("1.2.3", ["1.2.4"], [], phantom=True)
    patient = results_json("1.2.3", ["1.2.4"], [], phantom=False)
    jsonschema.validate(phantom, schema)
    jsonschema.validate(patient, schema)
    assert phantom["study"]["phantom"] is True
    assert "phantom" not in patient["study"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(replace_study(patient, phantom=False), schema)


def replace_study(results: dict, **values: object) -> dict:
    return results | {"study": results["study"] | values}
