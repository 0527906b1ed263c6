"""`betz phantom`: a known patient on disk or on the wire; a fault is one sentence, and a refused object no success."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from click.testing import CliRunner, Result
from pynetdicom import AE, evt
from pynetdicom.sop_class import MRImageStorage, Verification

from phantom import markers, truth
from phantom.breakages import BREAKAGES
from phantom.deliveries import CannotSpoil
from phantom.disease import PRESETS
from phantom.examination import RESOLUTIONS_MM, Dialect, Examination, Technique
from service import acceptance, cli
from tests.service.conftest import free_port
from tests.service.senders import listens

# pynetdicom leaves the socket of a connection that was refused to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]
START_WITHIN_S = 20.0


def betz(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, [str(one) for one in arguments])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Examination]:
    """A box with marked corners in place of the patient: the same files in a thousandth of the time; what was asked."""
    asked: list[Examination] = []

    def make(folder: Path, examination: Examination, progress: Callable[[int, int], None]) -> truth.Truth:
        asked.append(examination)
        t1 = markers.write_t1(folder / "dicom" / "201", markers.slab())
        dwi = markers.write_dwi(folder / "dicom" / "301", markers.slab(tilted=examination.visit > 0))
        total = sum(1 for one in (t1, dwi) for _ in one.folder.iterdir())
        for done in range(1, total + 1):
            progress(done, total)
        uid = pydicom.dcmread(next(dwi.folder.iterdir())).StudyInstanceUID
        record = truth.Truth(folder, {}, str(uid), (), (), {}, (0.0, 0.0, 0.0))
        truth.write(record)
        return record

    monkeypatch.setattr(acceptance.patient, "make", make)
    monkeypatch.chdir(tmp_path)
    return asked


OBJECTS = markers.SHAPE[2] * (1 + 1 + len(markers.MARKER_DIRECTIONS))


@dataclass
class Scp:
    """A Storage SCP of our own and what it got, association by association."""

    port: int
    received: list[list[tuple[str, str]]]  # (series, instance) UIDs of each association
    callers: set[str]

    @property
    def address(self) -> str:
        return f"ANY@127.0.0.1:{self.port}"


@pytest.fixture
def scp(request: pytest.FixtureRequest) -> Iterator[Scp]:
    """Answers 0x0000, or what the parameter says for every seventh object."""
    found = Scp(free_port(), [], set())
    fault = getattr(request, "param", 0)

    def opened(event: Any) -> None:
        found.received.append([])
        found.callers.add(event.assoc.requestor.ae_title)

    def stored(event: Any) -> int:
        mine = found.received[-1]
        mine.append((event.dataset.SeriesInstanceUID, event.dataset.SOPInstanceUID))
        return fault if len(mine) % 7 == 0 else 0

    entity = AE("ANY")
    entity.add_supported_context(MRImageStorage)
    entity.add_supported_context(Verification)
    handlers = [(evt.EVT_ACCEPTED, opened), (evt.EVT_C_STORE, stored)]
    server = entity.start_server(("127.0.0.1", found.port), block=False, evt_handlers=handlers)
    yield found
    server.shutdown()


def told_sentence(result: Result) -> str:
    """The one sentence of a fault: nothing on standard output, no traceback, exit code 2."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("Error: ")
    return lines[0].removeprefix("Error: ")


def test_the_help_names_what_there_is() -> None:
    told = " ".join(betz("phantom", "--help").output.split()).replace("limb- left", "limb-left")
    assert ", ".join(PRESETS) == cli.PRESETS
    assert ", ".join(Dialect) == cli.DIALECTS
    assert "Voxel of the DWI: 1, 1.5 or 2." in told
    assert RESOLUTIONS_MM == (1.0, 1.5, 2.0)
    assert f"[default: {','.join(Technique)}]" in told


def test_the_page_about_the_phantom_lists_every_breakage_and_every_option() -> None:
    page = (Path(cli.__file__).parents[1] / "docs" / "phantom.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z0-9][a-z0-9/-]*)` \|", page, re.MULTILINE) == list(BREAKAGES)
    for option in (option for parameter in cli.phantom.params for option in parameter.opts):
        assert f"`{option}" in page
    for name in (*PRESETS, *Dialect, *Technique):
        assert name in page


def test_a_patient_is_written_with_its_truth(tmp_path: Path, small: list[Examination]) -> None:
    result = betz("phantom", "--preset", "late", "--dialect", "ge", "--seed", "11", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out" / "dicom").rglob("*.dcm"))) == OBJECTS
    assert (tmp_path / "out" / "truth.json").exists()
    assert re.fullmatch(rf"study [0-9.]+: {OBJECTS} objects\ntruth: .*out/truth.json\n", result.stdout)
    (asked,) = small
    assert (asked.disease, asked.dialect, asked.seed) == (PRESETS["late"], Dialect.GE, 11)
    assert asked.techniques == tuple(Technique)


def test_a_spoilt_delivery_is_a_breakage(small: list[Examination]) -> None:
    arguments = ("--break", "no-names", "--duplicate", "3", "--missing", "slice:17,vol:4")
    assert betz("phantom", "--out", "out", *arguments).exit_code == 0
    (asked,) = small
    assert asked.breakages == ("no-names", "duplicates:3", "missing-slice:17", "missing-volume:4")


def test_what_does_not_fit_the_patient_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*_: object) -> truth.Truth:
        raise CannotSpoil("there is no slice 170: the diffusion series has 74")

    monkeypatch.setattr(acceptance.patient, "make", make)
    result = betz("phantom", "--out", "out", "--missing", "slice:170")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("Error: there is no slice 170: the diffusion series has 74\n")


@pytest.mark.parametrize("fault", [CannotSpoil("no"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_patient_that_was_not_finished_leaves_the_folder_free(
    fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = acceptance.patient.make

    def break_off(folder: Path, *_: object) -> truth.Truth:
        (folder / "dicom" / "301").mkdir(parents=True)
        (folder / "dicom" / "301" / "half.dcm").write_text("half")
        raise fault

    monkeypatch.setattr(acceptance.patient, "make", break_off)
    assert betz("phantom", "--out", "out").exit_code != 0
    assert list(Path("out").iterdir()) == []
    monkeypatch.setattr(acceptance.patient, "make", made)
    assert betz("phantom", "--out", "out").exit_code == 0


def test_each_time_point_has_a_folder_of_its_own(tmp_path: Path, small: list[Examination]) -> None:
    assert betz("phantom", "--timepoints", "2", "--out", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1", "2"]
    assert all((tmp_path / "out" / name / "truth.json").exists() for name in "12")
    assert [one.visit for one in small] == [0, 1]


def test_the_log_gets_a_line_a_tenth_and_no_more(tmp_path: Path) -> None:
    told = betz("phantom", "--out", tmp_path / "out").stderr.splitlines()
    assert len(told) <= 2 + cli.LOG_LINES
    assert told[-1] == f"writing 100% {OBJECTS} of {OBJECTS} objects"
    assert not any("\r" in line or "\x1b" in line for line in told)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give one of --out FOLDER and --send AET@HOST:PORT"),
        (("--out", "x", "--send", "A@127.0.0.1:1"), "give one of --out FOLDER and --send AET@HOST:PORT"),
        (("--out", "x", "--preset", "tired"), f"there is no preset tired; there are {', '.join(PRESETS)}"),
        (("--out", "x", "--dialect", "latin"), f"there is no dialect latin; there are {', '.join(Dialect)}"),
        (("--out", "x", "--resolution", "3"), "there is no resolution 3; there are 1, 1.5, 2"),
        (("--out", "x", "--techniques", "t1,tea"), "there is no technique tea; there are t1, dwi"),
        (("--out", "x", "--break", "bones"), "there is no breakage bones; there are flip-x, "),
        (("--out", "x", "--break", "flip-x:3"), "flip-x:3: flip-x takes no number"),
        (("--out", "x", "--missing", "slice:17,leg:4"), "leg:4 cannot be missing: wanted slice:NUMBER or vol:NUMBER"),
        (("--out", "/dev/null/x"), "/dev/null/x cannot be written: Not a directory"),
        (("--send", "pacs"), "pacs is no address: wanted AET@host:port, for example BETZ@betz.example.org:11112"),
        (("--send", "PACS@pacs:99999"), "PACS@pacs:99999 is no address: ports go from 1 to 65535"),
        (("--send", "PACS@nowhere.invalid:104"), "the name nowhere.invalid has no address"),
        (("--send", "PACS@127.0.0.1:1"), "PACS at 127.0.0.1:1 does not answer: nothing listens there"),
        (("--send", "A_TITLE_OF_MORE_THAN_16@h:1"), "A_TITLE_OF_MORE_THAN_16"),
    ],
)
def test_a_fault_is_one_sentence_and_nothing_is_made(
    arguments: tuple[str, ...], sentence: str, small: list[Examination]
) -> None:
    assert sentence in told_sentence(betz("phantom", *arguments))
    assert small == []
    assert list(Path().iterdir()) == []


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out" / "dicom").mkdir(parents=True)
    (tmp_path / "out" / "dicom" / "patient.dcm").write_text("precious")
    assert "choose another folder" in told_sentence(betz("phantom", "--out", tmp_path / "out"))
    assert (tmp_path / "out" / "dicom" / "patient.dcm").read_text() == "precious"


def test_a_second_phantom_takes_the_place_of_the_first(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert betz("phantom", "--timepoints", "2", "--out", out).exit_code == 0
    assert betz("phantom", "--out", out).exit_code == 0
    assert len(list(out.rglob("*.dcm"))) == OBJECTS
    assert [path.parent for path in out.rglob("truth.json")] == [out]


def test_a_patient_is_sent_with_an_association_a_series_and_the_truth_stays(scp: Scp) -> None:
    result = betz("phantom", "--send", scp.address, "--calling", "SCANNER1")
    assert result.exit_code == 0, result.output
    assert [len(one) for one in scp.received if one] == [markers.SHAPE[2], OBJECTS - markers.SHAPE[2]]
    assert all(len({series for series, _ in one}) <= 1 for one in scp.received)
    assert scp.callers == {"SCANNER1"}
    folder = Path("betz-phantom-early-philips-7")
    assert [path.name for path in folder.iterdir()] == ["truth.json"]
    said = re.fullmatch(r"study ([0-9.]+): (\d+) objects sent to (\S+) in \d+ s\ntruth: (\S+)\n", result.stdout)
    assert said is not None, result.stdout
    assert (int(said[2]), said[3], said[4]) == (OBJECTS, scp.address, str(folder / "truth.json"))


def test_interleaved_series_come_in_turn_over_one_association(scp: Scp) -> None:
    assert betz("phantom", "--send", scp.address, "--interleave").exit_code == 0
    (got,) = (one for one in scp.received if one)
    assert len(got) == OBJECTS
    first = [series for series, _ in got[: 2 * markers.SHAPE[2]]]
    assert first[0] != first[1]
    assert first == first[:2] * markers.SHAPE[2]


@pytest.mark.parametrize("scp", [0xA900, 0xC000], indirect=True)
def test_refused_objects_are_counted_with_their_reason_and_end_it_non_zero(scp: Scp) -> None:
    result = betz("phantom", "--send", scp.address, "--interleave")
    assert result.exit_code == 1
    assert f"{OBJECTS - OBJECTS // 7} objects sent" in result.stdout
    told = rf"^{OBJECTS // 7} objects refused: ANY at .* refused it with status 0x(A9|C0)00"
    assert re.search(told, result.stderr, re.MULTILINE)
    assert "Traceback" not in result.output


@pytest.mark.parametrize("scp", [0xA700], indirect=True)
def test_a_receiver_without_room_is_one_sentence_with_how_far_it_got(scp: Scp) -> None:
    result = betz("phantom", "--send", scp.address)
    assert result.exit_code == 2
    assert "has no room: status 0xA700 (after 6 of 108 objects)" in result.stderr
    assert not list(Path().rglob("*.dcm"))


def test_a_receiver_that_takes_no_images_is_told(scp: Scp, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    entity = AE("ANY")
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", port), block=False)
    try:
        result = betz("phantom", "--send", f"ANY@127.0.0.1:{port}")
    finally:
        server.shutdown()
    assert result.exit_code == 1
    assert "does not accept MR Image Storage" in result.stderr


def test_an_association_that_is_rejected_is_one_sentence_before_anything_is_made(small: list[Examination]) -> None:
    port = free_port()
    entity = AE("ANY")
    entity.require_calling_aet = ["FRIEND"]
    entity.add_supported_context(Verification)
    server = entity.start_server(("127.0.0.1", port), block=False)
    try:
        sentence = told_sentence(betz("phantom", "--send", f"ANY@127.0.0.1:{port}"))
    finally:
        server.shutdown()
    assert "rejects the association: Calling AE title not recognised" in sentence
    assert small == []


@pytest.mark.integration
def test_dcmtk_stores_what_is_sent(program: Callable[[str], str], tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "stored").mkdir()
    command = [program("storescp"), "-od", str(tmp_path / "stored"), "-aet", "STORE", str(port)]
    environment = {**os.environ, "TCP_NODELAY": "1"}  # else each answer waits for a delayed acknowledgement
    with subprocess.Popen(command, env=environment) as child:
        try:
            end = time.monotonic() + START_WITHIN_S
            while not listens(port) and time.monotonic() < end:
                time.sleep(0.05)
            result = betz("phantom", "--send", f"STORE@127.0.0.1:{port}")
        finally:
            child.terminate()
    assert result.exit_code == 0, result.output
    stored = [pydicom.dcmread(path, stop_before_pixels=True) for path in (tmp_path / "stored").iterdir()]
    assert len({one.SOPInstanceUID for one in stored}) == OBJECTS
    assert {one.QualityControlSubject for one in stored} == {"YES"}
