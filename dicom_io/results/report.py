"""The report of a study: measurements as SR, summary pages as Secondary Captures with a PNG of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analyses.contract import Unsuitable
from dicom_io.classify import Role
from dicom_io.header import SeriesHeader
from dicom_io.results import uids
from dicom_io.results.run import AnalysisRun, Maker, middle, same_patient_and_study
from dicom_io.results.sr import write_sr


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
    key = (uids.digest(headers), *uids.configuration(maker), *ends)
    sr = write_sr(patient, runs, maker, key, folder, predecessor)
    return (sr,)
