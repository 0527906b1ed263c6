"""`betz verify`: a table, one last line, and an exit code that a script can use; for files and for what a PACS gave."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from analyses.contract import Findings, Measurement, Technique
from analyses.quantities import FA, MD, WHITE_MATTER
from dicom_io.classify import classify
from dicom_io.header import SeriesHeader, read_folder
from dicom_io.results.findings_json import results_json
from dicom_io.results.report import write_report
from dicom_io.results.run import AnalysisRun, Maker, RunState
from phantom import markers
from service import cli

MAKER = Maker("0.1.0", "betz-test", "+0100", datetime(2026, 3, 11, 12, 30, 5, tzinfo=UTC))
TRUE_FA, TOLERANCE = 0.42, 0.01


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> SeriesHeader:
    """A small series of a phantom."""
    folder = tmp_path_factory.mktemp("phantom")
    markers.write_dwi(folder / "dicom", markers.slab())
    (found,) = read_folder(folder).series
    return found


def truth_of(study_uid: str, **more: Any) -> dict[str, Any]:
    """A truth.json that expects two numbers of DTI."""

    def expected(quantity: str, code: str, unit: str, value: float) -> dict[str, Any]:
        return {
            "analysis": "dti", "quantity": quantity, "code": code, "site": WHITE_MATTER, "laterality": None,
            "statistic": "mean", "value": value, "unit": unit, "kind": "expected", "tolerance": {"abs": TOLERANCE},
        }  # fmt: skip

    measurements = [expected("FA", "DCM:110808", "1", TRUE_FA), expected("MD", "DCM:113202", "um2/ms", 0.8)]
    return {
        "schema": 1, "phantom": {"study_uid": study_uid}, "measurements": measurements, "not_run": [], "refuse": [],
    } | more  # fmt: skip


def run_on(series: SeriesHeader, fa: float) -> AnalysisRun:
    findings = Findings((Measurement(FA, WHITE_MATTER, fa), Measurement(MD, WHITE_MATTER, 0.8)))
    return AnalysisRun("dti", "1", Technique.DTI, {"dwi": series}, RunState.DONE, findings=findings)


@pytest.fixture
def files(series: SeriesHeader, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write results.json with an FA, and the truth; return both paths."""

    def write(fa: float = TRUE_FA, study_uid: str = "", **more: Any) -> tuple[Path, Path]:
        results = results_json(series.first.study_uid, [series.first.series_uid], [run_on(series, fa)], phantom=True)
        paths = tmp_path / "results.json", tmp_path / "truth.json"
        paths[0].write_text(json.dumps(results))
        paths[1].write_text(json.dumps(truth_of(study_uid or series.first.study_uid, **more)))
        return paths

    return write


@pytest.fixture
def export(series: SeriesHeader, tmp_path: Path) -> Callable[[float], Path]:
    """What a PACS writes on a disk: originals, maps and report without extension in folders of its own, a DICOMDIR."""

    def write(fa: float) -> Path:
        folder = tmp_path / "export"
        report = write_report([(series, classify(series))], [run_on(series, fa)], MAKER, tmp_path / "report")
        originals = [one.path for one in series.instances[:3]]
        (folder / "PAT0" / "ST0").mkdir(parents=True)
        for number, path in enumerate([*originals, *report]):
            (folder / "PAT0" / "ST0" / f"IM{number:06d}").write_bytes(path.read_bytes())
        (folder / "AUTORUN.INF").write_text("[autorun]")
        return folder

    return write


def verify(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["verify", *map(str, arguments)])


def test_results_within_their_tolerance_pass(files: Callable[..., tuple[Path, Path]]) -> None:
    result = verify(*files(TRUE_FA + 0.5 * TOLERANCE))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "PASS 2 of 2"
    assert "FA mean" in result.stdout
    assert "0.42" in result.stdout


@pytest.mark.parametrize("off", [-2 * TOLERANCE, 2 * TOLERANCE])
def test_results_beyond_their_tolerance_fail(off: float, files: Callable[..., tuple[Path, Path]]) -> None:
    result = verify(*files(TRUE_FA + off))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "FAIL 1 of 2"


def test_the_folders_of_both_are_enough(files: Callable[..., tuple[Path, Path]]) -> None:
    results, truth = files()
    assert verify(results.parent, truth.parent).exit_code == 0


def test_results_of_another_study_are_told_before_any_number(files: Callable[..., tuple[Path, Path]]) -> None:
    result = verify(*files(study_uid="1.2.3"))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "the truth of study 1.2.3" in result.stderr


def test_the_results_of_a_patient_are_never_held_against_a_truth(files: Callable[..., tuple[Path, Path]]) -> None:
    results, truth = files()
    content = json.loads(results.read_text())
    del content["study"]["phantom"]
    results.write_text(json.dumps(content))
    result = verify(results, truth)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "of a patient" in result.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 9}', '{"schema": 1}'])
def test_what_is_no_results_file_is_one_sentence(text: str, files: Callable[..., tuple[Path, Path]]) -> None:
    results, truth = files()
    results.write_text(text)
    result = verify(results, truth)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [(), ("truth.json",), ("--dicom", "."), ("a", "b", "c")])
def test_how_it_is_called_is_told(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("truth.json", "a", "b", "c"):
        Path(name).write_text("{}")
    result = verify(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "betz verify RESULTS TRUTH, or betz verify --dicom FOLDER TRUTH" in result.stderr


def test_the_report_in_a_pacs_export_is_found_and_read(
    files: Callable[..., tuple[Path, Path]], export: Callable[[float], Path]
) -> None:
    _, truth = files()
    right = verify("--dicom", export(TRUE_FA), truth)
    assert right.exit_code == 0, right.output
    assert right.stdout.splitlines()[-1] == "PASS 2 of 2"


def test_a_wrong_number_in_a_pacs_export_fails(
    files: Callable[..., tuple[Path, Path]], export: Callable[[float], Path]
) -> None:
    _, truth = files()
    assert verify("--dicom", export(TRUE_FA + 3 * TOLERANCE), truth).exit_code == 1


def test_an_export_without_a_report_is_one_sentence(
    files: Callable[..., tuple[Path, Path]], series: SeriesHeader
) -> None:
    _, truth = files()
    result = verify("--dicom", series.first.path.parent, truth)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no measurement report of Betz lies below" in result.stderr


def test_the_shell_gets_the_exit_code(files: Callable[..., tuple[Path, Path]]) -> None:
    command = [sys.executable, "-m", "service.cli", "verify", *map(str, files(TRUE_FA + 1))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "FAIL 1 of 2"
    assert ended.stderr == ""
