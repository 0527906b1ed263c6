"""The spool keeps what came, as it came, once, under names that never come from the wire."""

from __future__ import annotations

import os
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dicom_io.part10 import Origin, Uids
from service.presence import Presence, departed, forget, leave_behind
from service.spool import Spool, is_uid, ledger_uid, safe_name
from service.states import InstanceState
from tests.service.senders import data_set_of, encoded
from tests.service.studies import Slice, data_set

ONE = Slice()
UIDS = Uids(MRImageStorage, ONE.uid, ONE.study_uid, ONE.series_uid)
ORIGIN = Origin(MRImageStorage, ONE.uid, ExplicitVRLittleEndian, "SCANNER", "dicom://10.1.2.3")
BYTES = encoded(data_set(ONE))
OTHER = BYTES.replace(b"Geheim^Gerda", b"Geheim^Georg")


def place(spool: Spool, data: bytes = BYTES, uids: Uids = UIDS) -> tuple[InstanceState, Path]:
    placed = spool.place(replace(ORIGIN, sop_instance_uid=uids.sop_instance_uid), uids, memoryview(data))
    return placed.state, spool.path / placed.path


def test_an_instance_lies_where_the_design_says_with_the_senders_bytes(tmp_path: Path) -> None:
    state, path = place(Spool(tmp_path))
    assert state is InstanceState.STORED
    assert path == tmp_path / "studies" / ONE.study_uid / ONE.series_uid / f"{ONE.uid}.dcm"
    assert data_set_of(path) == BYTES
    meta = pydicom.dcmread(path).file_meta
    assert (meta.SourceApplicationEntityTitle, meta.SourcePresentationAddress) == ("SCANNER", "dicom://10.1.2.3")


def test_the_same_bytes_again_change_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    _, path = place(spool)
    before = path.stat()
    state, again = place(Spool(tmp_path))
    assert (state, again) == (InstanceState.DUPLICATE, path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_other_bytes_under_the_same_uid_go_to_quarantine_and_the_first_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    _, first = place(spool)
    state, other = place(spool, OTHER)
    assert state is InstanceState.QUARANTINED
    assert (data_set_of(first), data_set_of(other)) == (BYTES, OTHER)
    assert other.parent.parent == tmp_path / "quarantine"
    assert "other bytes" in other.with_suffix(".reason").read_text()


def test_a_sender_that_repeats_bad_bytes_does_not_fill_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    place(spool)
    assert place(spool, OTHER)[1] == place(spool, OTHER)[1]
    assert len(list(tmp_path.glob("quarantine/*/*.dcm"))) == 1


def race(arguments: tuple[Path, bytes]) -> tuple[InstanceState, Path]:
    folder, data = arguments
    return place(Spool(folder), data)


def test_two_receivers_with_the_same_uid_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    big = {bytes([letter]): encoded_with_pixels(bytes([letter])) for letter in b"ab"}
    with ProcessPoolExecutor(2) as pool:
        for turn in range(30):
            folder = tmp_path / str(turn)
            Spool(folder)
            found = list(pool.map(race, [(folder, data) for data in big.values()]))
            assert sorted(state for state, _ in found) == [InstanceState.QUARANTINED, InstanceState.STORED]
            assert [data_set_of(path) for _, path in found] == list(big.values())
            same = list(pool.map(race, [(folder / "same", big[b"a"])] * 2))
            assert sorted(state for state, _ in same) == [InstanceState.DUPLICATE, InstanceState.STORED]
            assert not list(folder.glob("incoming/*"))


def encoded_with_pixels(letter: bytes) -> bytes:
    made = data_set(ONE)
    made.PixelData = letter * 200_000
    return encoded(made)


@pytest.mark.parametrize(
    "hostile", ["../../etc/passwd", "1.2/3", "1.2.3\n", "", "1..2", "1.02", "a" * 64, "1." * 40 + "1"]
)
def test_a_uid_that_is_none_never_becomes_a_name(tmp_path: Path, hostile: str) -> None:
    assert not is_uid(hostile)
    assert re.fullmatch("uid-[0-9a-f]{40}", safe_name(hostile))
    uids = Uids(MRImageStorage, hostile or "x", hostile or "y", hostile or "z")
    state, path = place(Spool(tmp_path), BYTES, uids)
    assert state is InstanceState.STORED
    assert path.resolve().is_relative_to(tmp_path / "studies")
    assert place(Spool(tmp_path), OTHER, uids)[0] is InstanceState.QUARANTINED, "the same hostile UID is the same name"


def test_a_uid_too_long_for_the_ledger_is_kept_as_its_digest() -> None:
    assert ledger_uid("1.02.letters") == "1.02.letters"
    assert len(ledger_uid("1." * 40)) <= 64


def test_scanning_finds_everything_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    placed = [place(spool), place(spool, OTHER)]
    undecodable = spool.quarantine(ORIGIN, memoryview(b"rubbish"), "not a data set")
    kept = {tmp_path / one.path: one for one in Spool(tmp_path).scan()}
    assert set(kept) == {path for _, path in placed} | {tmp_path / undecodable.path}
    for state, path in placed:
        assert (kept[path].state, kept[path].uids) == (state, UIDS)
        assert kept[path].sha256 == (spool.read(path)).sha256
    assert kept[tmp_path / undecodable.path].reason == "not a data set"
    assert kept[tmp_path / undecodable.path].uids.sop_instance_uid == ONE.uid, "the file meta group still says it"


def test_a_failed_sync_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    spool = Spool(tmp_path)
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output"):
        place(spool)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_bytes_are_synced_before_they_have_a_name_and_the_name_before_place_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    seen: list[str] = []
    real_sync, real_link, real_folder = os.fdatasync, os.link, os.fsync

    def note(what: str, path: object) -> None:
        seen.append(f"{what} {Path(str(path)).relative_to(tmp_path).parts[0]}")

    def sync(handle: int) -> None:
        note("bytes", Path(f"/proc/self/fd/{handle}").readlink())
        real_sync(handle)

    def link(source: Path, target: Path) -> None:
        note("name", target)
        real_link(source, target)

    def folder(handle: int) -> None:
        place = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append(f"folder {len(place.relative_to(tmp_path).parts)}")
        real_folder(handle)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "fsync", folder)
    place(spool)
    # new folders' names (study, studies, spool), then the instance's own folder after it has its name
    assert seen == ["bytes incoming", "folder 2", "folder 1", "folder 0", "name studies", "folder 3"]


def test_half_written_files_of_dead_processes_are_swept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    half = tmp_path / "incoming" / "half"
    half.write_bytes(b"x")
    assert spool.sweep(half.stat().st_mtime - 1) == 0
    assert spool.sweep(half.stat().st_mtime + 1) == 1
    assert not half.exists()


def test_a_receiver_that_died_is_told_from_one_that_lives(tmp_path: Path) -> None:
    Spool(tmp_path)
    living, clean, behind = Presence(tmp_path), Presence(tmp_path), Presence(tmp_path)
    clean.leave(filed=True)
    behind.leave(filed=False)
    assert [token for token, _ in departed(tmp_path)] == [behind.token]
    forget(tmp_path, behind.token)
    leave_behind(tmp_path, since=1000.0)
    assert [since for _, since in departed(tmp_path)] == [1000.0]
    living.leave(filed=True)
