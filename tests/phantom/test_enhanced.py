"""Enhanced objects: their hand-made bytes are DICOM, and they say what the makers' own objects say."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_dataset

from analyses.contract import Unsuitable, Volume
from dicom_io.agreement import hold_against_headers
from dicom_io.classify import classify
from dicom_io.convert import convert
from dicom_io.facts import facts
from dicom_io.header import SeriesHeader, read_series
from phantom.dialects import explicit, philips
from phantom.dialects.series import Acquired
from phantom.examination import Dialect
from phantom.slab import Plane
from tests.conftest import DATA
from tests.phantom import roundtrip

BOTH = [Dialect.SIEMENS_XA, Dialect.PHILIPS_ENHANCED]
FRAMES = bytes.fromhex("00523092") + b"SQ"


def two_shells(tilted: bool = True) -> Acquired:
    return roundtrip.diffusion(roundtrip.slab(Plane.SAGITTAL, tilted), roundtrip.TWO_SHELLS)


def pydicom_stream() -> DicomBytesIO:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    return stream


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StackID", "1"),
        ("DiffusionDirectionality", "DIRECTIONAL"),
        ("ImagePositionPatient", ("-1.5", "2.25", "1000")),
        ("InStackPositionNumber", 70000),
        ("DimensionIndexValues", (1, 2, 3)),
        ("EffectiveEchoTime", 72.0),
        ("DiffusionGradientOrientation", (0.6, -0.8, 0.0)),
        ("FrameAcquisitionNumber", 5),
        ("FrameAcquisitionDateTime", "20260102101500.000000"),
    ],
)
def test_an_element_by_hand_has_the_bytes_that_pydicom_writes(keyword: str, value: explicit.Value) -> None:
    dataset = Dataset()
    setattr(dataset, keyword, list(value) if isinstance(value, tuple) else value)
    stream = pydicom_stream()
    write_data_element(stream, dataset[keyword])
    (made,) = explicit.named(**{keyword: value})
    assert made.encoded == stream.getvalue()


def test_an_item_puts_its_elements_in_order() -> None:
    dataset = Dataset()
    dataset.EffectiveEchoTime, dataset.StackID = 1.0, "1"
    inner = Dataset()
    inner.DiffusionBValue = 5.0
    dataset.MRDiffusionSequence = [inner]
    stream = pydicom_stream()
    write_dataset(stream, dataset)
    made = explicit.item(
        [
            *explicit.named(StackID="1", EffectiveEchoTime=1.0),
            explicit.group("MRDiffusionSequence", DiffusionBValue=5.0),
        ]
    )
    assert made == struct.pack("<HHI", 0xFFFE, 0xE000, len(stream.getvalue())) + stream.getvalue()


def test_a_keyword_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="EchoColour is no keyword"):
        explicit.named(EchoColour="red")


@pytest.mark.parametrize("dialect", BOTH)
def test_pydicom_reads_an_object_and_writes_the_same_bytes(dialect: Dialect, tmp_path: Path) -> None:
    for path in roundtrip.write(dialect, tmp_path / "dicom", two_shells()):
        again = tmp_path / "again.dcm"
        dataset = pydicom.dcmread(path)
        dataset.walk(lambda *_: None)  # every element decoded
        dataset.save_as(again, enforce_file_format=True)
        # from the frames on; before them, values that differ between objects keep room for the longest
        assert again.read_bytes().partition(FRAMES)[2] == path.read_bytes().partition(FRAMES)[2]
        assert len(again.read_bytes().partition(FRAMES)[2]) > len(dataset.PixelData)


@pytest.mark.parametrize("dialect", BOTH)
def test_the_same_series_is_written_with_the_same_bytes(dialect: Dialect, tmp_path: Path) -> None:
    first, second = (roundtrip.write(dialect, tmp_path / name, two_shells()) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("dialect", BOTH)
def test_no_two_frames_have_the_same_dimension_indices(dialect: Dialect, tmp_path: Path) -> None:
    acquired = two_shells()
    seen, uids = set(), set()
    for path in roundtrip.write(dialect, tmp_path, acquired):
        dataset = pydicom.dcmread(path)
        uids.add(dataset.SOPInstanceUID)
        assert len(dataset.PerFrameFunctionalGroupsSequence) == dataset.NumberOfFrames
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            content = frame.FrameContentSequence[0]
            assert len(content.DimensionIndexValues) == len(dataset.DimensionIndexSequence)
            seen.add(tuple(content.DimensionIndexValues))
    assert len(seen) == acquired.data.shape[2] * acquired.data.shape[3]
    assert len(uids) == (acquired.data.shape[3] if dialect is Dialect.SIEMENS_XA else 1)


def test_siemens_says_a_direction_also_as_b_matrix(tmp_path: Path) -> None:
    acquired = two_shells()
    for volume, path in enumerate(sorted(roundtrip.write(Dialect.SIEMENS_XA, tmp_path, acquired))):
        (told,) = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence[0].MRDiffusionSequence
        if acquired.b[volume] == 0:
            assert told.DiffusionDirectionality == "NONE"
            assert "DiffusionGradientDirectionSequence" not in told
            continue
        (matrix,) = told.DiffusionBMatrixSequence
        g = acquired.gradients_lps[volume]
        assert matrix.DiffusionBValueXY == pytest.approx(acquired.b[volume] * g[0] * g[1])
        assert matrix.DiffusionBValueZZ == pytest.approx(acquired.b[volume] * g[2] ** 2)
        np.testing.assert_allclose(told.DiffusionGradientDirectionSequence[0].DiffusionGradientOrientation, g)


def test_a_direction_of_no_length_is_a_trace_image(tmp_path: Path) -> None:
    plain = roundtrip.diffusion(roundtrip.slab(), np.array([0.0, 0.0]))
    acquired = Acquired(plain.sequence, plain.slab, plain.data, np.array([0.0, 1000.0]), np.zeros((2, 3)))
    (path,) = roundtrip.write(Dialect.PHILIPS_ENHANCED, tmp_path, acquired)
    told = {
        frame.MRDiffusionSequence[0].DiffusionBValue: frame.MRDiffusionSequence[0].DiffusionDirectionality
        for frame in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    }
    assert told == {0.0: "NONE", 1000.0: "ISOTROPIC"}


def reread(paths: list[Path], folder: Path) -> tuple[Volume, SeriesHeader]:
    series = read_series(paths)
    folder.mkdir()
    return convert(series, facts(series, classify(series)), folder), series


@pytest.mark.parametrize("dialect", BOTH)
def test_the_converted_volume_agrees_with_the_headers_of_its_frames(dialect: Dialect, tmp_path: Path) -> None:
    acquired = two_shells()
    volume, _ = reread(roundtrip.write(dialect, tmp_path / "dicom", acquired), tmp_path / "work")
    assert volume.bvals is not None
    assert sorted(volume.bvals) == sorted(acquired.b)


def shuffled(path: Path, numbers: list[int] | None = None) -> None:
    """Put the frames of an object in another order; `numbers`: the maker's own numbers of the volumes, by volume."""
    dataset = pydicom.dcmread(path)
    frames, planes = list(dataset.PerFrameFunctionalGroupsSequence), dataset.pixel_array
    if numbers is not None:
        for index, frame in enumerate(frames):
            own = frame[0x2005140F][0]
            own.add_new(0x20050015, "LO", "Philips MR Imaging DD 006")
            own.add_new(0x20051596, "IS", str(numbers[index % len(numbers)]))
    order = np.random.default_rng(3).permutation(len(frames))
    dataset.PerFrameFunctionalGroupsSequence = [frames[i] for i in order]
    dataset.PixelData = planes[order].tobytes()
    dataset.save_as(path)


@pytest.mark.parametrize("numbered", [False, True])
def test_frames_in_any_order_in_the_file_give_the_same_volume(numbered: bool, tmp_path: Path) -> None:
    acquired = two_shells()
    (path,) = roundtrip.write(Dialect.PHILIPS_ENHANCED, tmp_path / "dicom", acquired)
    numbers = [int(v) + 1 for v in np.random.default_rng(1).permutation(len(acquired.b))] if numbered else None
    shuffled(path, numbers)
    volume, _ = reread([path], tmp_path / "work")
    read = roundtrip.Read(volume.data, volume.affine, {}, np.asarray(volume.bvals), np.asarray(volume.bvecs))
    # our own table is along the array's axes already: take back FSL's sign before it is taken back again
    vectors = read.bvecs * ([-1, 1, 1] if np.linalg.det(read.affine[:3, :3]) > 0 else [1, 1, 1])
    read = roundtrip.Read(read.stored, read.affine, {}, read.b, vectors)
    order = roundtrip.order_of(read, acquired)
    index, points = roundtrip.grid_points(acquired.slab)
    found = read.stored[tuple(roundtrip.voxels_of(read, points).T)]
    for volume_read, written in enumerate(order):
        if acquired.b[written] > 0:  # b = 0 volumes are told apart by nothing but their order
            scale = found[0, volume_read] / acquired.data[0, 0, 0, written]
            np.testing.assert_allclose(
                found[:, volume_read], scale * acquired.data[tuple(index.T)][:, written], rtol=1e-5
            )


def test_a_direction_in_the_header_that_is_not_the_volumes_own_is_told(tmp_path: Path) -> None:
    volume, series = reread(roundtrip.write(Dialect.PHILIPS_ENHANCED, tmp_path / "dicom", two_shells()), tmp_path / "w")
    assert volume.bvecs is not None
    with pytest.raises(Unsuitable, match="degrees from its header's"):
        hold_against_headers(replace(volume, bvecs=volume.bvecs * [1, 1, -1]), series)


@pytest.mark.data
def test_siemens_frames_have_the_functional_groups_and_dimensions_of_a_real_scanner(tmp_path: Path) -> None:
    real_folder = DATA / "siemens-prisma-xa30-enhanced" / "10_DWI_dir80_PA"
    if not real_folder.is_dir():
        pytest.skip("real data set siemens-prisma-xa30-enhanced is not unpacked in $BETZ_DATA")
    real = pydicom.dcmread(sorted(real_folder.iterdir())[3], stop_before_pixels=True)
    ours = pydicom.dcmread(sorted(roundtrip.write(Dialect.SIEMENS_XA, tmp_path, two_shells()))[3])
    # averages stand in the shared groups here, in every frame there: readers look in both
    averages = pydicom.tag.Tag("MRAveragesSequence")
    assert groups(ours) == groups(real) - {averages}
    assert [item.DimensionIndexPointer for item in ours.DimensionIndexSequence] == [
        item.DimensionIndexPointer for item in real.DimensionIndexSequence
    ]
    for keyword in ("ImageType", "AcquisitionContrast", "EchoPulseSequence", "EchoPlanarPulseSequence", "Manufacturer"):
        assert ours[keyword].value == real[keyword].value
    ours_private, real_private = (one.PerFrameFunctionalGroupsSequence[0][0x002111FE][0] for one in (ours, real))
    for element in ours_private:
        assert element.VR == real_private[element.tag].VR, element.tag


def groups(dataset: Dataset) -> set[pydicom.tag.BaseTag]:
    return set(dataset.PerFrameFunctionalGroupsSequence[0].keys())


def test_philips_numbers_shells_by_size_and_b0_after_the_last_direction() -> None:
    told = [(one.b_number, one.gradient_number) for one in philips.numbered(np.array([0.0, 2500, 1000, 0, 1000]))]
    assert told == [(1, 4), (3, 1), (2, 2), (1, 5), (2, 3)]
    assert [one.place for one in philips.numbered(np.zeros(3))] == [1, 2, 3]
