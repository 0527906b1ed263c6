"""An object with a fault does not leave, whatever the fault; a good one does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest

from analyses.contract import Body, RoleKind
from dicom_io.check import Rejected, check
from dicom_io.classify import Role
from dicom_io.header import SeriesHeader
from dicom_io.results.maps import write_maps
from dicom_io.results.report import write_report
from tests.dicom_io.results.peers import converted_by_dcm2niix
from tests.dicom_io.results.test_result_maps import one_volume, real_series, run_on

DWI = Role(RoleKind.DWI, Body.BRAIN, False, "b-values", ())


@pytest.fixture(scope="module")
def objects(make_run, maker, tmp_path_factory):
    """A good object of every kind, and the sources they were made from."""
    folder = tmp_path_factory.mktemp("objects")
    run = make_run("oblique", slices=5, volumes=2)
    maps = write_maps(run, maker, folder)
    report = write_report([(run.series["dwi"], DWI)], [replace(run, maps=maps)], maker, folder)
    named = {path.name: path for path in (*maps, *report)}
    kinds = {"map": "map-fa.dcm", "mr": "mr-fa-003.dcm", "sr": "measurements.dcm", "page": "page-1.dcm"}
    return {kind: named[name] for kind, name in kinds.items()}, [run.series["dwi"]], (*maps, *report)


def test_every_object_that_we_make_may_leave(objects):
    _, sources, everything = objects
    for path in everything:
        check(path, sources)


def test_a_report_that_replaces_another_may_leave(objects, make_run, maker, tmp_path):
    good, sources, _ = objects
    run = make_run("oblique", slices=5, volumes=2)
    newer = write_report([(sources[0], DWI)], [replace(run, version="2")], maker, tmp_path, good["sr"])
    check(newer[0], sources)


def other_patient(ds):
    ds.PatientName = "Somebody^Else"


def other_birth_date(ds):
    ds.PatientBirthDate = "19600103"


def other_study(ds):
    ds.StudyInstanceUID = "1.2.3"


def other_accession(ds):
    ds.AccessionNumber = ""


def illegal_uid(ds):
    ds.SOPInstanceUID = "2.25.0123"
    ds.file_meta.MediaStorageSOPInstanceUID = "2.25.0123"


def two_names(ds):
    ds.file_meta.MediaStorageSOPInstanceUID = "2.25.1"


def uid_of_the_source(ds):
    ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.12.1"


def no_description(ds):
    ds.SeriesDescription = ""


def other_charset(ds):
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = "Y"


OF_ALL = [other_patient, other_birth_date, other_study, other_accession, illegal_uid, two_names, uid_of_the_source,
          no_description, other_charset]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*Invalid value for VR UI.*")
@pytest.mark.parametrize("kind", ["map", "mr", "sr", "page"])
@pytest.mark.parametrize("fault", OF_ALL, ids=lambda fault: fault.__name__)
def test_a_fault_that_any_object_can_have_is_found(kind, fault, objects, tmp_path):
    good, sources, _ = objects
    with pytest.raises(Rejected):
        check(with_fault(good[kind], fault, tmp_path), sources)


def with_fault(path, fault, folder):
    ds = pydicom.dcmread(path)
    fault(ds)
    ds.save_as(folder / "bad.dcm")
    return folder / "bad.dcm"


def a_stranger(ds):
    frame = ds.PerFrameFunctionalGroupsSequence[0]
    frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"


def a_nan(ds):
    pixels = np.frombuffer(ds.FloatPixelData, "<f4").copy()
    pixels[77] = np.nan
    ds.FloatPixelData = pixels.tobytes()


def too_few_pixels(ds):
    ds.FloatPixelData = ds.FloatPixelData[:-400]


def other_frame_of_reference(ds):
    ds.FrameOfReferenceUID = "1.2.3"


def half_a_slice_beyond(ds):
    for frame in ds.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        frame.PlanePositionSequence[0].ImagePositionPatient = [position[0] + 20, position[1], position[2]]


def mirrored(ds):
    shared = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    cosines = [float(one) for one in shared.ImageOrientationPatient]
    shared.ImageOrientationPatient = [-one for one in cosines[:3]] + cosines[3:]


def stretched(ds):
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1.9, 0.95]


def a_plane_twice(ds):
    frames = ds.PerFrameFunctionalGroupsSequence
    frames[1].PlanePositionSequence = frames[0].PlanePositionSequence


def no_qualification(ds):
    del ds.ContentQualification


OF_MAPS = [a_stranger, a_nan, too_few_pixels, other_frame_of_reference, half_a_slice_beyond, mirrored, stretched,
           a_plane_twice, no_qualification]  # fmt: skip


@pytest.mark.parametrize("fault", OF_MAPS, ids=lambda fault: fault.__name__)
def test_a_fault_of_a_map_is_found(fault, objects, tmp_path):
    good, sources, _ = objects
    with pytest.raises(Rejected):
        check(with_fault(good["map"], fault, tmp_path), sources)


def test_a_report_about_somebody_else_s_images_is_found(objects, tmp_path):
    good, sources, _ = objects

    def fault(ds):
        series = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"

    with pytest.raises(Rejected, match="refers to 1 instances"):
        check(with_fault(good["sr"], fault, tmp_path), sources)


def test_a_broken_or_foreign_file_is_found(objects, tmp_path):
    good, sources, _ = objects
    torn = tmp_path / "torn.dcm"
    torn.write_bytes(good["map"].read_bytes()[:3000])
    noise = tmp_path / "noise.dcm"
    noise.write_bytes(b"no DICOM at all" * 100)
    for path in (torn, noise, tmp_path / "absent.dcm", sources[0].first.path):
        with pytest.raises(Rejected):
            check(path, sources)


def test_what_was_asked_of_one_study_is_not_answered_for_another(objects, make_series):
    good, sources, _ = objects
    check(good["map"], sources)
    stranger = make_series("oblique", slices=5, volumes=2, PatientID="P-002")
    with pytest.raises(Rejected, match="PatientID"):
        check(good["map"], [stranger])
    with pytest.raises(Rejected, match="not among its sources"):
        check(good["map"], [SeriesHeader(sources[0].instances[:5])])
    with pytest.raises(Rejected, match="no source"):
        check(good["map"], [])


@pytest.mark.data
@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("siemens-prisma-xa30-enhanced", 10),
        ("siemens-prisma-sagittal-mosaic", 4),
        ("uih-umr770-dwi", 12),
        ("canon-galan-dwi", 8000),
    ],
)
def test_maps_on_real_enhanced_and_tiled_sources_may_leave(name, number, data, program, maker, tmp_path):
    series = real_series(data(name), number)
    volume, affine = converted_by_dcm2niix(program, one_volume(series, tmp_path / "volume"), tmp_path / "source")
    run = run_on(series, volume.shape[:3], affine)
    files = write_maps(run, maker, tmp_path / "maps")
    for path in (*files, *write_report([(series, DWI)], [replace(run, maps=files)], maker, tmp_path / "report")):
        check(path, [series])
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 2]
    off = write_maps(run_on(series, volume.shape[:3], moved), maker, tmp_path / "moved")
    with pytest.raises(Rejected, match="beyond its source"):
        check(off[0], [series])
