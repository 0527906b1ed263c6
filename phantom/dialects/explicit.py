"""Elements in Explicit VR Little Endian (PS3.5 chapter 7) by hand: many small items at a tenth of pydicom's cost.

Element -> `item` (its elements in order of their tags) -> `sequence` (an element again).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword

Scalar = str | int | float
Value = Scalar | tuple[Scalar, ...]

_LONG_FORM = frozenset(("OB", "OW", "SQ", "UN", "UT"))
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_ITEM = struct.Struct("<HHI")


class Element(NamedTuple):
    """One encoded element."""

    tag: int
    encoded: bytes


def element(tag: int, vr: str, value: bytes) -> Element:
    """Element of an encoded value; text is padded to even length with a space."""
    padded = value if len(value) % 2 == 0 else value + b" "
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    length = struct.pack("<HI", 0, len(padded)) if vr in _LONG_FORM else struct.pack("<H", len(padded))
    return Element(tag, head + length + padded)


def valued(tag: int, vr: str, value: Value) -> Element:
    """Element of a number, a text, or several of them."""
    values = value if isinstance(value, tuple) else (value,)
    code = _BINARY.get(vr)
    if code is None:
        return element(tag, vr, "\\".join(map(str, values)).encode("latin-1"))
    return element(tag, vr, struct.pack(f"<{len(values)}{code}", *values))


@lru_cache(maxsize=256)
def _known(keyword: str) -> tuple[int, str]:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is no keyword of the DICOM dictionary")
    return tag, dictionary_VR(tag)


def named(**values: Value) -> list[Element]:
    """Elements by keyword."""
    return [valued(*_known(keyword), value) for keyword, value in values.items()]


def item(elements: Iterable[Element]) -> bytes:
    """Item of a sequence, its elements put in order."""
    content = b"".join(one.encoded for one in sorted(elements, key=lambda one: one.tag))
    return _ITEM.pack(0xFFFE, 0xE000, len(content)) + content


def sequence(keyword: str, *items: bytes) -> Element:
    """Sequence by keyword."""
    return element(_known(keyword)[0], "SQ", b"".join(items))


def private_sequence(tag: int, *items: bytes) -> Element:
    """Sequence with a private tag."""
    return element(tag, "SQ", b"".join(items))


def group(keyword: str, **values: Value) -> Element:
    """Sequence of one item of plain elements: most functional groups are."""
    return sequence(keyword, item(named(**values)))
