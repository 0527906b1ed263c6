"""DICOM files written and read by hand (PS3.10 section 7, PS3.5 section 7): bytes as received stay as received.

In: an encoded data set and what the association said of it. Out: the head of a file (preamble and file meta group) to
put before it, and the few UIDs at its beginning, found by a scan that stops early and decodes nothing else.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

IMPLEMENTATION_CLASS_UID = "2.25.232117862158043516340853164284290211329"  # made once from a random UUID (PS3.5 B.2)
IMPLEMENTATION_VERSION_NAME = "BETZ_0.1"
PREAMBLE = bytes(128) + b"DICM"

SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
WANTED = frozenset((SOP_CLASS, SOP_INSTANCE, STUDY, SERIES))
META_INSTANCE, META_SYNTAX = 0x00020003, 0x00020010

# PS3.5 table 7.1-1 (long: two reserved bytes and a length of four) and 7.1-2
LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
SHORT_VRS = frozenset(
    (
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"),
        *(b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    )
)
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
DEEPEST = 64  # nesting of sequences that no scanner reaches; beyond it somebody is attacking the reader
INFLATED_AT_MOST = 16 << 20  # bytes of a deflated data set looked at; the UIDs stand in the first kilobytes


class Undecodable(Exception):
    """These bytes are not a data set in that transfer syntax; the reason is a sentence."""


@dataclass(frozen=True, slots=True)
class Uids:
    """The UIDs at the head of a data set, as text without padding; "" = not there."""

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What the association said of an instance: the file meta group keeps it, the data set stays untouched."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae: str = ""
    source_address: str = ""  # presentation address of the sender, a URI


def file_head(origin: Origin) -> bytes:
    """Preamble, prefix and file meta group (PS3.10 table 7.1-1) to be written before a data set's bytes."""
    body = b"".join(
        (
            _meta(0x0001, b"OB", b"\x00\x01"),
            _meta(0x0002, b"UI", origin.sop_class_uid.encode("ascii", "replace")),
            _meta(0x0003, b"UI", origin.sop_instance_uid.encode("ascii", "replace")),
            _meta(0x0010, b"UI", origin.transfer_syntax_uid.encode("ascii", "replace")),
            _meta(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
            _meta(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()),
            _meta(0x0016, b"AE", origin.source_ae.encode("ascii", "replace")) if origin.source_ae else b"",
            _meta(0x0026, b"UR", origin.source_address.encode("ascii", "replace")) if origin.source_address else b"",
        )
    )
    return PREAMBLE + _meta(0x0000, b"UL", struct.pack("<L", len(body))) + body


def _meta(element: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\x00" if vr in (b"UI", b"OB") else b" "
    if vr in LONG_VRS:
        return struct.pack("<HH2sHL", 2, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


@dataclass(frozen=True, slots=True)
class FileHead:
    """What a file says before its data set, and where the data set begins (bytes from the file's start)."""

    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_at: int


def read_file_head(data: memoryview | bytes) -> FileHead:
    """Read preamble and file meta group of a file's first bytes; `Undecodable` when it is no DICOM file."""
    view = memoryview(data)
    if bytes(view[128:132]) != b"DICM":
        raise Undecodable("the file does not begin with a DICOM preamble")
    walk = _Walk(view, little=True, explicit=True)
    found: dict[int, str] = {}
    at = len(PREAMBLE)
    while at + 8 <= len(view) and view[at] == 2 and view[at + 1] == 0:
        element = walk.element(at)
        if element.tag in (META_INSTANCE, META_SYNTAX):
            found[element.tag] = _text(walk.value(element))
        at = walk.after(element)
    if META_SYNTAX not in found:
        raise Undecodable("the file meta group names no transfer syntax")
    return FileHead(found.get(META_INSTANCE, ""), found[META_SYNTAX], at)


def scan_uids(data: memoryview | bytes, transfer_syntax_uid: str) -> Uids:
    """Find the UIDs of an encoded data set; reads nothing behind Series Instance UID (0020,000E).

    Raises `Undecodable` when the bytes up to there are not that transfer syntax (PS3.5 section 7 and annex A).
    """
    view = memoryview(data)
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        view = memoryview(_inflate(view))
    walk = _Walk(
        view,
        little=transfer_syntax_uid != ExplicitVRBigEndian,
        explicit=transfer_syntax_uid != ImplicitVRLittleEndian,
    )
    found: dict[int, str] = {}
    at = 0
    while at < len(view):
        element = walk.element(at)
        if element.tag > SERIES:
            break
        if element.tag in WANTED:
            found[element.tag] = _text(walk.value(element))
        if element.tag == SERIES:
            break
        at = walk.after(element)
    return Uids(*(found.get(tag, "") for tag in (SOP_CLASS, SOP_INSTANCE, STUDY, SERIES)))


def _inflate(view: memoryview) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(view, INFLATED_AT_MOST)
    except zlib.error:
        raise Undecodable("the deflated data set cannot be inflated") from None


def _text(value: memoryview) -> str:
    return bytes(value).decode("ascii", "replace").rstrip("\x00 ").lstrip()


class _Element(NamedTuple):
    """One encoded element: where its value begins and how long it is; `vr` is empty in implicit VR and for items."""

    tag: int
    vr: bytes
    length: int
    at: int


class _Walk:
    """Steps over encoded elements without reading their values."""

    def __init__(self, view: memoryview, *, little: bool, explicit: bool) -> None:
        order = "<" if little else ">"
        self.view = view
        self.explicit = explicit
        self.head = struct.Struct(order + "HH2sH").unpack_from  # of most elements in explicit VR
        self.u32 = struct.Struct(order + "L").unpack_from

    def element(self, at: int) -> _Element:
        """Read the head of the element at `at`."""
        try:
            group, number, vr, length = self.head(self.view, at)
            tag = (group << 16) | number
            if not self.explicit or group == 0xFFFE:
                return _Element(tag, b"", self.u32(self.view, at + 4)[0], at + 8)
            if vr in SHORT_VRS:
                return _Element(tag, vr, length, at + 8)
            if vr in LONG_VRS:
                return _Element(tag, vr, self.u32(self.view, at + 8)[0], at + 12)
        except struct.error:
            raise Undecodable(f"the data set ends inside the element at byte {at}") from None
        raise Undecodable(f"element {_name(tag)} at byte {at} has no value representation of DICOM")

    def value(self, element: _Element) -> memoryview:
        """Bytes of a value of defined length."""
        return self.view[element.at : self.after(element)]

    def after(self, element: _Element, depth: int = 0) -> int:
        """Offset behind an element; follows sequences of undefined length down to `DEEPEST`."""
        if element.length != UNDEFINED:
            end = element.at + element.length
            if end > len(self.view):
                there = len(self.view) - element.at
                raise Undecodable(f"{_name(element.tag)} claims {element.length} bytes, {there} are there")
            return end
        if depth >= DEEPEST:
            raise Undecodable(f"sequences are nested deeper than {DEEPEST}")
        if element.vr == b"UN" and self.explicit:  # a sequence whose tag the writer did not know: PS3.5 6.2.2 note 7
            return _Walk(self.view, little=True, explicit=False).after(element, depth)
        at = element.at
        while True:
            item = self.element(at)
            if item.tag == SEQUENCE_END:
                return item.at
            if item.tag != ITEM:
                raise Undecodable(f"a sequence holds {_name(item.tag)} where an item belongs")
            at = self.after_item(item.at, depth + 1) if item.length == UNDEFINED else self.after(item)

    def after_item(self, at: int, depth: int) -> int:
        """Offset behind an item of undefined length."""
        while True:
            element = self.element(at)
            if element.tag == ITEM_END:
                return element.at
            at = self.after(element, depth)


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
