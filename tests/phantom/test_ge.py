"""GE classic: b-values and directions in GE's own frame, read back alike by dcm2niix and our own reader."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from analyses.contract import RoleKind
from dicom_io import header
from dicom_io.completeness import completeness
from phantom import markers
from phantom.dialects import ge
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired
from phantom.examination import Dialect
from phantom.slab import LPS_TO_RAS, Plane, Slab
from tests.dicom_io.results.peers import errors_of_dciodvfy
from tests.phantom import roundtrip

SLOP, KIND = (0x0043, 0x1039), (0x0043, 0x1030)
COMPONENTS = ((0x0019, 0x10BB), (0x0019, 0x10BC), (0x0019, 0x10BD))
EVERY_SLAB = [(plane, tilted, left) for plane in Plane for tilted in (False, True) for left in (False, True)]
SINE_OF_A_HUNDREDTH_DEGREE = 1.7e-4


def written(folder: Path, acquired: Acquired) -> list[Path]:
    return roundtrip.write(Dialect.GE, folder, acquired)


def stored_vector(dataset: pydicom.Dataset) -> list[float]:
    return [float(dataset[tag].value) for tag in COMPONENTS]


def shells(*bvalues: float) -> np.ndarray:
    return np.concatenate([[0.0], *(np.full(roundtrip.COUNT, b) for b in bvalues)])


# --- the frame of the directions


def test_on_a_straight_axial_slab_x_is_right_y_is_anterior_and_z_is_superior() -> None:
    left, posterior, superior = np.eye(3)  # LPS
    where = markers.slab()
    assert ge.in_gradient_frame(left, where, "COL").tolist() == [-1, 0, 0]
    assert ge.in_gradient_frame(posterior, where, "COL").tolist() == [0, -1, 0]
    assert ge.in_gradient_frame(superior, where, "COL").tolist() == [0, 0, 1]


@pytest.mark.parametrize("along", ["COL", "ROW"])
@pytest.mark.parametrize(("plane", "tilted", "left_handed"), EVERY_SLAB)
def test_dcm2niix_and_our_reader_find_every_voxel_and_every_direction(
    plane: Plane, tilted: bool, left_handed: bool, along: str, tmp_path: Path
) -> None:
    acquired = roundtrip.diffusion(markers.slab(plane, tilted, left_handed))
    acquired = replace(acquired, sequence=replace(acquired.sequence, phase_encoding=along))
    paths = written(tmp_path / "dicom", acquired)
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    index, points = roundtrip.grid_points(acquired.slab)
    back = roundtrip.voxels_of(read, points)
    np.testing.assert_array_equal(read.stored[tuple(back.T)], acquired.data[tuple(index.T)])
    np.testing.assert_array_equal(read.b, acquired.b)
    across = np.cross(read.directions_ras, acquired.gradients_lps * LPS_TO_RAS)
    assert np.linalg.norm(across, axis=1).max() < SINE_OF_A_HUNDREDTH_DEGREE
    assert read.sidecar["RepetitionTime"] * 1000 == pytest.approx(acquired.sequence.tr_ms)
    assert read.sidecar["EchoTime"] * 1000 == pytest.approx(acquired.sequence.te_ms)

    slices = acquired.slab.shape[2]
    for volume, path in enumerate(paths[::slices]):
        (frame,) = header.read_instance(path).frames
        assert frame.bvalue == acquired.b[volume]
        if acquired.b[volume]:
            assert frame.gradient_lps is not None
            assert abs(np.dot(frame.gradient_lps, acquired.gradients_lps[volume])) > 1 - 1e-8


# --- b-values


def test_a_lower_shell_is_a_shorter_vector_of_the_same_nominal_b(tmp_path: Path) -> None:
    acquired = roundtrip.diffusion(markers.slab(tilted=True), shells(700.0, 1000.0, 2000.0))
    paths = written(tmp_path / "dicom", acquired)
    slices = acquired.slab.shape[2]
    for volume, path in enumerate(paths[::slices]):
        dataset = pydicom.dcmread(path)
        b = acquired.b[volume]
        assert list(dataset[SLOP].value) == [2_000 + ge.B_OFFSET if b else 0, 8, 0, 0]
        assert np.linalg.norm(stored_vector(dataset)) == pytest.approx(np.sqrt(b / 2000), abs=2e-6)
        assert dataset[KIND].value == (16 if b else 14)
        assert "DiffusionBValue" not in dataset
        (frame,) = header.read_instance(path).frames
        assert frame.bvalue == b
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    np.testing.assert_array_equal(read.b, acquired.b)
    assert sorted(roundtrip.order_of(read, acquired)) == list(range(len(acquired.b)))


def test_shells_too_near_for_that_keep_their_own_b(tmp_path: Path) -> None:
    acquired = roundtrip.diffusion(markers.slab(), shells(1900.0, 2000.0))
    written(tmp_path / "dicom", acquired)
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    np.testing.assert_array_equal(read.b, acquired.b)


def test_only_weighted_images_say_b_in_the_standard_element(tmp_path: Path) -> None:
    acquired = roundtrip.diffusion(markers.slab())
    for path in written(tmp_path, acquired)[:: acquired.slab.shape[2]]:
        dataset = pydicom.dcmread(path)
        weighted = int(dataset[SLOP].value[0]) > 0
        assert ("DiffusionBValue" in dataset) == weighted
        if weighted:
            assert dataset.DiffusionBValue == 1000


# --- echo-planar readout


@pytest.mark.parametrize(
    ("along", "positive", "said"), [("COL", True, "j-"), ("COL", False, "j"), ("ROW", True, "i"), ("ROW", False, "i-")]
)
@pytest.mark.parametrize("factor", [24, 12])
def test_sense_and_length_of_the_readout_come_back(
    along: str, positive: bool, said: str, factor: int, tmp_path: Path
) -> None:
    acquired = roundtrip.diffusion(markers.slab(), positive=positive)
    sequence = replace(acquired.sequence, phase_encoding=along, epi_factor=factor)
    written(tmp_path / "dicom", replace(acquired, sequence=sequence))
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    assert read.sidecar["PhaseEncodingDirection"] == said
    # the spacing is stored in whole microseconds, half a microsecond off an echo
    assert read.sidecar["TotalReadoutTime"] * 1000 == pytest.approx(sequence.readout_ms, abs=0.5e-3 * factor)


# --- T1


@pytest.mark.parametrize(("plane", "tilted", "left_handed"), EVERY_SLAB)
def test_every_voxel_of_a_t1_comes_back(plane: Plane, tilted: bool, left_handed: bool, tmp_path: Path) -> None:
    acquired = roundtrip.t1(markers.slab(plane, tilted, left_handed))
    written(tmp_path / "dicom", acquired)
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    index, points = roundtrip.grid_points(acquired.slab)
    np.testing.assert_array_equal(
        read.stored[tuple(roundtrip.voxels_of(read, points).T)], acquired.data[tuple(index.T)]
    )
    assert read.sidecar["RepetitionTime"] * 1000 == pytest.approx(acquired.sequence.tr_ms)  # between pulses


# --- against a real scanner and the standard


def test_every_private_element_has_the_place_and_form_of_a_pioneer(tmp_path: Path, data: Callable[[str], Path]) -> None:
    folder = data("ge-pioneer-dwi-phantom") / "01_Ax_DWI_TENSOR_R2"
    real = pydicom.dcmread(folder / "i35.MRDC.14")
    acquired = roundtrip.diffusion(markers.slab(tilted=True))
    ours = pydicom.dcmread(written(tmp_path, acquired)[-1])
    private = [element for element in ours if element.tag.is_private]
    assert len(private) > 50
    for element in private:
        assert element.tag in real
        assert element.VR == real[element.tag].VR, element
        assert element.VM == real[element.tag].VM, element
        if element.tag.is_private_creator:
            assert element.value == real[element.tag].value
    for word in (
        "ImageType",
        "ScanningSequence",
        "SequenceVariant",
        "ScanOptions",
        "PixelRepresentation",
        "BitsStored",
    ):
        assert ours[word].value == real[word].value


def test_the_location_of_a_slice_is_that_of_its_middle(tmp_path: Path, data: Callable[[str], Path]) -> None:
    real = pydicom.dcmread(data("ge-pioneer-dwi-phantom") / "01_Ax_DWI_TENSOR_R2" / "i35.MRDC.14")
    row, column = np.reshape(np.array(real.ImageOrientationPatient, float), (2, 3))
    spacing = np.array(real.PixelSpacing, float)
    where = Slab(
        (real.Columns, real.Rows, 2),
        (spacing[1], spacing[0], float(real.SpacingBetweenSlices)),
        np.stack([row, column, np.cross(row, column)], axis=1),
        np.array(real.ImagePositionPatient, float),
    )
    acquired = Acquired(roundtrip.t1(markers.slab()).sequence, where, np.ones((*where.shape, 1), np.uint16))
    ours = pydicom.dcmread(written(tmp_path, acquired)[0])
    assert ours.SliceLocation == pytest.approx(float(real.SliceLocation), abs=1e-3)
    assert ours[0x0027, 0x1040].value == real[0x0027, 0x1040].value


@pytest.mark.parametrize("kind", ["dwi", "b0", "t1"])
def test_dciodvfy_finds_no_error(kind: str, tmp_path: Path, program: Callable[[str], str]) -> None:
    where = markers.slab(tilted=True)
    acquired = {
        "dwi": roundtrip.diffusion(where),
        "b0": roundtrip.diffusion(where, np.zeros(3), positive=False),
        "t1": roundtrip.t1(where),
    }[kind]
    paths = written(tmp_path, acquired)
    for path in (paths[0], paths[-1]):
        assert errors_of_dciodvfy(program, path) == []


# --- as our own reader sees it


def test_our_reader_takes_the_series_for_what_they_are_and_converts_them(tmp_path: Path) -> None:
    where = markers.slab(Plane.AXIAL, tilted=True)
    for acquired, kind in ((roundtrip.diffusion(where), RoleKind.DWI), (roundtrip.t1(where), RoleKind.T1)):
        folder = tmp_path / str(acquired.sequence.number)
        roundtrip.assert_taken_and_converted(written(folder, acquired), acquired, kind, folder)


def test_a_lost_slice_is_missed(tmp_path: Path) -> None:
    paths = written(tmp_path, roundtrip.diffusion(markers.slab(), roundtrip.TWO_SHELLS))
    assert completeness(header.read_series(paths)).complete is True
    assert completeness(header.read_series(paths[:-1])).complete is False


def test_the_same_patient_is_written_with_the_same_bytes(tmp_path: Path) -> None:
    acquired = roundtrip.diffusion(markers.slab())
    first, again = (written(tmp_path / name, acquired) for name in ("first", "again"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = list(ge.write(tmp_path / "other", acquired, Identity("another", 8)))
    uids = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in (*first, *other)}
    assert len(uids) == 2 * len(first)
