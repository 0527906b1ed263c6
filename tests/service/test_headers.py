"""Headers are read once, and a job takes over only those that are of just its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_io.header import Unreadable
from service import headers
from service.headers import hand_over, read_series, take_over
from tests.service.studies import series_of
from tests.service.test_explain import write


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read, in order."""
    read: list[Path] = []
    original = headers.header.read_instance
    monkeypatch.setattr(headers.header, "read_instance", lambda path: (read.append(path), original(path))[1])
    headers._remembered.clear()
    return read


def test_a_file_is_read_once(tmp_path: Path, reads: list[Path]) -> None:
    paths = sorted(write(tmp_path, *series_of()).iterdir())
    assert read_series(paths) == read_series(paths)
    assert reads == paths


def test_what_is_remembered_is_bounded(tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "REMEMBERED", 2)
    paths = sorted(write(tmp_path, *series_of()).iterdir())
    read_series(paths)
    assert len(headers._remembered) == 2
    read_series(paths[-1:])
    assert reads == paths


def test_a_job_takes_over_the_headers_of_its_files_and_reads_them_when_the_files_are_others(
    tmp_path: Path, reads: list[Path]
) -> None:
    paths = sorted(write(tmp_path / "in", *series_of()).iterdir())
    series, _ = read_series(paths)
    uid = series.first.series_uid
    hand_over(tmp_path, [series])
    reads.clear()
    headers._remembered.clear()
    assert take_over(tmp_path, {uid: [str(path) for path in paths]}) == {uid: series}
    assert reads == []
    fewer = take_over(tmp_path, {uid: [str(path) for path in paths[:2]]})
    assert reads == paths[:2]
    assert len(fewer[uid].instances) == 2


def test_unreadable_files_are_listed_and_the_rest_is_taken(tmp_path: Path, reads: list[Path]) -> None:
    folder = write(tmp_path, *series_of())
    (folder / "broken").write_bytes(b"not DICOM")
    series, unreadable = read_series(sorted(folder.iterdir()))
    assert len(series.instances) == len(series_of())
    assert [path.name for path, _ in unreadable] == ["broken"]


def test_a_series_without_a_readable_file_is_unreadable(tmp_path: Path, reads: list[Path]) -> None:
    (tmp_path / "broken").write_bytes(b"not DICOM")
    with pytest.raises(Unreadable, match="not a DICOM file"):
        read_series([tmp_path / "broken"])
