"""The embedded archive: what real peers store in it they find and get back, byte for byte of the data set."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet

from service.archive import Archive, _matches
from tests.service.conftest import free_port
from tests.service.synthetic import CLASSES, data_set

pytestmark = pytest.mark.integration


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "archive") as one:
        yield one


@pytest.fixture
def study(tmp_path: Path) -> tuple[str, list[Path]]:
    """Two maps of one series and one report, as files."""
    uid, series = generate_uid(), generate_uid()
    made = [data_set("map", uid, series, 1), data_set("map", uid, series, 2), data_set("sr", uid)]
    paths = []
    for number, one in enumerate(made):
        paths.append(tmp_path / f"{number}.dcm")
        one.save_as(paths[-1], enforce_file_format=True)
    return uid, paths


def send(program: Callable[[str], str], archive: Archive, paths: list[Path]) -> None:
    called = ["-aec", archive.ae_title, archive.host, str(archive.port)]
    subprocess.run([program("storescu"), *called, *map(str, paths)], check=True, capture_output=True, timeout=30)


def find(program: Callable[[str], str], archive: Archive, folder: Path, *keys: str) -> list[Dataset]:
    folder.mkdir()
    arguments = [part for key in keys for part in ("-k", key)]
    command = [program("findscu"), "-S", "-X", "-od", str(folder), "-aec", archive.ae_title, *arguments]
    subprocess.run([*command, archive.host, str(archive.port)], check=True, capture_output=True, timeout=30)
    return [dcmread(path, force=True) for path in sorted(folder.iterdir())]


def test_what_storescu_stored_findscu_finds_at_every_level(
    program: Callable[[str], str], archive: Archive, study: tuple[str, list[Path]], tmp_path: Path
) -> None:
    uid, paths = study
    send(program, archive, paths)
    assert len(archive.stored()) == 3
    (found,) = find(
        program, archive, tmp_path / "s", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={uid}", "PatientName=Geheim*",
        "NumberOfStudyRelatedInstances", "ModalitiesInStudy",
    )  # fmt: skip
    assert found.NumberOfStudyRelatedInstances == 3
    assert list(found.ModalitiesInStudy) == ["MR", "SR"]
    series = find(
        program, archive, tmp_path / "e", "QueryRetrieveLevel=SERIES", f"StudyInstanceUID={uid}", "Modality=MR"
    )
    assert len(series) == 1
    keys = ("QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={uid}", f"SeriesInstanceUID={series[0].SeriesInstanceUID}")
    images = find(program, archive, tmp_path / "i", *keys, "SOPInstanceUID")
    assert {one.SOPInstanceUID for one in images} == {dcmread(path).SOPInstanceUID for path in paths[:2]}


def test_what_is_not_there_is_not_found(
    program: Callable[[str], str], archive: Archive, study: tuple[str, list[Path]], tmp_path: Path
) -> None:
    send(program, archive, study[1])
    assert not find(program, archive, tmp_path / "a", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={generate_uid()}")
    assert not find(program, archive, tmp_path / "b", "QueryRetrieveLevel=STUDY", "StudyDate=20260302-")
    assert find(program, archive, tmp_path / "c", "QueryRetrieveLevel=STUDY", "StudyDate=20260301-")


def test_c_get_brings_back_the_objects_as_they_were(
    program: Callable[[str], str], archive: Archive, study: tuple[str, list[Path]]
) -> None:
    uid, paths = study
    send(program, archive, paths)
    received: dict[str, Dataset] = {}

    def keep(event: evt.Event) -> int:
        received[event.dataset.SOPInstanceUID] = event.dataset
        return 0x0000

    entity = AE("BETZ")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    for sop_class in CLASSES.values():
        entity.add_requested_context(sop_class)
    roles = [build_role(sop_class, scp_role=True) for sop_class in CLASSES.values()]
    association = entity.associate(
        archive.host, archive.port, ae_title=archive.ae_title, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = uid
    answers = list(association.send_c_get(query, StudyRootQueryRetrieveInformationModelGet))
    association.release()
    assert answers[-1][0].Status == 0x0000
    assert len(received) == 3
    for path in paths:
        sent = dcmread(path)
        assert received[sent.SOPInstanceUID] == sent


def test_an_archive_that_starts_again_knows_its_files(
    program: Callable[[str], str], study: tuple[str, list[Path]], tmp_path: Path
) -> None:
    with Archive(tmp_path / "kept") as first:
        send(program, first, study[1])
    with Archive(tmp_path / "kept") as second:
        assert len(find(program, second, tmp_path / "f", "QueryRetrieveLevel=SERIES", "SeriesInstanceUID")) == 2


def test_another_called_title_is_turned_away(program: Callable[[str], str], archive: Archive) -> None:
    echo = [program("echoscu"), "-aec", "SOMEBODY", archive.host, str(archive.port)]
    assert subprocess.run(echo, capture_output=True, timeout=30, check=False).returncode != 0
    echo[2] = archive.ae_title
    assert subprocess.run(echo, capture_output=True, timeout=30, check=False).returncode == 0


def test_it_runs_as_a_process_and_ends_on_sigterm(program: Callable[[str], str], tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "service.archive",
        "--folder",
        str(tmp_path / "p"),
        "--port",
        str(port),
        "--ae",
        "PACS",
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert f":{port}" in child.stdout.readline()
        echo = [program("echoscu"), "-aec", "PACS", "127.0.0.1", str(port)]
        assert subprocess.run(echo, timeout=30, check=False).returncode == 0
        began = time.monotonic()
        child.terminate()
        assert child.wait(10) == 0
        assert time.monotonic() - began < 5
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(
    ("asked", "held", "matches"),
    [
        ((), "anything", True),
        (("1.2", "1.3"), "1.3", True),
        (("1.2", "1.3"), "1.4", False),
        (("AB*",), "ABC", True),
        (("A?C",), "ABBC", False),
        (("A[B]*",), "ABC", False),
        (("20260101-20260131",), "20260131", True),
        (("20260101-20260131",), "20260201", False),
        (("-20260131",), "20251231", True),
    ],
)
def test_a_key_matches_as_the_standard_says(asked: tuple[str, ...], held: str, matches: bool) -> None:
    assert _matches(asked, held) is matches
