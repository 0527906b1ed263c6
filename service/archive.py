"""A small archive for the demo and the tests: Storage, Query (study root), C-GET and C-ECHO over a folder of files.

In a thread of this process (`with Archive(folder) as archive: ...`), or as a process of its own:
`python -m service.archive --folder DIR --port 11113 --ae ARCHIVE`. Loopback; not a PACS, and no substitute for one.
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import cast

import click
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from service.peer import without_waiting

LOOPBACK = "127.0.0.1"
MAXIMUM_PDU = 131072  # fewer and larger fragments: half the CPU of pynetdicom's 16 382
# vendors' own storage classes that scanners send beside MR; the standard ones come from pynetdicom
PRIVATE_STORAGE = (
    "1.3.12.2.1107.5.9.1",  # Siemens CSA non-image
    "1.2.840.113619.4.26",  # GE 3D model
    "1.2.840.113619.4.27",  # GE eNTEGRA protocol or NM genie
    "1.2.840.113619.4.30",  # GE PET raw
    "1.3.46.670589.2.3.1.1",  # Philips specialised XA
    "1.3.46.670589.11.0.0.12.1",  # Philips MR spectrum
    "1.3.46.670589.11.0.0.12.2",  # Philips MR series data
    "1.3.46.670589.11.0.0.12.4",  # Philips MR examcard
)

SUCCESS = 0x0000
PENDING = 0xFF00
CANCELLED = 0xFE00
UNABLE_TO_PROCESS = 0xC000
DOES_NOT_MATCH = 0xA900  # of Storage: the data set is not what its command says; of Query: the identifier is not ours

UID_FORM = re.compile(r"[0-9.]{1,64}")
KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
# attributes by the level that they belong to (PS3.4 C.6.2.1): what a query may ask and gets
ATTRIBUTES = {
    "STUDY": (
        *("StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyDescription"),
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    ),
    "SERIES": ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription"),
    "IMAGE": ("SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
}
LEVELS = tuple(ATTRIBUTES)
ATTRIBUTES_TO = {
    level: tuple(keyword for upper in LEVELS[: number + 1] for keyword in ATTRIBUTES[upper])
    for number, level in enumerate(LEVELS)
}
INDEXED = ATTRIBUTES_TO["IMAGE"]
COUNTS = {
    *("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances"),
    "ModalitiesInStudy",
}
Header = dict[str, str]  # keyword -> value as text


class Archive:
    """A folder of DICOM files behind a port; what is stored twice is kept once, the later bytes."""

    def __init__(self, folder: Path, port: int = 0, ae_title: str = "ARCHIVE", host: str = LOOPBACK) -> None:
        """`folder` is made, and indexed where it holds files already; `port` 0 takes a free one when started."""
        self.folder = folder
        self.ae_title = ae_title
        self.host = host
        self._port = port
        self._lock = threading.Lock()
        self._index: dict[str, Header] = {}
        self._ae = AE(ae_title=ae_title)
        self._ae.maximum_pdu_size = MAXIMUM_PDU
        self._ae.require_called_aet = True
        self._ae.add_supported_context(Verification)
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
        storage = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
        for sop_class in (*storage, *PRIVATE_STORAGE):
            # C-GET sends over contexts of the requestor: we must be able to take either role
            self._ae.add_supported_context(sop_class, list(AllTransferSyntaxes), scu_role=True, scp_role=True)
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> Archive:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def port(self) -> int:
        """Port that is listened on; 0 before the first start of an archive that takes a free one."""
        return self._port

    def start(self) -> None:
        """Index the folder and listen, in a thread; OSError when the port is taken."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._index = {header["SOPInstanceUID"]: header for header in _headers(self.folder)}
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_CONN_OPEN, without_waiting),
        ]
        address = (self.host, self._port)
        self._server = cast(
            "ThreadedAssociationServer", self._ae.start_server(address, block=False, evt_handlers=handlers)
        )
        self._port = self._server.server_address[1]

    def stop(self) -> None:
        """Close the port and end its associations; the files stay."""
        if self._server is not None:
            self._ae.shutdown()
            self._server = None

    def stored(self) -> tuple[Path, ...]:
        """Files of the archive, sorted."""
        return tuple(sorted(self.folder.glob("*/*/*.dcm")))

    def _path(self, header: Header) -> Path:
        study, series, instance = (header[key] for key in KEYS.values())
        return self.folder / study / series / f"{instance}.dcm"

    def _store(self, event: Event) -> int:
        data_set = event.dataset
        if data_set.get("SOPInstanceUID") != cast("C_STORE", event.request).AffectedSOPInstanceUID:
            return DOES_NOT_MATCH
        try:
            header = _header(data_set)
        except ValueError:
            return UNABLE_TO_PROCESS
        path = self._path(header)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(event.encoded_dataset())
        part.replace(path)
        with self._lock:
            self._index[header["SOPInstanceUID"]] = header
        return SUCCESS

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        try:
            level, answers = self._matching(event.identifier)
        except ValueError:
            yield DOES_NOT_MATCH, None
            return
        asked = {element.keyword for element in event.identifier}
        for header in answers:
            if event.is_cancelled:
                yield CANCELLED, None
                return
            answer = Dataset()
            answer.QueryRetrieveLevel = level
            answer.RetrieveAETitle = self.ae_title
            answer.SpecificCharacterSet = "ISO_IR 192"
            for keyword in ATTRIBUTES_TO[level]:
                if keyword in asked or keyword in KEYS.values():
                    setattr(answer, keyword, header.get(keyword, ""))
            if asked & COUNTS:
                self._count(answer, header, asked)
            yield PENDING, answer

    def _get(self, event: Event) -> Iterator[int | tuple[int, Dataset | None]]:
        try:
            level, answers = self._matching(event.identifier)
        except ValueError:
            yield 0
            yield DOES_NOT_MATCH, None
            return
        key = KEYS[level]
        wanted = {header[key] for header in answers}
        with self._lock:
            found = [header for header in self._index.values() if header[key] in wanted]
        yield len(found)
        for header in found:
            if event.is_cancelled:
                yield CANCELLED, None
                return
            yield PENDING, dcmread(self._path(header))

    def _matching(self, identifier: Dataset) -> tuple[str, list[Header]]:
        """Level of a query, and one header for each study, series or image that matches; ValueError when it is none."""
        level = str(identifier.get("QueryRetrieveLevel", "")).strip()
        if level not in KEYS:
            raise ValueError(f"level {level!r}")
        asked = [(one.keyword, _values(one.value)) for one in identifier if one.keyword in ATTRIBUTES_TO[level]]
        with self._lock:
            headers = list(self._index.values())
        found: dict[str, Header] = {}
        for header in headers:
            if all(_matches(values, header.get(keyword, "")) for keyword, values in asked):
                found.setdefault(header[KEYS[level]], header)
        return level, list(found.values())

    def _count(self, answer: Dataset, header: Header, asked: set[str]) -> None:
        """Add the counts that a query asked for (PS3.4 C.3.4)."""
        with self._lock:
            of_study = [row for row in self._index.values() if row["StudyInstanceUID"] == header["StudyInstanceUID"]]
        of_series = [row for row in of_study if row["SeriesInstanceUID"] == header["SeriesInstanceUID"]]
        counts = {
            "NumberOfStudyRelatedSeries": len({row["SeriesInstanceUID"] for row in of_study}),
            "NumberOfStudyRelatedInstances": len(of_study),
            "NumberOfSeriesRelatedInstances": len(of_series),
            "ModalitiesInStudy": sorted({row.get("Modality", "") for row in of_study}),
        }
        for keyword in asked & COUNTS:
            setattr(answer, keyword, counts[keyword])


def _header(data_set: Dataset) -> Header:
    header = {keyword: str(data_set[keyword].value or "") for keyword in INDEXED if keyword in data_set}
    for keyword in KEYS.values():
        if not UID_FORM.fullmatch(header.get(keyword, "")):
            raise ValueError(f"{keyword} is not a UID")
    return header


def _headers(folder: Path) -> Iterator[Header]:
    for path in folder.rglob("*.dcm"):
        with contextlib.suppress(InvalidDicomError, ValueError):  # a stranger in the folder is not ours to serve
            yield _header(dcmread(path, specific_tags=list(INDEXED), stop_before_pixels=True))


def _values(value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (str(value),)
    return tuple(str(one) for one in value)


def _matches(asked: tuple[str, ...], held: str) -> bool:
    """PS3.4 C.2.2.2: universal, single value, list of UIDs, wild card, range of dates."""
    if not asked:
        return True
    return any(_matches_one(one, held) for one in asked)


def _matches_one(asked: str, held: str) -> bool:
    if re.fullmatch(r"\d{8}-(\d{8})?|-\d{8}", asked):
        first, last = asked.split("-")
        return (first or held) <= held <= (last or held)
    if "*" in asked or "?" in asked:
        return fnmatch.fnmatchcase(held, asked.replace("[", "[[]"))
    return asked == held


@click.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where the files lie.")
@click.option("--port", type=click.IntRange(0, 65535), default=11113, show_default=True, help="0 takes a free one.")
@click.option("--ae", "ae_title", default="ARCHIVE", show_default=True, help="AE title that is answered to.")
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
def main(folder: Path, port: int, ae_title: str, host: str) -> None:
    """Run the archive until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Archive(folder, port, ae_title, host) as archive:
        click.echo(f"{archive.ae_title} listens on {archive.host}:{archive.port}, files in {folder}")
        stop.wait()


if __name__ == "__main__":
    main()
