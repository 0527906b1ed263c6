"""The measurement report says everything once, in codes, and three other readers agree on what it says."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from dataclasses import replace

import highdicom
import pydicom
import pytest

from analyses.contract import Body, Laterality, Measurement, Provenance, RoleKind, Technique, Unsuitable
from analyses.quantities import FA, WHITE_MATTER
from dicom_io.classify import Role
from dicom_io.results.maps import write_maps
from dicom_io.results.report import write_report
from dicom_io.results.run import AnalysisRun, RunState
from tests.dicom_io.results.peers import errors_of_dciodvfy

DWI = Role(RoleKind.DWI, Body.BRAIN, False, "b-values", ())
LONG_REASON = (
    "no multi-echo gradient-echo series with phase images in the study: the scanner sent magnitude only, "
    "and without phase there is no susceptibility"
)
NOT_RUN = AnalysisRun("qsm", "1", Technique.DTI, {}, RunState.NOT_RUN, LONG_REASON)


@pytest.fixture
def finished(make_run, maker, tmp_path) -> AnalysisRun:
    run = make_run("oblique", slices=6, volumes=2)
    return replace(run, maps=write_maps(run, maker, tmp_path / "maps"))


@pytest.fixture(autouse=True)
def without_pages(request, monkeypatch):
    """Pages cost more than the report; only the test of bytes draws them."""
    if "bytes" not in request.node.name:
        monkeypatch.setattr("dicom_io.results.report.draw_pages", lambda *_: ())


@pytest.fixture
def report(finished, maker, tmp_path):
    return write_report(studied(finished), [finished, NOT_RUN], maker, tmp_path / "report")[0]


def studied(run):
    return [(series, DWI) for series in run.series.values()]


def groups_of(path):
    return highdicom.sr.srread(path).content.get_image_measurement_groups()


def numbers_of(group):
    """(code, statistic or "", value, unit) of every measurement of a group."""
    return [
        (one.name.value, one.derivation.meaning if one.derivation else "", one.value, one.unit.value)
        for one in group.get_measurements()
    ]


def evaluations_of(group):
    return [(one.name.meaning, one.value.meaning) for one in group.get_qualitative_evaluations()]


def test_the_research_statement_comes_first(report):
    first = groups_of(report)[0]
    assert evaluations_of(first) == [("Intended use", "Research use only, not for diagnosis")]


def test_every_number_of_a_site_is_there_with_its_statistic_and_unit(report):
    group = next(one for one in groups_of(report) if one.tracking_identifier == "dti cerebral white matter")
    assert numbers_of(group) == [
        ("110808", "Mean", 0.4322, "1"),
        ("110808", "Standard Deviation", 0.1101, "1"),
        ("110808", "Median", 0.43, "1"),
        ("113202", "Mean", 0.7912, "um2/ms"),
        ("113202", "Standard Deviation", 0.0543, "um2/ms"),
        ("NVOX", "", 81234, "{voxels}"),
    ]
    assert group.finding_sites[0].value.value == "68523003"


def test_a_limited_number_carries_its_reason(report):
    group = next(one for one in groups_of(report) if one.tracking_identifier == "dti brain")
    assert evaluations_of(group) == [("Imaging Series Quality", "Limited image quality"), ("Note", "motion")]


def test_the_quality_group_has_each_check_and_the_sentences(report):
    group = next(one for one in groups_of(report) if one.tracking_identifier == "dti image quality")
    assert [(value, unit) for _, _, value, unit in numbers_of(group)] == [(21.5, "1"), (3, "{volumes}")]
    assert ("Note", "3 of 17 volumes dropped") in evaluations_of(group)


def test_what_was_not_run_says_why_in_full(report):
    group = next(one for one in groups_of(report) if one.tracking_identifier == "qsm not run")
    said = evaluations_of(group)
    assert said[0] == ("Analysis status", "Not run: an input is missing")
    assert " ".join(text for name, text in said if name == "Reason") == LONG_REASON
    assert all(len(text) <= 64 for _, text in said)


def test_sides_are_groups_of_their_own(finished, maker, tmp_path):
    sides = (
        Measurement(FA, WHITE_MATTER, 0.40, laterality=Laterality.LEFT),
        Measurement(FA, WHITE_MATTER, 0.45, laterality=Laterality.RIGHT),
    )
    run = replace(finished, findings=replace(finished.findings, measurements=sides))
    groups = groups_of(write_report(studied(run), [run], maker, tmp_path)[0])
    found = {one.finding_sites[0].laterality.meaning: numbers_of(one)[0][2] for one in groups if one.finding_sites}
    assert found == {"Left": 0.40, "Right": 0.45}


def test_a_z_score_without_its_population_is_not_sent(finished, maker, tmp_path):
    numbers = (Measurement(FA, WHITE_MATTER, 0.4, z=-2.5),)
    bare = replace(finished, findings=replace(finished.findings, measurements=numbers))
    path = write_report(studied(bare), [bare], maker, tmp_path / "bare")[0]
    assert b"Z-Score" not in path.read_bytes()
    norms = (Provenance("norms of this site: 40 controls, 45 to 75 years", "3"),)
    known = replace(bare, findings=replace(bare.findings, provenance=norms))
    path = write_report(studied(known), [known], maker, tmp_path / "known")[0]
    assert b"Z-Score of measurement" in path.read_bytes()
    assert b"Betz reference set 3" in path.read_bytes()


def test_evidence_holds_every_source_and_every_map_and_the_library_one_image_a_series(report, finished):
    ds = pydicom.dcmread(report)
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    sources = {one.sop_instance_uid for one in finished.series["dwi"].instances}
    maps = {pydicom.dcmread(path).SOPInstanceUID for path in finished.maps}
    assert evidence == sources | maps
    library = next(
        item for item in ds.ContentSequence if "ConceptNameCodeSequence" in item
        and item.ConceptNameCodeSequence[0].CodeMeaning == "Image Library"
    )  # fmt: skip
    assert len(library.ContentSequence[0].ContentSequence) == 1


def test_tracking_uids_follow_the_patient_through_studies_and_versions(finished, make_run, maker, tmp_path):
    def tracked(run, folder):
        path = write_report(studied(run), [run], maker, tmp_path / folder)[0]
        return [one.tracking_uid for one in groups_of(path)]

    first = tracked(finished, "a")
    later = make_run("axial", slices=3, StudyInstanceUID="1.2.3.4")
    assert tracked(replace(later, version="2"), "b") == first
    stranger = make_run("axial", slices=3, PatientID="P-002")
    assert not set(tracked(stranger, "c")) & set(first)
    nobody, nobody_else = (
        make_run("axial", slices=3, PatientID="", StudyInstanceUID=uid) for uid in ("1.2.5", "1.2.6")
    )
    assert not set(tracked(nobody, "d")) & set(tracked(nobody_else, "e"))


def test_a_new_report_names_the_one_it_replaces(report, finished, maker, tmp_path):
    newer = replace(finished, version="2")
    path = write_report(studied(newer), [newer], maker, tmp_path / "new", predecessor=report)[0]
    old, new = pydicom.dcmread(report), pydicom.dcmread(path)
    (study,) = new.PredecessorDocumentsSequence
    reference = study.ReferencedSeriesSequence[0]
    assert reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert (study.StudyInstanceUID, reference.SeriesInstanceUID) == (old.StudyInstanceUID, old.SeriesInstanceUID)
    assert new.SOPInstanceUID != old.SOPInstanceUID


def test_the_same_report_has_the_same_bytes(finished, maker, tmp_path):
    def digests(folder):
        write_report(studied(finished), [finished, NOT_RUN], maker, tmp_path / folder)
        return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in (tmp_path / folder).iterdir()}

    assert len(digests("a")) == 5  # the report, two pages and their pictures
    assert digests("a") == digests("b")


def test_a_run_that_ended_otherwise_gets_another_report(finished, maker, tmp_path):
    failed = replace(NOT_RUN, state=RunState.FAILED, reason="it ran out of memory")
    uids = {
        pydicom.dcmread(write_report(studied(finished), [finished, other], maker, tmp_path / name)[0]).SOPInstanceUID
        for name, other in (("a", NOT_RUN), ("b", failed))
    }
    assert len(uids) == 2


def test_nothing_could_run_and_the_report_says_so(finished, maker, tmp_path, program):
    path = write_report(studied(finished), [NOT_RUN], maker, tmp_path)[0]
    assert [one.tracking_identifier for one in groups_of(path)] == ["Intended use", "qsm not run"]
    assert errors_of_dciodvfy(program, path) == []


def test_a_study_without_series_or_with_two_patients_has_no_report(finished, make_series, maker, tmp_path):
    with pytest.raises(Unsuitable):
        write_report([], [], maker, tmp_path)
    with pytest.raises(Unsuitable, match="two patients"):
        write_report(
            [*studied(finished), (make_series("axial", slices=2, PatientID="P-002"), DWI)], [], maker, tmp_path
        )


@pytest.mark.integration
def test_other_programs_read_the_report(report, program, tmp_path):
    assert errors_of_dciodvfy(program, report) == []
    dump = subprocess.run(["/usr/bin/dsrdump", report], capture_output=True, text=True, check=True)
    assert 'NUM:(,,"Fractional Anisotropy")="0.4322" (1,UCUM,"no units")' in dump.stdout
    assert 'CODE:(,,"Intended use")=(RESEARCH,99BETZ' in dump.stdout
    out = tmp_path / "sr.json"
    command = [program("tid1500reader"), "--inputDICOM", report, "--outputMetadata", out]
    subprocess.run(list(map(str, command)), capture_output=True, check=True)
    read = json.loads(out.read_text("utf-8"))
    values = {
        (item["quantity"]["CodeValue"], float(item["value"]))
        for group in read["Measurements"]
        for item in group["measurementItems"]
    }
    assert {("110808", 0.4322), ("113202", 0.7912), ("118565006", 1412.0)} <= values


def test_two_thousand_sources_and_sixty_groups_stay_cheap(make_series, maker, tmp_path):
    few = make_series("axial", slices=1)
    template = few.first
    many = replace(
        few,
        instances=tuple(replace(template, sop_instance_uid=f"1.2.3.{n}", instance_number=n) for n in range(2000)),
    )
    run = AnalysisRun("dti", "1", Technique.DTI, {"dwi": many}, RunState.DONE, findings=None)
    runs = [replace(run, state=RunState.NOT_RUN, reason=f"reason {n}") for n in range(60)]
    started = time.process_time()
    path = write_report([(many, DWI)], runs, maker, tmp_path)[0]
    assert time.process_time() - started < 1.5
    assert path.stat().st_size < 400_000
