"""The whole path with real peers: DCMTK sends a real study to `betz serve`, the results come back to Orthanc.

One scenario, told once and looked at by every test: a study that lacks one slice of its DWI and one of its T1; the
missing DWI slice; the missing T1 slice; everything again; and one object with other bytes under a known UID.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pydicom
import pytest
import sqlalchemy as sa

from service import ledger as tables
from service.demo import Found, free_port, measurements
from service.ledger import Ledger
from tests.service.conftest import Orthanc

pytestmark = [pytest.mark.integration, pytest.mark.data, pytest.mark.timeout(900)]

ASSOCIATIONS = 4
PATIENCE_S = 400
SR, PARAMETRIC_MAP, MR, PAGE = (
    "1.2.840.10008.5.1.4.1.1.88.34",
    "1.2.840.10008.5.1.4.1.1.30",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.7",
)
# Tract means of healthy adults at 3 T, b = 1000 s/mm2, lie between 0.40 and 0.60 (FA) and 0.70 and 0.85 um2/ms (MD):
# Lebel 2008, 10.1016/j.neuroimage.2007.12.053. White matter as a whole holds crossings and edges, so its means lie low.
HEALTHY_FA = (0.38, 0.55)
HEALTHY_MD = (0.65, 0.90)
ROLES = {1301: ("T1", "brain"), 2001: ("multi-echo GRE", "brain"), 2201: ("DWI", "brain")}


class Betz:
    """A `betz serve` of our own and its status page."""

    def __init__(self, folder: Path, pacs: Orthanc) -> None:
        self.port, self.status_port, self.folder = free_port(), free_port(), folder
        self.config = folder / "betz.toml"
        self.config.write_text(
            f"""[spool]
path = "{folder / "spool"}"
reserve_mb = 100
[receive]
host = "127.0.0.1"
port = {self.port}
[[receive.peers]]
ae_title = "STORESCU"
[settle]
quiet_s = 3
[[deliver.destinations]]
name = "pacs"
ae_title = "{pacs.ae_title}"
host = "127.0.0.1"
port = {pacs.port}
[status]
port = {self.status_port}
"""
        )
        self.child: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        command = [sys.executable, "-m", "service.cli", "serve", "--config", str(self.config)]
        with (self.folder / "betz.log").open("a") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self.until(lambda: self.answers("/readyz"), 60)
            yield
        finally:
            self.child.send_signal(signal.SIGTERM)
            assert self.child.wait(60) == 0, self.log()

    def log(self) -> str:
        return (self.folder / "betz.log").read_text()

    def answers(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.page(path))
        return False

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}{path}", timeout=20) as answer:
            text: str = answer.read().decode()
        return text

    def ledger(self, query: sa.Select[Any]) -> list[Any]:
        ledger = Ledger(f"sqlite:///{self.folder / 'betz.db'}")
        try:
            return list(ledger.all(query))
        finally:
            ledger.close()

    def until(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.2)
        raise AssertionError(f"not after {seconds} s; the log ends: {self.log()[-3000:]}")

    def finished(self, version: int) -> bool:
        """Version `version` of the one study is finished and all its results were found in the PACS."""
        (study,) = self.ledger(sa.select(tables.studies)) or [{"state": "", "version": 0}]
        dead = self.ledger(sa.select(tables.jobs.c.reason).where(tables.jobs.c.state == "dead"))
        assert not dead, [row["reason"] for row in dead]
        deliveries = self.ledger(sa.select(tables.deliveries.c.state).distinct())
        return (study["state"], study["version"]) == ("finished", version) and {row["state"] for row in deliveries} == {
            "confirmed"
        }


@dataclass
class Scenario:
    """What was seen at each stage."""

    betz: Betz
    objects: dict[str, list[pydicom.Dataset]] = field(default_factory=dict)  # stage -> what the PACS held
    jobs: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)  # stage -> analysis -> (state, reason)
    roles: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    index: str = ""
    study: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0

    def look(self, stage: str, pacs: Orthanc) -> None:
        self.objects[stage] = list(held(pacs))
        rows = self.betz.ledger(sa.select(tables.jobs).order_by(tables.jobs.c.created_at))
        self.jobs[stage] = {
            row["analysis"]: (row["state"], row["reason"]) for row in rows if row["state"] != "superseded"
        }

    def kinds(self, stage: str) -> Counter[str]:
        return Counter(str(one.SOPClassUID) for one in self.objects[stage])

    def named(self, stage: str, description: str) -> list[pydicom.Dataset]:
        return [one for one in self.objects[stage] if re.search(description, str(one.SeriesDescription))]


def held(pacs: Orthanc) -> Iterator[pydicom.Dataset]:
    for key in pacs.rest("/instances"):
        with urllib.request.urlopen(f"http://{pacs.host}:{pacs.http_port}/instances/{key}/file", timeout=20) as answer:
            yield pydicom.dcmread(io.BytesIO(answer.read()))


def send(storescu: str, files: Sequence[Path], port: int) -> None:
    def share(of: Sequence[Path]) -> None:
        command = [storescu, "-aet", "STORESCU", "-aec", "BETZ", "127.0.0.1", str(port), *map(str, of)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TCP_NODELAY": "1"})

    with ThreadPoolExecutor(ASSOCIATIONS) as pool:
        list(pool.map(share, [files[k::ASSOCIATIONS] for k in range(min(ASSOCIATIONS, len(files)))]))


def files_by_series(folder: Path) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with contextlib.suppress(pydicom.errors.InvalidDicomError):
            number = int(pydicom.dcmread(path, specific_tags=["SeriesNumber"]).SeriesNumber)
            found.setdefault(number, []).append(path)
    return found


@pytest.fixture(scope="module")
def scenario(
    data: Callable[[str], Path], program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenario]:
    folder = tmp_path_factory.mktemp("path")
    study = files_by_series(data("philips-elition-study"))
    late_dwi, late_t1 = study[2201].pop(700), study[1301].pop(80)
    files = [path for number in sorted(study) for path in study[number]]
    storescu = program("storescu")
    pacs = Orthanc(program("Orthanc"), folder / "pacs")
    pacs.start()
    betz = Betz(folder, pacs)
    told = Scenario(betz)
    try:
        with betz.serving():
            send(storescu, files, betz.port)
            betz.until(lambda: betz.finished(1))
            told.look("incomplete", pacs)
            send(storescu, [late_dwi], betz.port)
            betz.until(lambda: betz.finished(2))
            told.look("dwi complete", pacs)
            send(storescu, [late_t1], betz.port)
            betz.until(lambda: betz.finished(3))
            told.look("complete", pacs)
            send(storescu, [*files[::50], late_dwi], betz.port)
            changed = pydicom.dcmread(late_dwi)
            changed.PixelData = bytes(len(changed.PixelData))
            changed.save_as(folder / "changed.dcm")
            send(storescu, [folder / "changed.dcm"], betz.port)
            betz.until(
                lambda: bool(betz.ledger(sa.select(tables.instances).where(tables.instances.c.state == "quarantined"))),
                30,
            )
            time.sleep(6)  # twice the quiet time: whatever these repetitions might have started would have begun
            assert betz.finished(3), betz.log()[-3000:]
            told.look("again", pacs)
            for row in betz.ledger(sa.select(tables.series)):
                told.roles[row["number"]] = (row["role"], row["body"], row["reason"])
            told.index = betz.page("/")
            told.study = betz.page(f"/study/{betz.ledger(sa.select(tables.studies))[0]['study_uid']}")
            told.peak_mb = (
                sum(one.memory_info().rss for one in psutil.Process(betz.child.pid).children(recursive=True)) / 2**20
            )  # type: ignore[union-attr]
        yield told
    finally:
        pacs.stop()


def test_every_series_gets_its_role_and_says_why(scenario: Scenario) -> None:
    assert {number: role[:2] for number, role in scenario.roles.items()} == ROLES
    assert all(len(reason) > 20 for _, _, reason in scenario.roles.values())


def test_an_incomplete_series_is_not_analysed_and_the_missing_slice_is_named(scenario: Scenario) -> None:
    report = next(one for one in scenario.objects["incomplete"] if one.SOPClassUID == SR)
    assert not scenario.kinds("incomplete")[PARAMETRIC_MAP]
    text = str(report)
    assert "1393 of 1394" in text


def test_results_come_back_with_nobody_touching_it(scenario: Scenario) -> None:
    kinds = scenario.kinds("complete")
    assert kinds[PARAMETRIC_MAP] == 4
    assert kinds[PAGE] >= 2
    assert {
        str(one.SeriesDescription)
        for one in scenario.named("complete", "^Betz (FA|MD|AD|RD)")
        if one.SOPClassUID == PARAMETRIC_MAP
    }
    maps = {str(one.ContentLabel): one for one in scenario.objects["complete"] if one.SOPClassUID == PARAMETRIC_MAP}
    assert set(maps) == {"FA", "MD", "AD", "RD"}
    for one in maps.values():
        assert np.all(np.isfinite(np.frombuffer(one.FloatPixelData, np.float32)))


def test_white_matter_is_that_of_a_healthy_adult(scenario: Scenario, tmp_path: Path) -> None:
    found = white_matter(newest_report(scenario.objects["complete"]), tmp_path)
    assert HEALTHY_FA[0] < found["Fractional Anisotropy"] < HEALTHY_FA[1]
    assert HEALTHY_MD[0] < found["Mean Diffusivity"] < HEALTHY_MD[1]


def newest_report(objects: Sequence[pydicom.Dataset]) -> pydicom.Dataset:
    reports = [one for one in objects if one.SOPClassUID == SR]
    replaced = {
        str(item.ReferencedSOPInstanceUID)
        for one in reports
        for study in one.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    (newest,) = [one for one in reports if one.SOPInstanceUID not in replaced]
    return newest


def white_matter(report: pydicom.Dataset, folder: Path) -> dict[str, float]:
    report.save_as(folder / "sr.dcm")
    rows: list[Found] = measurements(folder / "sr.dcm")
    return {row.quantity: row.value for row in rows if row.site == "Cerebral White Matter" and row.statistic == "Mean"}


def test_what_was_not_run_says_why(scenario: Scenario) -> None:
    state, reason = scenario.jobs["incomplete"]["dti"]
    assert state == "waiting"
    assert "1393 of 1394" in reason


def test_a_late_instance_reopens_its_study_and_the_new_report_supersedes_the_old(scenario: Scenario) -> None:
    reports = [one for one in scenario.objects["dwi complete"] if one.SOPClassUID == SR]
    assert len(reports) == 2
    newest = newest_report(scenario.objects["dwi complete"])
    assert newest.SOPInstanceUID not in {one.SOPInstanceUID for one in scenario.objects["incomplete"]}


def test_a_late_instance_of_another_series_changes_no_map_and_sends_none_again(scenario: Scenario) -> None:
    maps = [
        {str(one.SOPInstanceUID) for one in scenario.objects[stage] if one.SOPClassUID == PARAMETRIC_MAP}
        for stage in ("dwi complete", "complete")
    ]
    assert maps[0] == maps[1]
    deliveries = scenario.betz.ledger(
        sa.select(tables.deliveries.c.attempts)
        .join(tables.results, tables.results.c.sop_instance_uid == tables.deliveries.c.sop_instance_uid)
        .where(tables.results.c.sop_class_uid == PARAMETRIC_MAP)
    )
    assert len(deliveries) == 4


def test_the_same_bytes_again_change_nothing(scenario: Scenario) -> None:
    assert {one.SOPInstanceUID for one in scenario.objects["again"]} == {
        one.SOPInstanceUID for one in scenario.objects["complete"]
    }
    assert scenario.betz.ledger(sa.select(tables.instances).where(tables.instances.c.state == "duplicate"))


def test_other_bytes_under_a_known_uid_are_quarantined_and_visible(scenario: Scenario) -> None:
    (row,) = scenario.betz.ledger(sa.select(tables.instances).where(tables.instances.c.state == "quarantined"))
    assert (scenario.betz.folder / "spool" / row["path"]).exists()
    assert row["reason"]
    assert "quarantine" in scenario.index.lower()


def test_no_page_and_no_log_names_the_patient(scenario: Scenario) -> None:
    report = newest_report(scenario.objects["complete"])
    secrets = [str(report.PatientName), str(report.PatientID)]
    for text in (scenario.index, scenario.study, scenario.betz.log()):
        assert not [secret for secret in secrets if len(secret) > 3 and secret in text]


def test_results_are_found_and_fetched_by_query(scenario: Scenario) -> None:
    confirmed = scenario.betz.ledger(sa.select(tables.deliveries.c.sop_instance_uid, tables.deliveries.c.reason))
    assert {row["sop_instance_uid"] for row in confirmed} == {
        str(one.SOPInstanceUID) for one in scenario.objects["again"]
    }


def test_the_spool_holds_every_element_as_sent(scenario: Scenario, data: Callable[[str], Path]) -> None:
    # elements, not bytes: storescu writes sequences with a length that had none; bytes are compared in test_receive.py
    stored = {path.stem: path for path in (scenario.betz.folder / "spool" / "studies").rglob("*.dcm")}
    sent = [path for files in files_by_series(data("philips-elition-study")).values() for path in files][::97]
    for path in sent:
        as_sent = pydicom.dcmread(path)
        assert pydicom.dcmread(stored[str(as_sent.SOPInstanceUID)]) == as_sent


def test_the_ledger_can_be_rebuilt_from_the_spool_alone(scenario: Scenario) -> None:
    command = [sys.executable, "-m", "service.cli", "doctor", "--config", str(scenario.betz.config), "--rebuild"]
    kept = ("sop_instance_uid", "series_uid", "study_uid", "state", "path", "sha256")
    query = sa.select(*(tables.instances.c[name] for name in kept)).where(tables.instances.c.state == "stored")
    jobs = sa.select(tables.jobs.c.job_id, tables.jobs.c.state).where(tables.jobs.c.state == "done")
    before = [Counter(tuple(row.values()) for row in scenario.betz.ledger(one)) for one in (query, jobs)]
    (scenario.betz.folder / "betz.db").unlink()
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    after = [Counter(tuple(row.values()) for row in scenario.betz.ledger(one)) for one in (query, jobs)]
    assert after[0] == before[0], told.stdout + told.stderr
    assert after[1] == before[1]
    assert json.dumps(told.stdout)
