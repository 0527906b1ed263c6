"""Just enough of DICOM PS3.5 to read a header: where each element of a data set lies, its value on demand.

Why not pydicom here: a Philips classic DWI series is 1394 files with 600 elements each, most of them nested and
private; pydicom needs 5.3 s for their headers, this walker 0.8 s, and garbage is None here, not an error. The tests
hold it against pydicom element by element. Pixel data are never touched.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dicom_io import dictionary

Buffer = bytes | mmap.mmap
Vector = tuple[float, float, float]

EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
TRANSFER_SYNTAX = 0x00020010
FIRST_PIXEL_GROUP = 0x7FE00000
PREAMBLE = 128
DEEPEST = 24  # nested sequences; real headers stay below ten, deeper ones are hostile
WHOLE_FILE_BYTES = 1 << 20  # below it reading the file costs less than mapping it

_LONG = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"))
_SHORT = frozenset(
    (
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"),
        *(b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    )
)
Place = tuple[bytes, int, int]  # VR (b"" when not said), first byte, length (UNDEFINED only for sequences)
_SEQUENCES = (b"SQ", b"UN", b"")
_HEADS = {order: struct.Struct(order + "HH2sHI") for order in "<>"}  # group, element, VR, short length, long length
_BINARY = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d", b"AT": "I", b"UV": "Q", b"SV": "q"}
_TEXT_NUMBERS = frozenset((b"DS", b"IS", b"LO", b"SH", b"CS", b"LT", b"ST", b"UT", b"AS", b""))


class Malformed(Exception):
    """The bytes are not a DICOM data set; the text says where they stop making sense."""


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one data set (or of one item of a sequence), values read when asked for.

    A value that is absent, empty or garbage is None, "" or (): the caller never sees an error.
    """

    buffer: Buffer
    places: dict[int, Place]
    explicit: bool
    order: str  # "<" or ">"

    def __contains__(self, tag: object) -> bool:
        return tag in self.places

    def raw(self, tag: int) -> bytes:
        """Value as stored, b"" when absent or a sequence of undefined length."""
        place = self.places.get(tag)
        if place is None or place[2] == UNDEFINED:
            return b""
        return bytes(self.buffer[place[1] : place[1] + place[2]])

    def text(self, tag: int) -> str:
        """Value as text without padding; several values keep their backslashes."""
        place = self.places.get(tag)
        if place is None or place[0] == b"SQ" or place[2] == UNDEFINED:
            return ""
        if place[0] in _BINARY:
            return "\\".join(f"{value:g}" for value in self.numbers(tag))
        value = self.raw(tag)
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        return text.rstrip("\0 ").strip()

    def texts(self, tag: int) -> tuple[str, ...]:
        """Values of a multi-valued text element, empty ones left out."""
        return tuple(part for part in (piece.strip("\0 ") for piece in self.text(tag).split("\\")) if part)

    def numbers(self, tag: int) -> tuple[float, ...]:
        """All values as finite numbers; () when one of them is not a number, for the rest cannot be trusted then."""
        place = self.places.get(tag)
        if place is None or place[2] in (0, UNDEFINED):
            return ()
        vr, _, length = place
        if vr in (b"", b"UN"):
            vr = dictionary.BINARY.get(tag, b"")
        if vr in _TEXT_NUMBERS:
            return _parse_numbers(self.raw(tag))
        code = _BINARY.get(vr)
        if code is None:
            return ()
        size = struct.calcsize(code)
        if length % size:
            return ()
        values = struct.unpack(f"{self.order}{length // size}{code}", self.raw(tag))
        return values if all(map(math.isfinite, values)) else ()

    def number(self, tag: int) -> float | None:
        """First value as a finite number."""
        values = self.numbers(tag)
        return float(values[0]) if values else None

    def integer(self, tag: int) -> int | None:
        """First value as an integer; None when it has a fraction."""
        value = self.number(tag)
        return int(value) if value is not None and value == int(value) else None

    def vector(self, tag: int) -> Vector | None:
        """Three finite numbers."""
        values = self.numbers(tag)
        return (float(values[0]), float(values[1]), float(values[2])) if len(values) == 3 else None

    def items(self, tag: int) -> list[Elements]:
        """Items of a sequence; what does not parse is left out."""
        return list(self._items(tag))

    def item(self, tag: int) -> Elements:
        """First item of a sequence, an empty one when there is none."""
        return next(self._items(tag), EMPTY)

    def private(self, creator: str, group: int, element: int) -> int:
        """Tag of a private element wherever its block was moved to; block 0x10 when no creator is named."""
        for block in range(0x10, 0x20):
            tag = group << 16 | block
            if tag in self.places and self.text(tag).upper().startswith(creator):
                return group << 16 | block << 8 | element
        return group << 16 | 0x1000 | element

    def _items(self, tag: int) -> Iterator[Elements]:
        place = self.places.get(tag)
        if place is None or place[0] not in _SEQUENCES:
            return
        vr, position, size = place
        explicit = self.explicit and vr == b"SQ"  # PS3.5 6.2.2: a sequence stored as UN is encoded in implicit VR
        limit = len(self.buffer) if size == UNDEFINED else position + size
        try:
            while position + 8 <= limit:
                found, length = _item_header(self.buffer, position, self.order)
                if found != ITEM:
                    return
                end = limit if length == UNDEFINED else min(limit, position + 8 + length)
                places, after = _walk(self.buffer, position + 8, end, explicit, self.order)
                yield Elements(self.buffer, places, explicit, self.order)
                position = after if length == UNDEFINED else end
        except Malformed:
            return


EMPTY = Elements(b"", {}, True, "<")


def read(path: Path) -> tuple[Elements, Elements]:
    """File meta information and data set of a file, up to the pixel data; `Malformed` or OSError if it is none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        buffer: Buffer = (
            file.read() if size <= WHOLE_FILE_BYTES else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        )
    return parse(buffer)


def parse(buffer: Buffer) -> tuple[Elements, Elements]:
    """File meta information and data set of a DICOM file in memory; files without a preamble are read too."""
    start = PREAMBLE + 4 if buffer[PREAMBLE : PREAMBLE + 4] == b"DICM" else 0
    if len(buffer) < start + 8:
        raise Malformed("too short for a DICOM file")
    meta_places, position = _walk(buffer, start, len(buffer), True, "<", stop_group=0x0003) if start else ({}, start)
    meta = Elements(buffer, meta_places, True, "<")
    syntax = meta.text(TRANSFER_SYNTAX)
    if syntax == DEFLATED:
        buffer, position = _inflate(buffer[position:]), 0
    explicit = syntax != IMPLICIT_LITTLE_ENDIAN if syntax else bytes(buffer[position + 4 : position + 6]) in _SHORT
    order = ">" if syntax == EXPLICIT_BIG_ENDIAN else "<"
    try:
        places, _ = _walk(buffer, position, len(buffer), explicit, order, stop_group=0x7FE0)
    except Malformed as reason:
        raise Malformed(str(reason) if start else "no DICM marker and no data set") from None
    return meta, Elements(buffer, places, explicit, order)


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data)
    except zlib.error as error:
        raise Malformed(f"deflated data set: {error}") from None


def _item_header(buffer: Buffer, position: int, order: str) -> tuple[int, int]:
    group, element, length = struct.unpack_from(order + "HHI", buffer, position)
    return group << 16 | element, length


def _walk(
    buffer: Buffer, position: int, end: int, explicit: bool, order: str, stop_group: int = 0x10000, depth: int = 0
) -> tuple[dict[int, Place], int]:
    """Places of all elements from `position` to `end`, an item delimiter, or `stop_group`; and where it stopped."""
    if depth > DEEPEST:
        raise Malformed("sequences nested too deeply")
    places: dict[int, Place] = {}
    head = _HEADS[order].unpack_from
    while position + 8 <= end:
        group, element, code, short, long = (
            head(buffer, position) if position + 12 <= end else _last(buffer, position, order)
        )
        if group >= stop_group:
            break
        if explicit and code in _SHORT:
            start, length = position + 8, short
        elif group == 0xFFFE:
            if element in (0xE00D, 0xE0DD):
                return places, position + 8
            raise Malformed(f"an item where an element was expected, at byte {position}")
        elif explicit and (code in _LONG or code.isalpha()):
            start, length = position + 12, long
        else:  # some writers fall back to implicit VR within an explicit data set
            code, start, length = b"", position + 8, struct.unpack_from(order + "I", buffer, position + 4)[0]
        places[group << 16 | element] = (code, start, length)
        if length == UNDEFINED:
            if code not in _SEQUENCES:
                raise Malformed(f"undefined length of {code!r}, at byte {position}")
            position = _skip_sequence(buffer, start, end, explicit and code != b"UN", order, depth + 1)
        else:
            position = start + length
            if position > end:
                raise Malformed(f"the data set ends inside element ({group:04x},{element:04x})")
    return places, position


def _last(buffer: Buffer, position: int, order: str) -> tuple[int, int, bytes, int, int]:
    """An element header of eight bytes at the very end, where twelve cannot be read."""
    group, element, code, short = struct.unpack_from(order + "HH2sH", buffer, position)
    return group, element, code, short, 0


def _skip_sequence(buffer: Buffer, position: int, end: int, explicit: bool, order: str, depth: int) -> int:
    """Position after a sequence of undefined length."""
    while position + 8 <= end:
        tag, length = _item_header(buffer, position, order)
        position += 8
        if tag == SEQUENCE_END:
            return position
        if tag != ITEM:
            raise Malformed(f"no item in a sequence, at byte {position - 8}")
        if length == UNDEFINED:
            _, position = _walk(buffer, position, end, explicit, order, depth=depth)
        else:
            position += length
    return end


def _parse_numbers(value: bytes) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in value.strip(b"\0 ").split(b"\\"))
    except ValueError:
        return ()
    return values if all(map(math.isfinite, values)) else ()
