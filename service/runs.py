"""A run as it lies in its results folder: from `RunOrder` to the `AnalysisRun` that report and files are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from analyses.contract import Figure, Findings, Technique
from dicom_io.header import SeriesHeader
from dicom_io.results import findings_json
from dicom_io.results.run import AnalysisRun, RunState
from service.order import FINDINGS_FILE, OUTCOME_FILE, Outcome, RunOrder


def run_of(run: RunOrder, headers: Mapping[str, SeriesHeader]) -> AnalysisRun:
    """Return the run with its series' headers, its findings (figures included) and the paths of its maps."""
    findings = None
    map_paths: tuple[Path, ...] = ()
    if run.folder:
        folder = Path(run.folder)
        findings = read_findings(folder)
        map_paths = tuple(folder / one.file for one in Outcome.read(folder / OUTCOME_FILE).objects)
    return AnalysisRun(
        run.analysis,
        run.version,
        Technique(run.technique),
        {need: headers[uid] for need, uid in run.inputs.items() if uid in headers},
        RunState(run.state),
        run.reason,
        findings,
        map_paths,
    )


def read_findings(folder: Path) -> Findings:
    """Findings of a results folder, figures with them; maps lie there as DICOM."""
    findings = findings_json.from_json(json.loads((folder / FINDINGS_FILE).read_text("utf-8")))
    figures = tuple(_figure(folder / file, caption) for file, caption in Outcome.read(folder / OUTCOME_FILE).figures)
    return replace(findings, figures=figures)


def _figure(path: Path, caption: str) -> Figure:
    with Image.open(path) as picture:
        return Figure(path.stem, caption, np.asarray(picture.convert("RGB")))
