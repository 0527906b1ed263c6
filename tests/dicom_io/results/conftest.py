"""Fixtures of the result objects: sources, finished runs, and a maker with a fixed moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from analyses.contract import Technique
from dicom_io.header import SeriesHeader, read_series
from dicom_io.results.maps import write_maps
from dicom_io.results.run import AnalysisRun, Maker, RunState
from tests.dicom_io.results.result_sources import ORIENTATIONS, SLICE_SPACING, findings_on, ras_affine, source_dataset


@pytest.fixture(scope="session")
def make_series(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SeriesHeader]:
    """Write a classic series and read its header; a negative step makes the slices descend."""

    def make(name="axial", slices=12, step=SLICE_SPACING, rows=20, columns=24, volumes=1, charset="ISO_IR 192", **edit):
        folder = tmp_path_factory.mktemp("source")
        row, column = ORIENTATIONS[name]
        for volume in range(volumes):
            for index in range(slices):
                ds = source_dataset(index, row, column, rows, columns, step, volume, charset)
                for keyword, value in edit.items():
                    setattr(ds, keyword, value)
                ds.save_as(folder / f"{volume:02d}-{index:03d}.dcm", enforce_file_format=True)
        return read_series(sorted(folder.glob("*.dcm")))

    return make


@pytest.fixture(scope="session")
def maker() -> Maker:
    return Maker("0.1.0+abc1234", "betz-test", "+0100", datetime(2026, 3, 11, 12, 30, 5, tzinfo=UTC))


@pytest.fixture(scope="session")
def make_run(make_series) -> Callable[..., AnalysisRun]:
    """A finished DTI run on a synthetic classic series (arguments of `make_series`)."""

    def make(*args, **kwargs) -> AnalysisRun:
        series = make_series(*args, **kwargs)
        return AnalysisRun(
            "dti", "1", Technique.DTI, {"dwi": series}, RunState.DONE, findings=findings_on(*ras_affine(series))
        )

    return make


@pytest.fixture
def written_maps(make_run, maker, tmp_path) -> tuple[AnalysisRun, tuple[Path, ...]]:
    run = make_run("oblique", volumes=2)
    return run, write_maps(run, maker, tmp_path / "maps")
