"""`betz explain`: every series with role and reason, the plan of every analysis, unreadable files; nothing is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from analyses.registry import ANALYSES
from service.explain import LISTED_FILES, explain, lines
from service.routing import TWO_PATIENTS, rules_of
from tests.service.studies import ROLES, Slice, data_set, series_of

RULES = rules_of(ROLES)


def write(folder: Path, *slices: Slice) -> Path:
    folder.mkdir(exist_ok=True)
    for one in slices:
        made = data_set(one)
        made.ensure_file_meta()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.save_as(folder / f"{one.uid}.dcm", enforce_file_format=True)
    return folder


def test_a_series_is_told_by_its_partner_in_the_study(tmp_path: Path) -> None:
    for number, variant in ((1, ["SP", "MTC"]), (2, ["SP"])):
        for one in series_of(series=number, description="gre"):
            pulsed = data_set(one)
            pulsed.ScanningSequence, pulsed.SequenceVariant, pulsed.MRAcquisitionType = "GR", variant, "3D"
            pulsed.RepetitionTime, pulsed.EchoTime, pulsed.FlipAngle = 35, 4, 9
            pulsed.ensure_file_meta()
            pulsed.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            pulsed.save_as(tmp_path / f"{one.uid}.dcm", enforce_file_format=True)
    assert [one["role"] for one in explain(tmp_path).to_json()["series"]] == ["MT on", "MT off"]


def test_the_folder_is_told_in_the_form_of_routing_json(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of(), *series_of(series=2, description="t1"))
    told = explain(folder, RULES).to_json()
    assert told["schema"] == 1
    assert [(one["series_uid"], one["role"], one["body"], one["instances"]) for one in told["series"]] == [
        (Slice().series_uid, "DWI", "brain", 3),
        (Slice(series=2).series_uid, "T1", "brain", 3),
    ]
    assert all(one["reason"] for one in told["series"])
    assert [job["analysis"] for job in told["jobs"]] == [analysis.name for analysis in ANALYSES]
    json.dumps(told, allow_nan=False)


def test_a_diffusion_series_without_directions_is_not_planned_and_the_reason_names_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of())
    (job,) = (job for job in explain(folder, RULES).to_json()["jobs"] if job["analysis"] == "dti")
    assert job["state"] == "not run"
    assert job["reason"].startswith("series 1: ")
    assert job["series"] == {}


def test_several_studies_are_kept_apart(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of(), *series_of(study=2))
    explanation = explain(folder, RULES)
    assert [study.study_uid for study in explanation.studies] == [Slice().study_uid, Slice(study=2).study_uid]
    assert [len(study.series) for study in explanation.studies] == [1, 1]
    assert len(explanation.to_json()["jobs"]) == 2 * len(ANALYSES)


def test_two_patients_under_one_study_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of(), Slice(series=2, patient="P2"))
    assert {job["reason"] for job in explain(folder, RULES).to_json()["jobs"]} == {TWO_PATIENTS}


def test_files_that_are_not_dicom_are_listed_with_the_reason(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of())
    (folder / "notes.txt").write_text("not DICOM")
    (folder / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    (folder / "empty.dcm").write_bytes(b"")
    explanation = explain(folder, RULES)
    assert sorted(path.name for path, _ in explanation.unreadable) == ["broken.dcm", "empty.dcm", "notes.txt"]
    assert all(reason for _, reason in explanation.unreadable)
    text = "\n".join(lines(explanation))
    assert "notes.txt" in text
    assert len(explanation.studies) == 1


def test_a_thousand_files_that_are_not_dicom_do_not_fill_the_screen(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of())
    for number in range(LISTED_FILES + 7):
        (folder / f"note{number}.txt").write_text("not DICOM")
    assert "  and 7 more" in list(lines(explain(folder, RULES)))


def test_an_empty_folder_is_told_as_such(tmp_path: Path) -> None:
    assert list(lines(explain(tmp_path))) == ["no DICOM series here"]


def test_no_line_names_the_patient(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of())
    explanation = explain(folder, RULES)
    told = "\n".join(lines(explanation)) + json.dumps(explanation.to_json())
    assert "Geheim" not in told
    assert "19600101" not in told


@pytest.mark.data
def test_the_real_study_of_one_person_is_understood(data: Callable[[str], Path]) -> None:
    told = explain(data("philips-elition-study")).to_json()
    assert [one["role"] for one in told["series"]] == ["T1", "multi-echo GRE", "DWI"]
    (job,) = (job for job in told["jobs"] if job["analysis"] == "dti")
    assert job["state"] == "planned"
    assert job["series"]["dwi"] == next(one["series_uid"] for one in told["series"] if one["role"] == "DWI")


@pytest.mark.data
def test_a_real_phantom_is_turned_down_with_a_reason(data: Callable[[str], Path]) -> None:
    (job,) = (job for job in explain(data("ge-pioneer-dwi-phantom")).to_json()["jobs"] if job["analysis"] == "dti")
    assert job["state"] == "not run"
    assert "phantom" in job["reason"]
