"""The report of a study: measurements as SR, summary pages as Secondary Captures with a PNG of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from analyses.contract import Unsuitable
from dicom_io.classify import Role
from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.results import codes, uids
from dicom_io.results.canvas import can_draw
from dicom_io.results.capture import Capture
from dicom_io.results.modules import NewSeries, series_description, source_attributes
from dicom_io.results.page import StudyText, draw_pages
from dicom_io.results.run import AnalysisRun, Maker, middle, same_patient_and_study
from dicom_io.results.sr import write_sr
from dicom_io.results.subject import banner, is_phantom


def write_report(
    series: Sequence[tuple[SeriesHeader, Role]],
    runs: Sequence[AnalysisRun],
    maker: Maker,
    folder: Path,
    predecessor: Path | None = None,
) -> tuple[Path, ...]:
    """Write `measurements.dcm` and `page-<n>.dcm` (beside each `page-<n>.png`); return the DICOM files.

    series: all of the study, with what each was taken for. predecessor: the report that this one replaces.
    `Unsuitable` when the series are of more than one patient or study, or there are none.
    """
    headers = sorted((header for header, _ in series), key=lambda header: header.first.series_uid)
    if not headers:
        raise Unsuitable("the study has no series that could be read")
    same_patient_and_study(headers)
    folder.mkdir(parents=True, exist_ok=True)
    used = sorted((one for run in runs for one in run.sources), key=lambda one: one.first.series_uid)
    patient = middle((used or headers)[0])
    ends = (f"{run.analysis} {run.version} {run.state} {run.reason}" for run in runs)
    taken_for = sorted(f"{header.first.series_uid} {role.kind} {role.body} {role.reason}" for header, role in series)
    key = (uids.digest(headers), *uids.configuration(maker), *taken_for, *ends)
    sr = write_sr(patient, runs, maker, key, folder, predecessor, is_phantom(series))
    return (sr, *_write_pages(patient, used or headers, series, runs, maker, key, folder))


def _write_pages(
    patient: InstanceHeader,
    sources: Sequence[SeriesHeader],
    series: Sequence[tuple[SeriesHeader, Role]],
    runs: Sequence[AnalysisRun],
    maker: Maker,
    key: tuple[str, ...],
    folder: Path,
) -> list[Path]:
    source = source_attributes(patient)
    place = NewSeries(uids.uid(*key, "page series"), codes.PAGE_SERIES, series_description("summary"), "OT")
    capture = Capture(source, tuple(sources), place, maker, folder)
    text = replace(study_text(source, patient, maker), banner=banner(series))
    canvases = draw_pages(text, series, runs)
    return [capture.write(canvas, n, uids.uid(*key, "page", str(n))) for n, canvas in enumerate(canvases, 1)]


def study_text(source: Dataset, patient: InstanceHeader, maker: Maker) -> StudyText:
    """What the header of every page says, from the source as it is."""
    field = f"{patient.field_t:g} T" if patient.field_t else ""
    scanner = ", ".join(part for part in (f"{patient.manufacturer} {patient.model}".strip(), field) if part)
    return StudyText(
        patient=_name(source),
        patient_id=str(source.get("PatientID") or "not given"),
        study_date=_date(str(source.get("StudyDate") or "")),
        scanner=scanner or "scanner not named",
        software=f"Betz {maker.software_version}",
    )


def _name(source: Dataset) -> str:
    """Family, given: the first of the name's groups that the typeface can draw."""
    name = source.get("PatientName")
    groups = str(name or "").split("=")
    shown = next((group for group in groups if group and can_draw(group)), "")
    family, _, rest = shown.partition("^")
    given = " ".join(part for part in rest.split("^") if part)
    return f"{family}, {given}" if family and given else family or given or "name not given"


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 and text.isdigit() else text or "unknown date"
