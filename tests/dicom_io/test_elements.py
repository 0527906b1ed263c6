"""The header walker against pydicom, and against bytes that are no DICOM at all."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_io import elements
from dicom_io.elements import Elements, Malformed
from tests.dicom_io import synthetic as made

ECHO_TIME, ROWS, POSITION, UID = 0x00180081, 0x00280010, 0x00200032, 0x00080018
SEQUENCE, CODE_MEANING, BVALUE = 0x00082218, 0x00080104, 0x00189087


def sample() -> Dataset:
    ds = made.instance(EchoTime=30.5, ImagePositionPatient=[1.5, -2.0, 3e2], DiffusionBValue=1000.0)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "12738006", "SCT", "Brain"
    ds.AnatomicRegionSequence = [code]
    return ds


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.1", ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("undefined", [False, True])
def test_every_uncompressed_transfer_syntax_reads_alike(tmp_path: Path, syntax: str, undefined: bool) -> None:
    ds = sample()
    ds["AnatomicRegionSequence"].is_undefined_length = undefined
    ds.AnatomicRegionSequence[0].is_undefined_length_sequence_item = undefined
    meta, data = elements.read(made.write(tmp_path / "one.dcm", ds, syntax))
    assert meta.text(0x00020010) == syntax
    assert data.number(ECHO_TIME) == 30.5
    assert data.integer(ROWS) == 256
    assert data.vector(POSITION) == (1.5, -2.0, 300.0)
    assert data.number(BVALUE) == 1000.0
    assert data.item(SEQUENCE).text(CODE_MEANING) == "Brain"
    assert data.text(UID) == ds.SOPInstanceUID, "elements after the sequence are found"


def test_a_file_without_preamble_and_meta_is_read() -> None:
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, sample(), implicit_vr=True, little_endian=True)
    _, data = elements.parse(buffer.getvalue())
    assert data.number(ECHO_TIME) == 30.5


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


@pytest.mark.parametrize(
    ("vr", "value"),
    [(b"DS", b"abc "), (b"DS", b"nan "), (b"DS", b"1\\x "), (b"DS", b""), (b"DS", b"1e999 "), (b"DS", b"\xff\xfe"),
     (b"FD", b"1234"), (b"FD", struct.pack("<d", float("inf"))), (b"SQ", b"")],
)  # fmt: skip
def test_garbage_is_not_a_number_and_no_error(vr: bytes, value: bytes) -> None:
    head = explicit(UID, b"UI", b"1.2\0")
    element = explicit(ECHO_TIME, vr, value) if vr != b"SQ" else struct.pack("<HH2sHI", 0x18, 0x81, vr, 0, 0)
    _, data = elements.parse(head + element)
    assert data.number(ECHO_TIME) is None
    assert data.numbers(ECHO_TIME) == ()
    assert data.vector(ECHO_TIME) is None


def test_a_number_under_another_vr_is_still_that_number() -> None:
    head = explicit(UID, b"UI", b"1.2\0")
    _, data = elements.parse(head + explicit(ECHO_TIME, b"LO", b"30.5") + explicit(BVALUE, b"DS", b"1000"))
    assert (data.number(ECHO_TIME), data.number(BVALUE)) == (30.5, 1000.0)
    unknown = struct.pack("<HH2sHI", 0x18, 0x9087, b"UN", 0, 8) + struct.pack("<d", 700.0)
    _, data = elements.parse(head + unknown)
    assert data.number(BVALUE) == 700.0


def test_a_sequence_stored_as_unknown_is_in_implicit_vr_inside() -> None:
    """PS3.5 6.2.2: UN of undefined length holds a sequence in implicit VR, whatever stands around it."""
    inside = implicit(ROWS, struct.pack("<H", 77)) + implicit(CODE_MEANING, b"Brain ")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inside)) + inside
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    opened = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inside + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    for content in (item, opened):
        unknown = struct.pack("<HH2sHI", 0x0008, 0x2218, b"UN", 0, 0xFFFFFFFF) + content + end
        _, data = elements.parse(explicit(UID, b"UI", b"1.2\0") + unknown + explicit(ECHO_TIME, b"DS", b"30"))
        assert data.item(SEQUENCE).text(CODE_MEANING) == "Brain"
        assert data.item(SEQUENCE).integer(ROWS) == 77
        assert data.number(ECHO_TIME) == 30


def test_a_private_block_is_found_where_it_was_moved_to() -> None:
    ds = made.instance()
    ds.private_block(0x0043, "OTHER", create=True).add_new(0x39, "LO", "x")
    ds.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", 1000)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, implicit_vr=False, little_endian=True)
    _, data = elements.parse(buffer.getvalue())
    assert data.private("GEMS_PARM_01", 0x0043, 0x39) == 0x0043_1139
    assert data.number(data.private("GEMS_PARM_01", 0x0043, 0x39)) == 1000


def test_sequences_nested_without_end_are_refused_not_followed() -> None:
    opening = struct.pack("<HH2sHI", 0x08, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    with pytest.raises(Malformed, match="nested"):
        elements.parse(b"\0" * 128 + b"DICM" + explicit(UID, b"UI", b"1.2\0") + opening * 5000)


@pytest.mark.parametrize("text", [b"", b"hello", b"# a text file\n" * 100, b"\x89PNG\r\n\x1a\n" + b"\0" * 300])
def test_other_files_are_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        elements.parse(text)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_no_bytes_at_all_raise_anything_but_malformed(garbage: bytes) -> None:
    for start in (b"", b"\0" * 128 + b"DICM", explicit(UID, b"UI", b"1.2\0")):
        try:
            _, data = elements.parse(start + garbage)
        except Malformed:
            continue
        touch(data)


def touch(data: Elements, depth: int = 0) -> None:
    for tag in data.places:
        data.text(tag), data.texts(tag), data.numbers(tag), data.vector(tag), data.integer(tag)
        if depth < 3:
            for item in data.items(tag):
                touch(item, depth + 1)


def encoded(implicit_vr: bool) -> bytes:
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, sample(), implicit_vr=implicit_vr, little_endian=True)
    return buffer.getvalue()


WHOLE = (encoded(False), encoded(True))


@settings(max_examples=200, deadline=None)
@given(
    whole=st.sampled_from(WHOLE),
    hits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.floats(0, 1),
)
def test_a_damaged_header_raises_nothing_but_malformed(whole: bytes, hits: list[tuple[float, int]], cut: float) -> None:
    damaged = bytearray(whole)
    for place, value in hits:
        damaged[int(place * len(damaged))] = value
    del damaged[int(cut * len(damaged)) :]
    try:
        _, parsed = elements.parse(bytes(damaged))
    except Malformed:
        return
    touch(parsed)


REAL = ("canon-galan-dwi", "ge-architect-b0map", "philips-achieva-svs", "philips-elition-study",
        "siemens-prisma-sagittal-mosaic", "siemens-prisma-xa30-enhanced", "uih-umr770-dwi")  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_every_element_of_real_headers_is_where_pydicom_finds_it(data: Callable[[str], Path], name: str) -> None:
    files = sorted(path for path in data(name).rglob("*") if path.suffix == ".dcm" or "MRDC" in path.name)
    for path in files[:: max(1, len(files) // 4)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = pydicom.dcmread(path, stop_before_pixels=True)
        _, ours = elements.read(path)
        same(ours, theirs)


def same(ours: Elements, theirs: Dataset) -> None:
    tags = [int(tag) for tag in theirs.keys()]  # noqa: SIM118  iterating the data set itself would convert every value
    assert {tag for tag in ours.places if tag & 0xFFFF} == {tag for tag in tags if tag & 0xFFFF}
    for tag in tags:
        element = theirs.get_item(tag)
        if element.VR == "SQ" or (element.VR == "UN" and not isinstance(element.value, bytes)):
            items = ours.items(tag)
            assert len(items) == len(theirs[tag].value)
            for mine, other in zip(items, theirs[tag].value, strict=True):
                same(mine, other)
        elif isinstance(element.value, bytes):
            assert ours.raw(tag) == element.value
