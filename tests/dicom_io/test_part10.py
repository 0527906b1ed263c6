"""Files by hand: what pydicom reads in them is what was meant, and hostile bytes end in a sentence."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_io.part10 import Origin, Uids, Undecodable, file_head, read_file_head, scan_uids

UIDS = Uids("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4", "1.2.3", "1.2.3.5")
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def data_set() -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.StudyInstanceUID, made.SeriesInstanceUID = (
        UIDS.sop_class_uid,
        UIDS.sop_instance_uid,
        UIDS.study_uid,
        UIDS.series_uid,
    )
    made.PatientName = "Geheim^Gerda"
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.9.9"
    inner.StudyInstanceUID = "9.9.9"  # in a sequence: not the object's own
    made.ReferencedStudySequence = Sequence([inner])
    made["ReferencedStudySequence"].is_undefined_length = True
    inner.is_undefined_length_sequence_item = True
    block = made.private_block(0x0009, "MAKER", create=True)
    block.add_new(0x01, "UN", b"\x01\x02")
    made.PixelData = b"\0\0" * 16
    made["PixelData"].VR = "OW"
    return made


def encoded(made: Dataset, syntax: str) -> bytes:
    file = io.BytesIO()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    pydicom.dcmwrite(file, made, enforce_file_format=True)
    (length,) = struct.unpack_from("<L", file.getvalue(), 140)  # of (0002,0000), the first element
    return file.getvalue()[144 + length :]


def test_pydicom_reads_the_file_head_as_it_was_meant() -> None:
    origin = Origin(UIDS.sop_class_uid, "1.2.3.41", ExplicitVRLittleEndian, "SCANNER", "dicom://10.1.2.3")
    file = io.BytesIO(file_head(origin) + encoded(data_set(), ExplicitVRLittleEndian))
    read = pydicom.dcmread(file)
    assert read.file_meta.MediaStorageSOPInstanceUID == "1.2.3.41"
    assert read.file_meta.SourceApplicationEntityTitle == "SCANNER"
    assert read.file_meta.SourcePresentationAddress == "dicom://10.1.2.3"
    assert read.PatientName == "Geheim^Gerda"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_uids_of_every_uncompressed_syntax_are_found(syntax: str) -> None:
    assert scan_uids(encoded(data_set(), syntax), syntax) == UIDS


def test_a_file_is_split_where_its_data_set_begins() -> None:
    body = encoded(data_set(), ImplicitVRLittleEndian)
    head = file_head(Origin(UIDS.sop_class_uid, UIDS.sop_instance_uid, ImplicitVRLittleEndian, "ODD"))
    found = read_file_head(head + body)
    assert (found.transfer_syntax_uid, found.sop_instance_uid) == (ImplicitVRLittleEndian, UIDS.sop_instance_uid)
    assert (head + body)[found.data_set_at :] == body


def test_an_unknown_sequence_of_undefined_length_is_read_as_implicit() -> None:
    item = struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0xFFFFFFFF, 0x0009, 0x1002, 4) + b"AAAA"
    item += struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    unknown = struct.pack("<HH2sHL", 0x0009, 0x1001, b"UN", 0, 0xFFFFFFFF) + item
    study = struct.pack("<HH2sH", 0x0020, 0x000D, b"UI", 4) + b"1.2\0"
    assert scan_uids(unknown + study, ExplicitVRLittleEndian).study_uid == "1.2"


def test_nothing_behind_the_series_uid_is_looked_at() -> None:
    body = encoded(data_set(), ExplicitVRLittleEndian)
    end = body.index(b"1.2.3.5\0") + 8
    assert scan_uids(body[:end] + b"\xff" * 100, ExplicitVRLittleEndian) == UIDS


def test_implicit_bytes_said_to_be_explicit_are_undecodable() -> None:
    with pytest.raises(Undecodable, match="no value representation"):
        scan_uids(encoded(data_set(), ImplicitVRLittleEndian), ExplicitVRLittleEndian)


def test_a_value_longer_than_what_came_is_undecodable() -> None:
    body = encoded(data_set(), ExplicitVRLittleEndian)
    with pytest.raises(Undecodable, match=r"ends inside|claims"):
        scan_uids(body[: body.index(b"1.2.3.5")], ExplicitVRLittleEndian)


def test_sequences_nested_without_end_are_undecodable() -> None:
    level = struct.pack("<HH2sHL", 0x0008, 0x1110, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    with pytest.raises(Undecodable, match="nested deeper"):
        scan_uids(level * 10_000, ExplicitVRLittleEndian)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(SYNTAXES))
def test_any_bytes_give_uids_or_a_sentence(data: bytes, syntax: str) -> None:
    with contextlib.suppress(Undecodable):
        scan_uids(data, syntax)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=6), st.sampled_from(SYNTAXES))
def test_a_damaged_data_set_gives_uids_or_a_sentence(at: int, damage: bytes, syntax: str) -> None:
    body = bytearray(encoded(data_set(), syntax))
    body[at : at + len(damage)] = damage
    with contextlib.suppress(Undecodable):
        scan_uids(bytes(body), syntax)


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "philips-elition-study",
        "siemens-prisma-xa30-enhanced",
        "canon-galan-dwi",
        "uih-umr770-dwi",
        "siemens-terra-xa60-svs",
    ],
)
def test_the_scan_agrees_with_pydicom_on_real_scanners(data: Callable[[str], Path], name: str) -> None:
    files = [path for path in sorted(data(name).rglob("*")) if path.is_file()]
    compared = 0
    for path in files[:: max(1, len(files) // 20)]:
        content = path.read_bytes()
        if content[128:132] != b"DICM":
            continue
        head = read_file_head(content)
        read = pydicom.dcmread(path, stop_before_pixels=True)
        assert scan_uids(content[head.data_set_at :], head.transfer_syntax_uid) == Uids(
            read.SOPClassUID, read.SOPInstanceUID, read.StudyInstanceUID, read.SeriesInstanceUID
        )
        compared += 1
    assert compared
