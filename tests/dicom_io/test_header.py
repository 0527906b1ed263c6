"""Headers of instances and series: hostile values, order, identity, dates."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.uid import generate_uid

from dicom_io import elements
from dicom_io.classify import classify
from dicom_io.completeness import completeness
from dicom_io.facts import facts
from dicom_io.header import (
    Component,
    InstanceHeader,
    Unreadable,
    is_uid,
    one_patient,
    read_folder,
    read_instance,
    read_series,
)
from tests.dicom_io import synthetic as made


def test_a_series_is_ordered_by_instance_number_then_uid(tmp_path: Path) -> None:
    planes = made.stack(5)
    series = made.series(tmp_path, [planes[i] for i in (3, 0, 4, 2, 1)])
    assert [one.instance_number for one in series.instances] == [1, 2, 3, 4, 5]


def test_a_series_of_two_series_is_refused_by_name(tmp_path: Path) -> None:
    paths = [made.write(tmp_path / f"{i}.dcm", made.instance(SeriesInstanceUID=f"1.2.{i}")) for i in (1, 2)]
    with pytest.raises(Unreadable, match=r"2.dcm belongs to another series"):
        read_series(paths)
    with pytest.raises(Unreadable, match="without instances"):
        read_series([])


def test_a_folder_tells_its_series_and_what_it_could_not_read(tmp_path: Path) -> None:
    made.write(tmp_path / "b" / "2.dcm", made.instance(SeriesInstanceUID="1.2.2", SeriesNumber=2))
    made.write(tmp_path / "1.dcm", made.instance(SeriesInstanceUID="1.2.9", SeriesNumber=1))
    (tmp_path / "LICENSE").write_text("free " * 100)
    (tmp_path / "empty").touch()
    folder = read_folder(tmp_path)
    assert [one.first.series_number for one in folder.series] == [1, 2]
    assert {path.name for path, _ in folder.unreadable} == {"LICENSE", "empty"}
    assert all(reason.startswith("not a DICOM file") for _, reason in folder.unreadable)


def test_an_instance_that_is_there_twice_counts_once_and_is_told(tmp_path: Path) -> None:
    planes = made.stack(3)
    for number, one in enumerate([*planes, planes[1]]):
        made.write(tmp_path / f"{number}.dcm", one)
    folder = read_folder(tmp_path)
    assert [len(one.instances) for one in folder.series] == [3]
    assert folder.unreadable == ((tmp_path / "3.dcm", "its SOP Instance UID is that of 1.dcm"),)


def test_two_studies_with_one_series_uid_stay_apart(tmp_path: Path) -> None:
    for number in (1, 2):
        made.write(tmp_path / f"{number}.dcm", made.instance(SeriesInstanceUID="1.2.9", StudyInstanceUID=f"1.{number}"))
    assert [one.first.study_uid for one in read_folder(tmp_path).series] == ["1.1", "1.2"]


@pytest.mark.parametrize("name", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("uid", ["", "../../etc/passwd", "1..2", "1.02"])
def test_an_instance_without_proper_uids_is_unreadable(tmp_path: Path, name: str, uid: str) -> None:
    ds = made.instance()
    path = made.write(tmp_path / "x.dcm", ds)
    good = getattr(ds, name).encode()
    bad = uid.encode()[: len(good)].ljust(len(good), b"\0")
    # only within the data set: the file meta information keeps its own copy
    head, mark, tail = path.read_bytes().rpartition(good)
    path.write_bytes(head + bad + tail)
    assert mark
    with pytest.raises(Unreadable, match="no valid"):
        read_instance(path)


def test_uids_are_those_of_the_standard() -> None:
    assert is_uid(generate_uid())
    assert is_uid("1.2.0.3")
    assert not is_uid("3.1")
    assert not is_uid("1." + "2" * 70)
    assert not is_uid("1.2.")


def test_a_missing_file_is_unreadable_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="No such file"):
        read_instance(tmp_path / "none.dcm")


@pytest.mark.parametrize(
    ("values", "age"),
    [
        ({"PatientAge": "041Y"}, 41.0),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "000Y"}, None),  # de-identified
        ({"PatientAge": "000Y", "PatientBirthDate": "19800101", "StudyDate": "20200101"}, 40.0),
        ({"PatientBirthDate": "19800101", "StudyDate": "20200101"}, 40.0),
        ({"PatientBirthDate": "20200101", "StudyDate": "20200101"}, None),
        ({}, None),
    ],
)
def test_age_is_told_by_age_else_by_dates(tmp_path: Path, values: dict[str, str], age: float | None) -> None:
    found = read_instance(made.write(tmp_path / "x.dcm", made.instance(**values))).age_years
    assert found == (None if age is None else pytest.approx(age, abs=0.01))


def test_identity_is_a_digest_that_changes_with_the_person_and_shows_nothing(tmp_path: Path) -> None:
    def identity(name: str, **values: str) -> str:
        person = {"PatientID": "ID-4711", "PatientBirthDate": "19800101", "PatientSex": "F"} | values
        return read_instance(made.write(tmp_path / name, made.instance(**person))).identity

    first = identity("a.dcm")
    assert first == identity("b.dcm", PatientName="Other^Spelling")
    assert len({first, identity("c.dcm", PatientID="ID-4712"), identity("d.dcm", PatientBirthDate="19800102")}) == 3
    nameless = {"PatientID": "", "PatientBirthDate": "", "PatientSex": ""}
    assert identity("e.dcm", PatientName="A^B", **nameless) == identity("f.dcm", PatientName="A^B^^", **nameless)
    assert identity("e.dcm", PatientName="A^B", **nameless) != identity("g.dcm", PatientName="C^D", **nameless)
    assert "4711" not in first


def test_a_field_that_one_instance_lacks_makes_no_second_patient_but_a_contradiction_does(tmp_path: Path) -> None:
    person = {"PatientID": "ID-4711", "PatientName": "A^B", "PatientBirthDate": "19800101", "PatientSex": "F"}

    def with_(name: str, **values: str) -> InstanceHeader:
        return read_instance(made.write(tmp_path / name, made.instance(**person | values)))

    whole = with_("a.dcm")
    assert one_patient([whole, with_("b.dcm", PatientBirthDate="", PatientSex="")])
    assert not one_patient([whole, with_("c.dcm", PatientBirthDate="19800102")])
    assert not one_patient([whole, with_("d.dcm", PatientID="ID-4712")])
    assert not one_patient([whole, with_("e.dcm", PatientSex="M")])
    assert not one_patient([whole, with_("f.dcm", PatientID="", PatientName="C^D")])
    assert one_patient([])


def test_the_header_holds_no_name_of_the_patient(tmp_path: Path) -> None:
    ds = made.instance(PatientName="Secret^Person", PatientID="HIDDEN1")
    shown = repr(read_instance(made.write(tmp_path / "x.dcm", ds)))
    assert "Secret" not in shown
    assert "HIDDEN1" not in shown


@pytest.mark.parametrize(("stored", "tesla"), [(3.0, 3.0), (15000.0, 1.5), (0.0, None), (-1.0, None)])
def test_field_strength_is_tesla_even_where_the_scanner_wrote_gauss(
    tmp_path: Path, stored: float, tesla: float | None
) -> None:
    ds = made.instance(MagneticFieldStrength=stored)
    assert read_instance(made.write(tmp_path / "x.dcm", ds)).field_t == tesla


def test_trace_images_have_no_direction_and_b0_neither(tmp_path: Path) -> None:
    frames = [
        {"position": (0, 0, 0), "b": 0.0},
        {"position": (0, 0, 0), "b": 1000.0},
        {"position": (0, 0, 0), "b": 1000.0, "gradient": (0.0, 3.0, 4.0)},
    ]
    found = made.series(tmp_path, [made.enhanced(frames, {})]).first.frames
    assert [frame.gradient_lps for frame in found] == [None, None, pytest.approx((0.0, 0.6, 0.8))]
    assert [frame.isotropic for frame in found] == [False, True, False]
    assert [frame.bvalue for frame in found] == [0.0, 1000.0, 1000.0]


@pytest.mark.parametrize(
    ("image_type", "component"),
    [
        (["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"], Component.MAGNITUDE),
        (["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"], Component.PHASE),
        (["ORIGINAL", "PRIMARY", "P", "ND"], Component.PHASE),
        (["ORIGINAL", "PRIMARY", "R_FFE", "R", "FFE"], Component.REAL),
        (["ORIGINAL", "PRIMARY", "I_FFE", "I", "FFE"], Component.IMAGINARY),
        (["ORIGINAL", "PRIMARY", "B0 MAP", "B0", "UNSPECIFIED"], Component.FIELD),
    ],
)
def test_component_is_read_from_image_type(tmp_path: Path, image_type: list[str], component: Component) -> None:
    (plane,) = read_instance(made.write(tmp_path / "x.dcm", made.instance(ImageType=image_type))).frames
    assert plane.component is component


GARBAGE = st.one_of(
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\\"), max_size=16),
    st.sampled_from(["nan", "inf", "-1", "0", "1e400", "1.5.2", "\\\\", "9" * 16, "-0", "1e-320"]),
)
TEXT_ELEMENTS = (
    *("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength", "SliceThickness", "ImageType"),
    *("SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "InstanceNumber"),
    *("SeriesNumber", "NumberOfTemporalPositions", "TemporalPositionIdentifier", "ScanningSequence", "SequenceVariant"),
    *("ScanOptions", "MRAcquisitionType", "BodyPartExamined", "PatientAge", "PatientBirthDate", "AcquisitionTime"),
    *("AcquisitionDateTime", "MagneticFieldStrength", "ImageComments", "SequenceName", "SeriesDescription"),
    *("NumberOfFrames", "DiffusionBValue", "Rows", "SharedFunctionalGroupsSequence"),
)


@settings(max_examples=150, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from(TEXT_ELEMENTS), GARBAGE, max_size=8),
    maker=st.sampled_from(["SIEMENS", "GE MEDICAL SYSTEMS", "Philips", "UIH", "CANON_MEC", "TOSHIBA", "", "Nobody"]),
    private=st.binary(max_size=300),
)
def test_hostile_headers_give_a_role_with_a_reason_never_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], maker: str, private: bytes
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    datasets = made.stack(2, Manufacturer=maker, RepetitionTime=500, EchoTime=10)
    for ds in datasets:
        for (group, creator, element), vr in HOSTILE_PRIVATE.items():
            ds.private_block(group, creator, create=True).add_new(element, vr, private)
    texts = {tag_for_keyword(name) or 0: value.encode("latin-1", "replace") for name, value in values.items()}
    paths = [replaced(made.write(folder / f"{i}.dcm", ds), texts) for i, ds in enumerate(datasets)]
    series = read_series(paths)
    role = classify(series)
    told = facts(series, role)
    assert role.reason
    assert role.body
    assert told.completeness == completeness(series).sentence


HOSTILE_PRIVATE = {
    (0x0029, "SIEMENS CSA HEADER", 0x10): "OB",
    (0x0029, "SIEMENS CSA HEADER", 0x20): "OB",
    (0x0043, "GEMS_PARM_01", 0x39): "UN",
    (0x2001, "Philips Imaging DD 001", 0x18): "UN",
    (0x2001, "Philips Imaging DD 001", 0x81): "UN",
    (0x0065, "Image Private Header", 0x50): "UN",
    (0x0065, "Image Private Header", 0x51): "UN",
}


def replaced(path: Path, texts: dict[int, bytes]) -> Path:
    """The file with these elements overwritten by any text whatever, as LO: pydicom would refuse to write it."""
    _, data = elements.read(path)
    values = {tag: (vr, data.raw(tag)) for tag, (vr, _, _) in data.places.items()}
    values |= {tag: (b"LO", text + b" " * (len(text) % 2)) for tag, text in texts.items()}
    body = b"".join(encode(tag, *values[tag]) for tag in sorted(values))
    path.write_bytes(body)
    return path


def encode(tag: int, vr: bytes, value: bytes) -> bytes:
    if vr in elements._LONG:
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


@pytest.mark.data
def test_headers_of_a_large_classic_series_are_read_in_three_seconds_of_cpu(data: Callable[[str], Path]) -> None:
    paths = sorted((data("philips-elition-study") / "s2201").iterdir())
    start = time.process_time()
    series = read_series(paths)
    assert time.process_time() - start < 3.0
    assert len(series.instances) == 1394
