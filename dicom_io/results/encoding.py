"""DICOM bytes, explicit little endian: what pydicom encodes, joined with sequences that are encoded here once.

A map refers to thousands of source images in every frame; encoding those references data set by data set costs seconds,
as bytes written once and reused it costs milliseconds. PS3.5 7.1.2, 7.5, PS3.10 7.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info

PREAMBLE = bytes(128) + b"DICM"
ITEM = b"\xfe\xff\x00\xe0"
LONG_LENGTH = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT"}
AFTER_LAST_TAG = 0x1_0000_0000


def element(tag: int, vr: str, value: bytes) -> bytes:
    """One element; text is padded with a space, a UID with a null."""
    if len(value) % 2:
        value += b"\0" if vr in {"UI", "OB"} else b" "
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr.encode("ascii")
    if vr in LONG_LENGTH:
        return head + b"\0\0" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """A sequence element of encoded items, with defined lengths."""
    return element(tag, "SQ", b"".join(ITEM + len(item).to_bytes(4, "little") + item for item in items))


def dataset(ds: Dataset) -> bytes:
    """The elements of a data set, without file meta information."""
    buffer = _buffer()
    write_dataset(buffer, ds, parent_encoding="utf8")
    return buffer.getvalue()


def around(ds: Dataset, tags: Iterable[int]) -> list[bytes]:
    """The elements of a data set before the first, between, and after the last of these (absent) tags, encoded."""
    parts = []
    below = -1
    for tag in [*sorted(tags), AFTER_LAST_TAG]:
        part = Dataset()
        for one in ds:
            if below < one.tag < tag:
                part.add(one)
        parts.append(dataset(part))
        below = tag
    return parts


def merge(parts: list[bytes], own: Mapping[int, bytes]) -> bytes:
    """Put encoded elements into the gaps that `around` left for their tags."""
    elements = [own[tag] for tag in sorted(own)]
    return b"".join(piece for pair in zip(parts, [*elements, b""], strict=True) for piece in pair)


def write_file(path: Path, meta: FileMetaDataset, body: bytes) -> Path:
    """Write a DICOM file of encoded elements."""
    buffer = _buffer()
    write_file_meta_info(buffer, meta)
    path.write_bytes(PREAMBLE + buffer.getvalue() + body)
    return path


def _buffer() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    return buffer
