"""One job: a results folder that is whole or absent, always the same bytes; every fault a state and a sentence."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian

from analyses.contract import (
    Cost,
    Figure,
    Findings,
    Inputs,
    MapImage,
    Measurement,
    Need,
    RoleKind,
    SeriesFacts,
    Technique,
    Unsuitable,
    Volume,
    Workspace,
)
from analyses.quantities import FA, WHITE_MATTER
from dicom_io.check import Rejected
from dicom_io.header import SeriesHeader
from service import child, job
from service.order import FINDINGS_FILE, OUTCOME_FILE, REPORT, Ending, Order, Outcome, RunOrder
from tests.service.studies import ROLES, SLICES, Slice, data_set, series_of

AFFINE = np.array([[-2.0, 0, 0, 0], [0, -2, 0, 0], [0, 0, 3, 3], [0, 0, 0, 1]])  # of tests.service.studies, in RAS+
AT = 1_770_000_000.0


@dataclass(frozen=True)
class Fake:
    """An analysis that measures a random number, or does what it is told."""

    act: Callable[[], None] = lambda: None
    name: str = "fake"
    version: str = "1"
    technique: Technique = Technique.DTI
    needs: tuple[Need, ...] = (Need("dwi", RoleKind.DWI),)
    produces: tuple[()] = ()
    cost: Cost = field(default_factory=lambda: Cost(1, 300, 20))

    def run(self, inputs: Inputs, work: Workspace) -> Findings:
        self.act()
        work.progress(0.5, "thinking")
        (work.folder / "scratch.npy").write_bytes(b"voxels")
        data = inputs.volumes["dwi"].data
        number = float(work.random.uniform(0.3, 0.6))
        return Findings(
            measurements=(Measurement(FA, WHITE_MATTER, number, sd=0.1, n=data.size),),
            maps=(MapImage(FA, np.full(data.shape, number, np.float32), AFFINE, "dwi", (0.0, 1.0)),),
            figures=(Figure("maps", "grey", np.full((8, 12, 3), 90, np.uint8)),),
            statements=("A number was drawn.",),
        )


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.fixture(autouse=True)
def _no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversion has tests of its own; here every series is 4 x 4 voxels in as many slices as it has."""

    def convert(series: SeriesHeader, facts: SeriesFacts, folder: Path) -> Volume:
        assert folder.is_dir()
        return Volume(np.ones((4, 4, len(series.instances)), np.float32), AFFINE, facts)

    monkeypatch.setattr(job.convert, "convert", convert)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return order_in(tmp_path)


def order_in(folder: Path, results: str = "results", digest: str = "ab12") -> Order:
    received = folder / "in"
    received.mkdir(parents=True, exist_ok=True)
    paths = []
    for one in series_of():
        made = data_set(one)
        made.ensure_file_meta()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.save_as(received / f"{one.number}.dcm", enforce_file_format=True)
        paths.append(str(received / f"{one.number}.dcm"))
    return Order(
        job_id="fake-ab12",
        study_uid=Slice().study_uid,
        study_version=1,
        analysis="fake",
        version="1",
        digest=digest,
        inputs={"dwi": Slice().series_uid},
        series={Slice().series_uid: tuple(paths)},
        rules=ROLES,
        folder=str(folder / results / "fake-1-ab12"),
        at=AT,
        software_version="0.0",
        device_serial="test-1",
        timezone="+0100",
        threads=1,
    )


def perform(order: Order, tmp_path: Path, analysis: Fake | None = None) -> Outcome:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    fake = analysis or Fake()
    return job.perform(order, scratch, {fake.name: fake})


def files(folder: str | Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def report_of(order: Order, state: str = "done", reason: str = "", folder: str | None = None) -> Order:
    run = RunOrder(
        "fake", "1", str(Technique.DTI), order.inputs, state, reason, order.folder if folder is None else folder
    )
    final = Path(order.folder).with_name("report-1-cd34")
    return replace(
        order, job_id="report-cd34", analysis=REPORT, digest="cd34", inputs={}, folder=str(final), runs=(run,)
    )


def test_a_done_job_leaves_objects_findings_figures_and_its_outcome(order: Order, tmp_path: Path) -> None:
    outcome = perform(order, tmp_path)
    assert (outcome.ending, outcome.reason) == (Ending.DONE, "")
    left = files(order.folder)
    assert {FINDINGS_FILE, OUTCOME_FILE, "figures/maps.png"} < set(left)
    assert len(outcome.objects) == len([name for name in left if name.endswith(".dcm")]) == 1 + SLICES
    for one in outcome.objects:
        made = pydicom.dcmread(Path(order.folder, one.file))
        assert (made.SOPInstanceUID, made.SOPClassUID, made.SeriesInstanceUID) == (
            one.sop_instance_uid,
            one.sop_class_uid,
            one.series_uid,
        )
        assert one.kind == "map"
        assert one.sha256 == hashlib.sha256(left[one.file]).hexdigest()
    with Image.open(Path(order.folder, "figures/maps.png")) as picture:
        assert picture.size == (12, 8)
    assert outcome.figures == (("figures/maps.png", "grey"),)
    assert Outcome.read(Path(order.folder, OUTCOME_FILE)) == outcome
    assert outcome.peak_mb > 20
    assert outcome.cpu_s > 0


def test_the_same_job_again_makes_the_same_bytes(tmp_path: Path) -> None:
    first = perform(order_in(tmp_path), tmp_path)
    again = perform(order_in(tmp_path, results="again"), tmp_path)
    assert [one.sha256 for one in first.objects] == [one.sha256 for one in again.objects]
    both = [files(tmp_path / name / "fake-1-ab12") for name in ("results", "again")]
    for left in both:
        left.pop(OUTCOME_FILE)  # it tells the seconds that were spent
    assert both[0] == both[1]


def test_other_bytes_under_the_same_uids_give_results_of_other_uids(tmp_path: Path) -> None:
    first = perform(order_in(tmp_path), tmp_path)
    other = perform(order_in(tmp_path, results="other", digest="ab13"), tmp_path)
    assert not {one.sop_instance_uid for one in first.objects} & {one.sop_instance_uid for one in other.objects}
    assert not {one.series_uid for one in first.objects} & {one.series_uid for one in other.objects}


def test_the_seed_is_of_the_inputs_and_of_nothing_else(tmp_path: Path) -> None:
    def value(results: str, digest: str) -> float:
        order = order_in(tmp_path, results, digest)
        assert perform(order, tmp_path).ending is Ending.DONE
        found: float = json.loads(Path(order.folder, FINDINGS_FILE).read_text())["measurements"][0]["value"]
        return found

    assert value("a", "ab12") == value("b", "ab12")
    assert value("c", "ab13") != value("a2", "ab12")


def test_a_result_that_is_there_is_not_computed_again(order: Order, tmp_path: Path) -> None:
    first = perform(order, tmp_path)
    before = files(order.folder)
    assert perform(order, tmp_path, Fake(raising(AssertionError("computed again")))) == first
    assert files(order.folder) == before


def test_unsuitable_data_leaves_its_reason_and_nothing_else(order: Order, tmp_path: Path) -> None:
    outcome = perform(order, tmp_path, Fake(raising(Unsuitable("only 3 directions"))))
    assert (outcome.ending, outcome.reason) == (Ending.UNSUITABLE, "only 3 directions")
    assert set(files(order.folder)) == {OUTCOME_FILE}


def test_a_fault_leaves_no_results_and_its_text_stays_in_the_job_s_folder(order: Order, tmp_path: Path) -> None:
    outcome = perform(order, tmp_path, Fake(raising(ValueError("Geheim^Gerda has no diffusion"))))
    assert outcome.ending is Ending.FAILED
    assert "ValueError in test_job.py line" in outcome.reason
    assert "Geheim" not in outcome.reason
    assert "Geheim" in (tmp_path / "scratch" / job.TRACEBACK_FILE).read_text()
    assert files(Path(order.folder).parent) == {}


def test_a_job_that_runs_out_of_memory_is_dead(order: Order, tmp_path: Path) -> None:
    assert perform(order, tmp_path, Fake(raising(MemoryError()))).ending is Ending.DEAD


def test_an_object_that_does_not_pass_its_check_is_not_kept_and_the_job_is_dead(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(path: Path, sources: object) -> None:
        if path.name == sorted(path.parent.glob("*.dcm"))[-1].name:
            raise Rejected("it lies outside its source")

    monkeypatch.setattr(job.check, "check", check)
    outcome = perform(order, tmp_path)
    assert (outcome.ending, outcome.reason) == (
        Ending.DEAD,
        "a result did not pass its check: it lies outside its source",
    )
    assert files(Path(order.folder).parent) == {}


def test_an_attempt_that_comes_second_leaves_the_results_of_the_first(order: Order, tmp_path: Path) -> None:
    def overtaken() -> None:
        assert perform(order, tmp_path).ending is Ending.DONE

    assert perform(order, tmp_path, Fake(overtaken)).ending is Ending.DONE
    assert Outcome.read(Path(order.folder, OUTCOME_FILE)).ending is Ending.DONE
    assert [path.name for path in Path(order.folder).parent.iterdir()] == ["fake-1-ab12"]


def test_the_report_tells_what_was_found(order: Order, tmp_path: Path) -> None:
    perform(order, tmp_path)
    report = report_of(order)
    outcome = job.perform(report, tmp_path / "scratch")
    assert outcome.ending is Ending.DONE, outcome.reason
    kinds = [one.kind for one in outcome.objects]
    assert kinds.count("sr") == 1
    assert "page" in kinds
    sr = pydicom.dcmread(Path(report.folder, next(one.file for one in outcome.objects if one.kind == "sr")))
    told = json.loads(Path(order.folder, FINDINGS_FILE).read_text())["measurements"][0]["value"]
    assert any(float(number) == pytest.approx(told, rel=1e-3) for number in numbers(sr))
    assert (sr.PatientID, sr.StudyInstanceUID) == ("P1", Slice().study_uid)


def test_the_report_of_a_study_where_nothing_ran_says_why_and_names_its_predecessor(
    order: Order, tmp_path: Path
) -> None:
    first = report_of(order, "not run", "no T1 series", "")
    (tmp_path / "scratch").mkdir()
    done = job.perform(first, tmp_path / "scratch")
    sr_file = next(one.file for one in done.objects if one.kind == "sr")
    earlier = pydicom.dcmread(Path(first.folder, sr_file))
    assert "no T1 series" in str(earlier)
    second = replace(
        report_of(order, "failed", "it took longer than its 5 s", ""),
        digest="ef56",
        folder=str(Path(first.folder).with_name("report-1-ef56")),
        predecessor=str(Path(first.folder, sr_file)),
    )
    outcome = job.perform(second, tmp_path / "scratch")
    later = pydicom.dcmread(Path(second.folder, next(one.file for one in outcome.objects if one.kind == "sr")))
    assert later.SOPInstanceUID != earlier.SOPInstanceUID
    referred = later.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert referred.ReferencedSOPInstanceUID == earlier.SOPInstanceUID


def test_a_report_again_makes_the_same_bytes(order: Order, tmp_path: Path) -> None:
    perform(order, tmp_path)
    report = report_of(order)
    again = replace(report, folder=str(tmp_path / "again" / "report"))
    shas = [[one.sha256 for one in job.perform(one, tmp_path / "scratch").objects] for one in (report, again)]
    assert shas[0] == shas[1]
    assert shas[0]


def test_the_process_takes_an_order_and_leaves_an_outcome(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(child.PARENT_VARIABLE, raising=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    order.write(scratch / child.ORDER_FILE)
    assert job.main([str(scratch / child.ORDER_FILE)], {"fake": Fake()}) == 0
    assert Outcome.read(scratch / OUTCOME_FILE).ending is Ending.DONE
    told = child.progress(scratch)
    assert told is not None
    assert 0 <= told[0] <= 1


def test_an_order_survives_its_file(order: Order, tmp_path: Path) -> None:
    full = report_of(order, "unsuitable", "naïve reason", "")
    full.write(tmp_path / "order.json")
    assert Order.read(tmp_path / "order.json") == full


def test_threads_are_never_more_than_the_process_may_use(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    @dataclass(frozen=True)
    class Counting(Fake):
        def run(self, inputs: Inputs, work: Workspace) -> Findings:
            seen.append(work.threads)
            return Fake.run(self, inputs, work)

    monkeypatch.setitem(os.environ, child.THREAD_VARIABLES[0], "2")
    perform(replace(order, threads=16), tmp_path, Counting())
    assert seen == [2]


def numbers(sr: pydicom.Dataset) -> list[float]:
    found = [float(one.NumericValue) for one in sr.get("MeasuredValueSequence", [])]
    for item in sr.get("ContentSequence", []):
        found += numbers(item)
    return found
