"""A patched copy is the object that pydicom would have written."""

import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from phantom.dialects.classic import decimal
from phantom.dialects.stamp import Stamp, encode

UIDS = ("2.25.11111111111111111111111111111111111111", "2.25.22222222222222222222222222222222222222")


def dataset(uid: str, number: str, b: float, pixels: bytes) -> Dataset:
    made = Dataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    made.SOPInstanceUID = uid
    made.InstanceNumber = number
    made.add_new(0x20010010, "LO", "Philips Imaging DD 001")
    made.add_new(0x20011003, "FL", b)
    made.Rows, made.Columns, made.BitsAllocated, made.PixelRepresentation = 2, 2, 16, 0
    made.PixelData = pixels
    return made


def test_a_patched_object_is_byte_for_byte_what_pydicom_writes(tmp_path: Path) -> None:
    stamp = Stamp(dataset(UIDS[0], "00000001", 0.0, bytes(8)))
    pixels = struct.pack("<4H", 1, 2, 3, 4095)
    values = {0x00200013: b"00000042", 0x20011003: struct.pack("<f", 1000.0), 0x7FE00010: pixels}
    stamp.write(tmp_path / "a.dcm", UIDS[1], values)
    assert (tmp_path / "a.dcm").read_bytes() == encode(dataset(UIDS[1], "00000042", 1000.0, pixels))
    assert pydicom.dcmread(tmp_path / "a.dcm").InstanceNumber == 42


def test_a_value_that_does_not_fit_is_an_error_and_not_a_broken_file(tmp_path: Path) -> None:
    stamp = Stamp(dataset(UIDS[0], "01", 0.0, bytes(8)))
    with pytest.raises(ValueError, match="0020,0013"):
        stamp.write(tmp_path / "a.dcm", UIDS[1], {0x00200013: b"12345"})


@pytest.mark.parametrize(
    "value", [-117.42546475677123, 0.1 + 0.2, -1e-9, 1 / 3, -100.0, 0.0, 123456.789012345, -0.00012345678901]
)
def test_decimal_strings_fit_and_keep_a_micrometre(value: float) -> None:
    text = decimal(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, abs=1e-9)
