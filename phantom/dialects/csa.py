"""Siemens' CSA2 header: named tags of text items in one private element.

Layout as E11 writes it (https://nipy.org/nibabel/dicom/siemens_csa.html): 'SV10' 04 03 02 01, count, 77; then a tag of
84 bytes, then its items of 16 bytes and their text. Every tag that has a value has six items or a multiple of six, the
rest empty: readers take three items of a tag of one value, and would run into the next tag.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

ITEMS_AT_LEAST = 6
FILLED, EMPTY = 77, 205  # the word that ends each head
_SYNGO_TYPES = {"DS": 3, "FD": 4, "IS": 6, "SL": 7, "US": 10, "CS": 16, "LO": 19, "SH": 22, "UT": 27}


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag: its name, how many values it may have (0 = any), value representation, values as text."""

    name: str
    multiplicity: int
    vr: str
    values: tuple[str, ...] = ()


def whole(name: str, value: int, vr: str = "IS") -> Tag:
    """A tag of one whole number."""
    return Tag(name, 1, vr, (f"{value:<8d}",))


def real(name: str, values: Iterable[float], multiplicity: int | None = None, vr: str = "FD") -> Tag:
    """A tag of numbers with eight decimals; `multiplicity` where it is not their count."""
    texts = tuple(f"{float(value):.8f}" for value in values)
    return Tag(name, len(texts) if multiplicity is None else multiplicity, vr, texts)


def text(name: str, value: str, vr: str) -> Tag:
    """A tag of one text."""
    return Tag(name, 1, vr, (value,))


def encode(tags: Iterable[Tag], length: int = 0) -> bytes:
    """Header of these tags, filled up with zeros to at least `length` bytes, even."""
    tags = tuple(tags)
    parts = [b"SV10\x04\x03\x02\x01", struct.pack("<II", len(tags), FILLED)]
    for tag in tags:
        count = -(-len(tag.values) // ITEMS_AT_LEAST) * ITEMS_AT_LEAST
        parts.append(
            struct.pack(
                "<64si4siii",
                tag.name.encode(),
                tag.multiplicity,
                tag.vr.encode(),
                _SYNGO_TYPES[tag.vr],
                count,
                FILLED if count else EMPTY,
            )
        )
        for value in tag.values:
            item = value.encode() + b"\0"
            parts += [
                struct.pack("<4i", len(item), len(item), FILLED, len(item)),
                item.ljust(-(-len(item) // 4) * 4, b"\0"),
            ]
        parts += [struct.pack("<4i", 0, 0, EMPTY, 0)] * (count - len(tag.values))
    encoded = b"".join(parts)
    return encoded.ljust(max(length, len(encoded) + len(encoded) % 2), b"\0")
