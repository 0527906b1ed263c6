"""What a scanner does with a finished examination: it sends every object to an application entity, and counts answers.

One association a series, or all series in turn over one. Knows files and the network, nothing of phantoms.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from pydantic import ValidationError
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from service.config import Destination
from service.peer import Broken, Down, Parcel, Peer, Verdict

ADDRESS = re.compile(r"(?P<ae_title>[^@]+)@(?P<host>\[[^\]]+\]|[^:]+):(?P<port>\d+)")
LAST_PORT = 65535
Progress = Callable[[int, int], None]  # objects answered, objects in all


class CannotSend(Exception):
    """Nothing can be sent there, or no more; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How a delivery ended: objects that were taken, those that were not with the reason, and how long it took."""

    taken: int
    refused: tuple[tuple[Path, str], ...]
    seconds: float


def destination(address: str, calling: str) -> Destination:
    """Return where "AET@host:port" is; `calling` = our own AE title. `CannotSend` when it cannot be an address."""
    parts = ADDRESS.fullmatch(address)
    if parts is None:
        raise CannotSend(f"{address} is no address: wanted AET@host:port, for example BETZ@betz.example.org:11112")
    if not 1 <= int(parts["port"]) <= LAST_PORT:
        raise CannotSend(f"{address} is no address: ports go from 1 to {LAST_PORT}")
    try:
        return Destination(
            name=address,
            ae_title=parts["ae_title"],
            host=parts["host"].strip("[]"),
            port=int(parts["port"]),
            calling_ae_title=calling,
        )
    except ValidationError as faults:
        fault = faults.errors()[0]
        what = fault["msg"].removeprefix("Value error, ")
        raise CannotSend(f"{address}, called as {calling}: {fault['loc'][0]} {fault['input']}: {what}") from None


def call(there: Destination) -> None:
    """C-ECHO; `CannotSend` says why nothing could be sent there."""
    try:
        Peer(there).echo()
    except Down as reason:
        raise CannotSend(reason.reason) from None


def in_turn(series: Sequence[Sequence[Path]]) -> list[Path]:
    """Objects of all series mixed: the first of each, then the second of each."""
    return [path for path in chain.from_iterable(zip_longest(*series)) if path is not None]


def send(shares: Sequence[Sequence[Path]], there: Destination, progress: Progress, associations: int = 1) -> Sent:
    """Send every share over an association of its own, `associations` of them at a time.

    An object that is refused is counted and the next one sent; `CannotSend` when an association fails.
    """
    count = _Count(sum(map(len, shares)), progress)
    began = time.monotonic()
    with ThreadPoolExecutor(associations) as pool:
        refused = list(chain.from_iterable(pool.map(lambda share: _send_share(share, there, count), shares)))
    return Sent(count.done - len(refused), tuple(refused), time.monotonic() - began)


class _Count:
    """Objects answered so far, over all associations."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.done = 0
        self.total = total
        self._progress = progress
        self._lock = threading.Lock()

    def one_more(self) -> None:
        with self._lock:
            self.done += 1
            self._progress(self.done, self.total)


def _send_share(files: Sequence[Path], there: Destination, count: _Count) -> list[tuple[Path, str]]:
    parcels = [_parcel(file) for file in files]
    refused = []
    try:
        with Peer(there).storing(parcels) as association:
            for parcel in parcels:
                answer = association.store(parcel)
                if answer.verdict is not Verdict.SENT:
                    refused.append((parcel.path, answer.reason))
                count.one_more()
    except (Down, Broken) as reason:
        raise CannotSend(f"{reason.reason} (after {count.done} of {count.total} objects)") from None
    return refused


def _parcel(file: Path) -> Parcel:
    try:
        return Parcel(str(read_file_meta_info(file).MediaStorageSOPClassUID), file)
    except (OSError, InvalidDicomError, AttributeError):
        raise CannotSend(f"{file} is not a DICOM file") from None
