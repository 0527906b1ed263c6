"""All map objects of a run: a Parametric Map and a classic MR series for every map of its findings."""

from __future__ import annotations

from pathlib import Path

from dicom_io.results.mr_copy import write_mr_copy
from dicom_io.results.parametric import write_parametric_map
from dicom_io.results.placed import place
from dicom_io.results.run import AnalysisRun, Maker, same_patient_and_study


def write_maps(run: AnalysisRun, maker: Maker, folder: Path) -> tuple[Path, ...]:
    """Write `map-<quantity>.dcm` and `mr-<quantity>-<slice>.dcm` for every map of the run; return the files.

    Nothing to write is no error. ValueError for a map that no image can carry (no finite value, sheared axes, a scale
    that does not fit); `Unsuitable` when the sources belong to more than one patient or study.
    """
    same_patient_and_study(run.series.values())
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for placed in place(run, maker):
        written.append(write_parametric_map(placed, folder))
        written += write_mr_copy(placed, folder)
    return tuple(written)
