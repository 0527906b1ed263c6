"""The spool: every received instance as a file whose bytes are the sender's, durable before anybody is told Success.

    incoming/                                       half-written files; nothing here was ever acknowledged
    studies/<StudyUID>/<SeriesUID>/<SOPUID>.dcm     preamble, file meta group, the data set's bytes untouched
    quarantine/<day>/<n>.dcm + <n>.reason           what cannot be kept as an instance, and why
    receivers/<token>                               locked by each living receiver (service.presence)
    products/ results/ norms/                       of the engine

The spool is the truth; the ledger can be rebuilt from it. Several processes may place at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dicom_io.part10 import FileHead, Origin, Uids, Undecodable, file_head, read_file_head, scan_uids
from service.states import InstanceState

WELL_FORMED_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")  # PS3.5 9.1
LONGEST_UID = 64
HEAD_AT_MOST = 1 << 20  # bytes read of a stored file to find its UIDs again; headers of all scanners are shorter
FOLDERS = ("incoming", "studies", "quarantine", "receivers", "products", "results", "norms")
REMEMBERED = 10_000  # folders known to be durable, quarantined digests: forgotten all at once beyond it


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an instance's bytes are now; `path` is relative to the spool."""

    state: InstanceState
    path: str
    size: int  # of the data set
    sha256: str  # of the data set
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of the spool as it lies on disk."""

    state: InstanceState
    path: str
    uids: Uids
    size: int
    sha256: str
    received_at: float
    reason: str = ""


def is_uid(text: str) -> bool:
    """Tell whether `text` is a well-formed UID (PS3.5 9.1)."""
    return len(text) <= LONGEST_UID and WELL_FORMED_UID.fullmatch(text) is not None


def safe_name(uid: str) -> str:
    """Name of a UID's file or folder: the UID when well formed, else a digest, so that no name comes from the wire."""
    return uid if is_uid(uid) else "uid-" + hashlib.sha256(uid.encode()).hexdigest()[:40]


def ledger_uid(uid: str) -> str:
    """UID as the ledger keeps it: the text itself where it fits the column, else its digest."""
    return uid if len(uid) <= LONGEST_UID and uid.isprintable() else safe_name(uid)


class Spool:
    """A folder tree on one file system; all its files are written whole, then linked to their names."""

    def __init__(self, path: Path) -> None:
        """Open the spool at `path`, making what is not there yet."""
        self.path = path
        for name in FOLDERS:
            (path / name).mkdir(parents=True, exist_ok=True)
        self.reconciled = False  # by service.settle.reconcile, in this process
        self._durable: set[Path] = set()
        self._quarantined: dict[str, str] = {}

    def study_folder(self, study_uid: str) -> Path:
        """Folder of a study's received instances."""
        return self.path / "studies" / safe_name(study_uid)

    def series_folder(self, study_uid: str, series_uid: str) -> Path:
        """Folder of a series' received instances."""
        return self.study_folder(study_uid) / safe_name(series_uid)

    def free_mb(self) -> int:
        """Megabytes that may still be written here."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize // (1 << 20)

    def place(self, origin: Origin, uids: Uids, data_set: memoryview) -> Placed:
        """Keep a data set durably: when this returns, the bytes are synced under their name.

        The first of a UID stays. The same bytes again are a duplicate; other bytes go to quarantine.
        Two processes with the same UID at once agree, because a link never replaces. OSError: nothing was kept.
        """
        sha256 = hashlib.sha256(data_set).hexdigest()
        folder = self.series_folder(uids.study_uid, uids.series_uid)
        target = folder / f"{safe_name(uids.sop_instance_uid)}.dcm"
        held = _data_set_digest(target)
        if held is None:
            half = self._write(file_head(origin), data_set)
            try:
                self._make_durable(folder)
                os.link(half, target)
                _sync_folder(folder)
                return Placed(InstanceState.STORED, self._relative(target), len(data_set), sha256)
            except FileExistsError:
                held = _data_set_digest(target)
            finally:
                half.unlink()
        if held == sha256:
            _sync_folder(
                folder
            )  # the first to arrive may not have synced its name yet, and we are about to say Success
            return Placed(InstanceState.DUPLICATE, self._relative(target), len(data_set), sha256, "same bytes again")
        return self.quarantine(origin, data_set, "the same SOP Instance UID came before with other bytes")

    def quarantine(self, origin: Origin, data_set: memoryview, reason: str) -> Placed:
        """Keep bytes that cannot be an instance, durably, with the reason beside them; the same bytes only once."""
        sha256 = hashlib.sha256(data_set).hexdigest()
        if sha256 in self._quarantined:
            return Placed(InstanceState.QUARANTINED, self._quarantined[sha256], len(data_set), sha256, reason)
        half = self._write(file_head(origin), data_set)
        target = self._put_in_quarantine(half, reason)
        if len(self._quarantined) >= REMEMBERED:
            self._quarantined.clear()
        self._quarantined[sha256] = self._relative(target)
        return Placed(InstanceState.QUARANTINED, self._relative(target), len(data_set), sha256, reason)

    def expel(self, path: str, reason: str) -> Placed:
        """Move a stored file (path relative to the spool) to quarantine, durably."""
        size, sha256, _ = _data_set_size_and_digest(self.path / path)
        target = self._put_in_quarantine(self.path / path, reason)
        return Placed(InstanceState.QUARANTINED, self._relative(target), size, sha256, reason)

    def _put_in_quarantine(self, file: Path, reason: str) -> Path:
        """Give a synced file the next free number of the day, the reason beside it."""
        folder = self.path / "quarantine" / datetime.now(UTC).strftime("%Y-%m-%d")
        self._make_durable(folder)
        number = sum(1 for _ in folder.glob("*.dcm"))
        while True:
            number += 1
            target = folder / f"{number}.dcm"
            try:
                os.link(file, target)
                break
            except FileExistsError:
                continue
        note = self._write(reason.encode(), memoryview(b"\n"))
        note.rename(target.with_suffix(".reason"))
        _sync_folder(folder)
        file.unlink()
        return target

    def series_folders(self, since: float = 0.0) -> Iterator[Path]:
        """Folders of received series; with `since` (UTC seconds) only those where files were added after it."""
        with os.scandir(self.path / "studies") as studies:
            for study in studies:
                with os.scandir(study.path) as found:
                    yield from (Path(s.path) for s in found if s.is_dir() and s.stat().st_mtime >= since)

    def quarantined(self, since: float = 0.0) -> Iterator[Path]:
        """Files in quarantine, oldest day first; with `since` (UTC seconds) only of days that changed after it."""
        for day in sorted((self.path / "quarantine").iterdir()):
            if day.stat().st_mtime >= since:
                yield from sorted(day.glob("*.dcm"), key=lambda path: (len(path.name), path.name))

    def scan(self) -> Iterator[Kept]:
        """Every instance on disk, stored and quarantined, read anew: slow, complete."""
        for folder in self.series_folders():
            for path in sorted(folder.glob("*.dcm")):
                yield self.read(path)
        for path in self.quarantined():
            yield self.read(path)

    def read(self, path: Path) -> Kept:
        """Read one file of the spool again: UIDs, digest, time."""
        size, sha256, received_at = _data_set_size_and_digest(path)
        stored = path.is_relative_to(self.path / "studies")
        note = path.with_suffix(".reason")
        return Kept(
            state=InstanceState.STORED if stored else InstanceState.QUARANTINED,
            path=self._relative(path),
            uids=uids_of(path),
            size=size,
            sha256=sha256,
            received_at=received_at,
            reason=note.read_text("utf-8").strip() if not stored and note.exists() else "",
        )

    def sweep(self, older_than: float) -> int:
        """Remove half-written files left by processes that died before `older_than` (UTC seconds); how many."""
        gone = 0
        for half in (self.path / "incoming").iterdir():
            if half.stat().st_mtime < older_than:
                half.unlink(missing_ok=True)
                gone += 1
        return gone

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _write(self, head: bytes, body: memoryview) -> Path:
        """Write a new file in incoming/ and sync its bytes; nothing is left behind when that fails."""
        half = self.path / "incoming" / secrets.token_hex(16)
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            total = len(head) + len(body)
            done = os.writev(handle, [head, body])
            while done < total:
                done += os.writev(handle, [head[done:], body[max(0, done - len(head)) :]])
            os.fdatasync(handle)
        except OSError:
            half.unlink()
            raise
        finally:
            os.close(handle)
        return half

    def _make_durable(self, folder: Path) -> None:
        """Make a folder and sync the names of it and of those above it, once a process."""
        if folder in self._durable and folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        above = folder
        while above != self.path:
            above = above.parent
            _sync_folder(above)
        if len(self._durable) >= REMEMBERED:
            self._durable.clear()
        self._durable.add(folder)


def uids_of(path: Path) -> Uids:
    """UIDs of a file of the spool; where the data set cannot be scanned, those that its file meta group has."""
    try:
        head = _head(path)
    except Undecodable:
        return Uids("", "", "", "")
    with path.open("rb") as file:
        for amount in (HEAD_AT_MOST, -1):  # a private element of megabytes may stand before the UIDs
            file.seek(head.data_set_at)
            try:
                return scan_uids(file.read(amount), head.transfer_syntax_uid)
            except Undecodable:
                continue
    return Uids("", head.sop_instance_uid, "", "")


def _head(path: Path) -> FileHead:
    with path.open("rb") as file:
        return read_file_head(file.read(HEAD_AT_MOST))


def _data_set_size_and_digest(path: Path) -> tuple[int, str, float]:
    """Bytes and SHA-256 of a file's data set, and when the file was written."""
    try:
        start = _head(path).data_set_at
    except Undecodable:
        start = 0
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        size = 0
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
        return size, digest.hexdigest(), os.fstat(file.fileno()).st_mtime


def _data_set_digest(path: Path) -> str | None:
    """SHA-256 of a file's data set, None when there is no such file."""
    try:
        return _data_set_size_and_digest(path)[1]
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
