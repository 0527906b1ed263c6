"""`betz analyse`: the service's path without the network; the two files have the form that docs/ promises."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pydicom
import pytest
from click.testing import CliRunner
from PIL import Image

from service import analyse as analysing
from service.analyse import CannotAnalyse, analyse
from service.cli import main
from tests.service.studies import Slice, series_of
from tests.service.test_explain import write

DOCS = Path(__file__).parents[2] / "docs"
FAULTS = (sys.executable, "-P", str(Path(__file__).with_name("faults.py")))
SR, PARAMETRIC_MAP, MR, PAGE = (
    "1.2.840.10008.5.1.4.1.1.88.34",
    "1.2.840.10008.5.1.4.1.1.30",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.7",
)


def read(out: Path, name: str) -> dict[str, Any]:
    """A file of `betz analyse`, held against its schema."""
    values: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    jsonschema.validate(values, json.loads((DOCS / f"{name}.schema.json").read_text()))
    return values


def classes(out: Path) -> list[str]:
    return [str(pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID) for path in (out / "dicom").glob("*.dcm")]


def test_a_study_where_nothing_can_run_is_reported_with_the_reason_and_is_no_failure(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of(description="t1"))
    result = CliRunner().invoke(main, ["analyse", str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "Diffusion tensor imaging: not run (no DWI series)" in result.output
    routing, results = read(tmp_path / "out", "routing"), read(tmp_path / "out", "results")
    assert [(job["state"], job["reason"]) for job in routing["jobs"]] == [("not run", "no DWI series")]
    assert results["measurements"] == []
    assert results["not_run"] == [{"analysis": "dti", "reason": "no DWI series"}]
    assert results["study"] == {"study_uid": Slice().study_uid, "series_uids": [Slice().series_uid]}
    assert set(classes(tmp_path / "out")) == {SR, PAGE}
    for page in (tmp_path / "out" / "figures").glob("*.png"):
        with Image.open(page) as picture:
            assert picture.size == (1600, 1200)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_folders_may_be_given_relative_to_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in", *series_of(description="t1"))
    monkeypatch.chdir(tmp_path)
    (study,) = analyse(Path("in"), Path("out"))
    assert study.failures == ()
    assert set(classes(tmp_path / "out")) == {SR, PAGE}


def test_results_of_an_earlier_run_are_never_read_as_input(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of(description="t1"))
    analyse(folder, folder / "out")
    with pytest.raises(CannotAnalyse, match="would be read as input"):
        analyse(folder, folder / "out")


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of(description="t1"))
    analyse(folder, tmp_path / "out")
    first = {path.name for path in (tmp_path / "out" / "dicom").iterdir()}
    (tmp_path / "out" / "dicom" / "stale.dcm").write_bytes(b"of an earlier version")
    analyse(folder, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "dicom").iterdir()} == first


def test_somebody_else_s_folder_is_not_replaced(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of())
    (tmp_path / "out" / "dicom").mkdir(parents=True)
    (tmp_path / "out" / "dicom" / "precious.dcm").write_bytes(b"original")
    with pytest.raises(CannotAnalyse, match="was not made by betz analyse"):
        analyse(folder, tmp_path / "out")
    assert (tmp_path / "out" / "dicom" / "precious.dcm").read_bytes() == b"original"


def test_results_are_not_written_over_the_folder_that_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "dicom", *series_of())
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(CannotAnalyse, match="while it is read"):
        analyse(folder, tmp_path)
    assert len(list(folder.iterdir())) == len(series_of())


def test_two_patients_under_one_study_give_no_object(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of(), Slice(series=2, patient="P2"))
    analyse(folder, tmp_path / "out")
    assert classes(tmp_path / "out") == []
    assert "two patients" in read(tmp_path / "out", "routing")["jobs"][0]["reason"]


def test_a_report_that_fails_is_a_failure_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysing, "JOB_COMMAND", (*FAULTS, "as raises"))
    folder = write(tmp_path / "in", *series_of(description="t1"))
    result = CliRunner().invoke(main, ["analyse", str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "the process of report ended with code 1" in result.output


@pytest.mark.data
def test_a_real_study_is_analysed_and_another_beside_it_is_kept_apart(
    data: Callable[[str], Path], tmp_path: Path
) -> None:
    told: list[tuple[str, float, str]] = []
    with_dwi, without = analyse(data("siemens-prisma-decubitus"), tmp_path / "out", tell=lambda *one: told.append(one))
    if with_dwi.runs[0].state != "done":
        with_dwi, without = without, with_dwi
    routing, results = read(with_dwi.out, "routing"), read(with_dwi.out, "results")
    assert with_dwi.out == tmp_path / "out" / with_dwi.study_uid
    (job,) = routing["jobs"]
    assert job["state"] == "done"
    assert job["series"]["dwi"] == next(one["series_uid"] for one in routing["series"] if one["role"] == "DWI")
    white_matter = {
        (one["quantity"], one["statistic"]): one["value"]
        for one in results["measurements"]
        if one["site"] == "cerebral white matter"
    }
    assert 0.3 < white_matter["FA", "mean"] < 0.6
    assert 0.6 < white_matter["MD", "mean"] < 1.0
    found = classes(with_dwi.out)
    assert found.count(PARAMETRIC_MAP) == 4
    assert found.count(SR) == 1
    assert {MR, PAGE} < set(found)
    assert [run.reason for run in without.runs] == ["no DWI series"]
    assert {name for name, _, _ in told} == {"dti", "report"}
    assert any(0.1 < fraction < 0.9 for name, fraction, _ in told if name == "dti")
    outcome = with_dwi.outcomes["dti"]
    assert 0 < outcome.cpu_s < 120
    assert 50 < outcome.peak_mb < 2000


@pytest.mark.data
def test_a_real_phantom_is_turned_down(data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(data("ge-pioneer-dwi-phantom"), folder)
    (study,) = analyse(folder, tmp_path / "out")
    assert study.runs[0].state == "not run"
    assert "phantom" in study.runs[0].reason
    assert study.failures == ()
