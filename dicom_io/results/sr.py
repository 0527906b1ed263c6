"""Comprehensive 3D SR of a study, TID 1500: what was measured, how well, on which images, and what was not run.

The content tree is built with highdicom's templates; the document around it here, so that thousands of source instances
cost no time and the bytes repeat from run to run. PS3.3 A.35.13, PS3.16 TID 1500, 1501, 1600, 4019.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pydicom
from highdicom.sr import MeasurementReport, ObservationContext
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.results import codes, uids
from dicom_io.results.encoding import around, element, merge, sequence, write_file
from dicom_io.results.modules import (
    NewSeries,
    name_private_scheme,
    new_object,
    reference,
    series_description,
    source_attributes,
)
from dicom_io.results.run import AnalysisRun, Maker
from dicom_io.results.sources import REFERENCED_SERIES, SERIES, SOP_CLASS, SOP_INSTANCE
from dicom_io.results.sr_groups import (
    library,
    measured_groups,
    not_run_group,
    observer,
    quality_group,
    research_group,
)

EVIDENCE, REFERENCED_SOPS, STUDY = 0x0040_A375, 0x0008_1199, 0x0020_000D
FILE_NAME = "measurements.dcm"


def write_sr(
    patient: InstanceHeader,
    runs: Sequence[AnalysisRun],
    maker: Maker,
    key: Iterable[str],
    folder: Path,
    predecessor: Path | None,
    phantom: bool,
) -> Path:
    """Write `measurements.dcm`; `patient`: an instance of the study, `key`: what its UIDs are made from."""
    source = source_attributes(patient)
    series = NewSeries(uids.uid(*key, "sr series"), codes.REPORT_SERIES, series_description("measurements"), "SR")
    ds = new_object(source, Comprehensive3DSRStorage, uids.uid(*key, "sr"), 1, series, maker)
    name_private_scheme(ds)
    ds.CompletionFlag, ds.PreliminaryFlag, ds.VerificationFlag = "COMPLETE", "PRELIMINARY", "UNVERIFIED"
    ds.PerformedProcedureCodeSequence, ds.ReferencedPerformedProcedureStepSequence = [], []
    if predecessor is not None:
        ds.PredecessorDocumentsSequence = [_predecessor(predecessor)]
    for content in _content(source, runs, maker, phantom):
        ds.add(content)
    own = {}
    sources = _sources(runs)
    if sources:
        maps = [path for run in runs for path in run.maps]
        own[EVIDENCE] = _evidence(patient.study_uid, sources, maps)
    return write_file(folder / FILE_NAME, ds.file_meta, merge(around(ds, own), own))


def _sources(runs: Iterable[AnalysisRun]) -> list[SeriesHeader]:
    by_uid = {series.first.series_uid: series for run in runs for series in run.sources}
    return [by_uid[uid] for uid in sorted(by_uid)]


def _content(patient: Dataset, runs: Sequence[AnalysisRun], maker: Maker, phantom: bool) -> Dataset:
    groups = [research_group(patient, phantom)]
    for run in runs:
        if run.findings is None:
            groups.append(not_run_group(patient, run))
        else:
            groups += measured_groups(patient, run)
            groups.append(quality_group(patient, run))
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(maker)),
        procedure_reported=codes.concept(codes.PROCEDURE),
        imaging_measurements=groups,
        title=codes.concept(codes.REPORT_TITLE),
    )
    root: Dataset = report[0]
    sources = _sources(runs)
    if sources:  # TID 1500 wants the library before the measurements, which come last
        root.ContentSequence.insert(len(root.ContentSequence) - 1, library(sources))
    return root


def _evidence(study_uid: str, sources: Sequence[SeriesHeader], maps: Iterable[Path]) -> bytes:
    """Current Requested Procedure Evidence: every source instance and every map, grouped by series."""
    by_series: dict[str, list[bytes]] = defaultdict(list)
    for instance in (instance for series in sources for instance in series.instances):
        by_series[instance.series_uid].append(_reference(instance.sop_class_uid, instance.sop_instance_uid))
    for path in maps:
        header = pydicom.dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"])
        by_series[str(header.SeriesInstanceUID)].append(_reference(header.SOPClassUID, header.SOPInstanceUID))
    items = [
        sequence(REFERENCED_SOPS, references) + element(SERIES, "UI", uid.encode("ascii"))
        for uid, references in by_series.items()
    ]
    study = sequence(REFERENCED_SERIES, items) + element(STUDY, "UI", study_uid.encode("ascii"))
    return sequence(EVIDENCE, [study])


def _reference(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    sop_class = element(SOP_CLASS, "UI", sop_class_uid.encode("ascii"))
    return sop_class + element(SOP_INSTANCE, "UI", sop_instance_uid.encode("ascii"))


def _predecessor(path: Path) -> Dataset:
    """The report that this one replaces."""
    wanted = ["StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID"]
    old = pydicom.dcmread(path, specific_tags=wanted)
    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID = old.SeriesInstanceUID
    series.ReferencedSOPSequence = [reference(old.SOPClassUID, old.SOPInstanceUID)]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = old.StudyInstanceUID, [series]
    return study
