"""The other side of an association that Betz opens: echo, store, find; its answers as values and sentences.

Knows DICOM's network, nothing of ledger or spool. Status codes: PS3.4 B.2.3 (Storage), C.4.1.1.4 (Query); PS3.7 C.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from service.config import Destination

CONNECT_WITHIN_S = 10.0
NEGOTIATE_WITHIN_S = 30.0
ANSWER_WITHIN_S = 120.0  # a loaded PACS may take long over an object; longer than this is a lost connection
SLOWEST_BYTES_PER_S = 250_000  # a poor line between buildings; gives large objects their time on top
MAXIMUM_PDU = 131072  # half the CPU of pynetdicom's 16 382 and no slower than larger ones
UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)  # each in a context of its own, so that both may be had

SUCCESS = 0x0000
DUPLICATE = 0x0111  # it has the object already: what was wanted
PROCESSING_FAILURE = 0x0110
COMMENT_MAX = 64  # VR LO of Error Comment


class Down(Exception):
    """The destination cannot be used now: not reached, rejects us, has no room, does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Broken(Exception):
    """The association ended while one object was on its way."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoQuery(Exception):
    """The destination does not answer our queries: it refuses the class, or each request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Verdict(StrEnum):
    """What an answer to one object means."""

    SENT = "sent"
    RETRY = "retry"  # this object, later
    REFUSED = "refused"  # for good


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one object, and why; an empty reason is plain Success."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One object to send."""

    sop_class_uid: str
    path: Path


class Peer:
    """One destination as Betz calls it; `hang_up` may come from another thread, everything else from one."""

    def __init__(self, destination: Destination, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        """Nothing is opened yet."""
        self._destination = destination
        self._ae = AE(ae_title=destination.calling_ae_title)
        self._ae.connection_timeout = CONNECT_WITHIN_S
        self._ae.acse_timeout = min(NEGOTIATE_WITHIN_S, answer_within_s)
        self._ae.dimse_timeout = self._ae.network_timeout = answer_within_s
        self._answer_within_s = answer_within_s
        self._lock = threading.Lock()
        self._open: Association | None = None

    def echo(self) -> None:
        """C-ECHO; `Down` when it is not answered with Success."""
        association = self._associate([build_context(Verification)])
        try:
            if not association.is_established:
                raise Down(f"{self._place} accepts the association but not the Verification class")
            status = association.send_c_echo()
            if "Status" not in status or status.Status != SUCCESS:
                raise Down(f"{self._place} does not answer C-ECHO with Success")
        finally:
            self._close(association)

    @contextmanager
    def storing(self, parcels: Sequence[Parcel]) -> Iterator[Storing]:
        """Open one association with contexts for what is to be sent, and no others; `Down` when there is none."""
        association = self._associate(_storage_contexts(parcels))
        try:
            yield Storing(association, self._place, self._answer_within_s)
        finally:
            self._close(association)

    def held(self, series: Iterable[tuple[str, str]]) -> set[str]:
        """SOP Instance UIDs that the destination has of some (study UID, series UID); one C-FIND a series.

        Raises `Down` when it cannot be asked now, `NoQuery` when it does not let itself be asked.
        """
        association = self._associate([build_context(StudyRootQueryRetrieveInformationModelFind, list(UNCOMPRESSED))])
        try:
            if not association.is_established:
                raise NoQuery(f"{self._place} does not accept queries (Study Root C-FIND)")
            return {uid for study_uid, series_uid in series for uid in self._images(association, study_uid, series_uid)}
        finally:
            self._close(association)

    def hang_up(self) -> None:
        """Abort the open association, if there is one."""
        with self._lock:
            association = self._open
        if association is not None and association.is_established:
            association.abort()

    @property
    def _place(self) -> str:
        return f"{self._destination.ae_title} at {self._destination.host}:{self._destination.port}"

    def _associate(self, contexts: list[PresentationContext]) -> Association:
        """Open an association; one that was negotiated to no context at all comes back closed."""
        connected = threading.Event()

        def opened(event: Event) -> None:
            connected.set()
            without_waiting(event)

        destination = self._destination
        try:
            association = self._ae.associate(
                destination.host,
                destination.port,
                contexts=contexts,
                ae_title=destination.ae_title,
                max_pdu=MAXIMUM_PDU,
                evt_handlers=[(evt.EVT_CONN_OPEN, opened)],
            )
        except socket.gaierror:
            raise Down(f"the name {destination.host} has no address: wrong host, or the name service is down") from None
        keep_answers(association)
        if association.is_established:
            with self._lock:
                self._open = association
            return association
        if association.rejected_contexts:
            return association
        if association.is_rejected:
            answer = association.acceptor.primitive
            why = f": {answer.reason_str}" if answer is not None and answer.reason_str else ""
            raise Down(f"{self._place} rejects the association{why}")
        if connected.is_set():
            raise Down(f"{self._place} takes the connection but does not answer the association request")
        raise Down(f"{self._place} does not answer: nothing listens there, or the network is down")

    def _close(self, association: Association) -> None:
        with self._lock:
            self._open = None
        if association.is_established:
            association.release()

    def _images(self, association: Association, study_uid: str, series_uid: str) -> Iterator[str]:
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = study_uid
        query.SeriesInstanceUID = series_uid
        query.SOPInstanceUID = ""
        if not association.is_established:
            raise NoQuery(f"{self._place} ended the association instead of answering a query")
        for status, answer in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
            if "Status" not in status:
                # an Orthanc that does not allow us to query does so by ending the association
                raise NoQuery(f"{self._place} ended the association instead of answering a query")
            if answer is not None:
                yield str(answer.get("SOPInstanceUID", ""))
            elif status.Status != SUCCESS:
                raise NoQuery(f"{self._place} answers queries with {_status_text(status)}")


def without_waiting(event: Event) -> None:
    """Handle a new connection: nobody waits 40 ms for an acknowledgement that the other delays.

    TCP_NODELAY sends our small PDUs at once. DCMTK and Orthanc write an answer in two parts and hold the second until
    the first is acknowledged: TCP_QUICKACK does that at once, and the kernel forgets it after each read.
    """
    wire: Any = event.assoc.dul.socket
    if wire is None or wire.socket is None:
        return
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    read = wire.recv

    def acknowledging(length: int) -> Any:
        received = read(length)
        if wire.socket is not None:
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return received

    wire.recv = acknowledging


def keep_answers(association: Association) -> None:
    """Leave every answer on an association that Betz opened to the caller who waits for it.

    On a loaded machine pynetdicom's own thread (3.0.4, `Association._run_reactor`) now and then takes the answer first
    and drops it, and `send_*` waits in vain until the time for an answer is over. It looks without waiting, the caller
    waits. There is nothing that it could miss: on these associations nobody asks Betz for anything.
    """
    dimse: Any = association.dimse
    next_message = dimse.get_msg

    def awaited(block: bool = False) -> Any:
        return next_message(block=True) if block else (None, None)

    dimse.get_msg = awaited


class Storing:
    """An open association that takes objects."""

    def __init__(self, association: Association, place: str, answer_within_s: float) -> None:
        """`association` as negotiated, also when no context was accepted."""
        self._association = association
        self._place = place
        self._answer_within_s = answer_within_s
        self._accepted = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0])) for context in association.accepted_contexts
        }

    def store(self, parcel: Parcel) -> Answer:
        """C-STORE one object, in its own transfer syntax where that was accepted.

        Raises `Broken` when the association ends on it, `Down` when the destination has no room or stays silent.
        """
        syntaxes = {syntax for sop_class, syntax in self._accepted if sop_class == parcel.sop_class_uid}
        if not syntaxes:
            return Answer(Verdict.REFUSED, f"{self._place} does not accept {UID(parcel.sop_class_uid).name}")
        try:
            data_set = _read(parcel.path, syntaxes)
            patience_s = self._answer_within_s + parcel.path.stat().st_size / SLOWEST_BYTES_PER_S
        except (OSError, InvalidDicomError) as error:
            return Answer(Verdict.RETRY, f"its file cannot be read: {getattr(error, 'strerror', None) or error}")
        self._association.dimse_timeout = patience_s
        began = time.monotonic()
        try:
            status = self._association.send_c_store(data_set)
        except (AttributeError, ValueError) as error:
            return Answer(Verdict.REFUSED, f"it has no form that {self._place} takes: {error}")
        except RuntimeError:  # what pynetdicom raises on an association that has ended
            raise Broken("the destination had ended the association before") from None
        if "Status" in status:
            return self._judge(status)
        if time.monotonic() - began >= patience_s:
            raise Down(f"{self._place} did not answer within {patience_s:.0f} s")
        raise Broken("the destination ended the association")

    def _judge(self, status: Dataset) -> Answer:
        code = int(status.Status)
        text = _status_text(status)
        if code == SUCCESS:
            return Answer(Verdict.SENT)
        if code == DUPLICATE or 0xB000 <= code <= 0xBFFF:
            return Answer(Verdict.SENT, f"accepted with {text}")
        if 0xA700 <= code <= 0xA7FF:
            raise Down(f"{self._place} has no room: {text}")
        if code == PROCESSING_FAILURE or not _is_final(code):
            return Answer(Verdict.RETRY, f"{self._place} failed with {text}")
        return Answer(Verdict.REFUSED, f"{self._place} refused it with {text}")


def _read(path: Path, syntaxes: set[str]) -> Dataset:
    data_set = dcmread(path)
    own = data_set.file_meta.TransferSyntaxUID
    if own.is_compressed and str(own) not in syntaxes:
        # the UID must not change: what is delivered is what the ledger knows
        data_set.decompress(generate_instance_uid=False)
    return data_set


def _is_final(code: int) -> bool:
    """Whether PS3.4 table B.2-1 and PS3.7 annex C make the same answer likely for ever."""
    return 0xA800 <= code <= 0xAFFF or 0xC000 <= code <= 0xCFFF or 0x0100 <= code <= 0x02FF


def _status_text(status: Dataset) -> str:
    comment = str(status.get("ErrorComment", "") or "").strip()[:COMMENT_MAX]
    return f"status 0x{int(status.Status):04X}" + (f" ({comment})" if comment else "")


def _storage_contexts(parcels: Sequence[Parcel]) -> list[PresentationContext]:
    wanted: dict[tuple[str, str], None] = {}
    for parcel in parcels:
        for syntax in (_own_syntax(parcel.path), *UNCOMPRESSED):
            wanted[parcel.sop_class_uid, str(syntax)] = None
    return [build_context(sop_class, syntax) for sop_class, syntax in wanted]


def _own_syntax(path: Path) -> Any:
    try:
        return read_file_meta_info(path).TransferSyntaxUID
    except (OSError, InvalidDicomError, AttributeError):
        return ExplicitVRLittleEndian  # `store` will say what is wrong with the file
