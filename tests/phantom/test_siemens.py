"""Siemens classic: mosaics and CSA headers as a Prisma writes them, read back alike by three readers."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from analyses.contract import RoleKind
from dicom_io import header
from dicom_io.completeness import completeness
from dicom_io.vendors.siemens import parse_csa
from phantom import markers
from phantom.dialects import csa, siemens
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired
from phantom.examination import Dialect
from phantom.slab import LPS_TO_RAS, Plane
from tests.dicom_io.results.peers import errors_of_dciodvfy
from tests.phantom import roundtrip

with warnings.catch_warnings():  # nibabel calls its DICOM readers experimental at import
    warnings.simplefilter("ignore")
    from nibabel.nicom import csareader, dicomwrappers

IMAGE_HEADER, SERIES_HEADER = (0x0029, 0x1010), (0x0029, 0x1020)
EVERY_SLAB = [(plane, tilted, left) for plane in Plane for tilted in (False, True) for left in (False, True)]
SINE_OF_A_HUNDREDTH_DEGREE = 1.7e-4


def written(folder: Path, acquired: Acquired) -> list[Path]:
    return roundtrip.write(Dialect.SIEMENS, folder, acquired)


def one_b0(where: markers.Slab) -> Acquired:
    return roundtrip.diffusion(where, roundtrip.ONE_SHELL)


# --- the CSA header


def test_a_header_is_read_back_by_our_reader_and_by_nibabel() -> None:
    tags = [
        csa.whole("B_value", 1000),
        csa.real("SliceNormalVector", (0.1, -0.2, 0.97)),
        csa.Tag("DiffusionGradientDirection", 3, "FD"),
        csa.real("MosaicRefAcqTimes", np.arange(13) * 87.5, 0),
        csa.text("ImaCoilString", "HE1-4;NE1,2", "LO"),
    ]
    encoded = csa.encode(tags, 4000)
    assert len(encoded) == 4000
    ours = parse_csa(encoded)
    theirs = csareader.read(encoded)["tags"]
    assert ours["B_value"] == ("1000",)
    assert theirs["B_value"]["items"] == [1000]
    assert ours["SliceNormalVector"] == ("0.10000000", "-0.20000000", "0.97000000")
    assert theirs["SliceNormalVector"]["items"] == [0.1, -0.2, 0.97]
    assert ours["DiffusionGradientDirection"] == ()
    assert theirs["DiffusionGradientDirection"]["items"] == []
    assert theirs["MosaicRefAcqTimes"]["items"] == list(np.arange(13) * 87.5)
    assert ours["ImaCoilString"] == ("HE1-4;NE1,2",)


def test_every_tag_looks_as_in_the_header_of_a_prisma(tmp_path: Path, data: Callable[[str], Path]) -> None:
    series = data("siemens-prisma-sagittal-mosaic") / "4_DWI_SagAPmosaic"
    real = csareader.read(pydicom.dcmread(sorted(series.glob("0005_*"))[0])[IMAGE_HEADER].value)["tags"]
    path = written(tmp_path, one_b0(markers.slab()))[4]
    ours = csareader.read(pydicom.dcmread(path)[IMAGE_HEADER].value)["tags"]
    for name, tag in ours.items():
        assert name in real
        for part in ("vm", "vr", "syngodt"):
            assert tag[part] == real[name][part], f"{part} of {name}"
        assert (tag["n_items"] > 0) == (real[name]["n_items"] > 0) or name == "ImaPATModeText"
        if name != "MosaicRefAcqTimes":
            assert tag["n_items"] in (0, real[name]["n_items"])


def test_every_private_element_has_the_place_and_form_of_a_prisma(tmp_path: Path, data: Callable[[str], Path]) -> None:
    mosaics = data("siemens-prisma-sagittal-mosaic") / "4_DWI_SagAPmosaic"
    slices = data("siemens-prisma-decubitus") / "HFS_3_t1_fl2d_sag"
    for acquired, real_path in (
        (one_b0(markers.slab(Plane.SAGITTAL)), sorted(mosaics.glob("0005_*"))[0]),
        (roundtrip.t1(markers.slab(Plane.SAGITTAL)), sorted(slices.glob("*.dcm"))[4]),
    ):
        real = pydicom.dcmread(real_path)
        ours = pydicom.dcmread(written(tmp_path / str(acquired.sequence.number), acquired)[4])
        private = [element for element in ours if element.tag.is_private]
        assert len(private) > 25
        for element in private:
            assert element.tag in real
            assert element.VR == real[element.tag].VR, element
            if element.tag.is_private_creator:
                assert element.value == real[element.tag].value


# --- mosaics


def test_tiles_run_along_rows_of_tiles_and_the_last_are_empty() -> None:
    volume = np.broadcast_to(np.arange(1, 8, dtype=np.uint16), (2, 3, 7)).copy()
    volume[0, 0, :] += 100
    tiled = siemens.mosaic(volume)
    assert tiled.shape == (9, 6)
    np.testing.assert_array_equal(tiled[1::3, 1::2], [[1, 2, 3], [4, 5, 6], [7, 0, 0]])
    np.testing.assert_array_equal(tiled[::3, ::2], [[101, 102, 103], [104, 105, 106], [107, 0, 0]])


@pytest.mark.parametrize(("plane", "tilted", "left_handed"), EVERY_SLAB)
def test_dcm2niix_finds_every_voxel_every_direction_and_every_slice_time(
    plane: Plane, tilted: bool, left_handed: bool, tmp_path: Path
) -> None:
    acquired = roundtrip.diffusion(markers.slab(plane, tilted, left_handed), roundtrip.TWO_SHELLS)
    written(tmp_path / "dicom", acquired)
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    index, points = roundtrip.grid_points(acquired.slab)
    back = roundtrip.voxels_of(read, points)
    np.testing.assert_array_equal(read.stored[tuple(back.T)], acquired.data[tuple(index.T)])
    np.testing.assert_array_equal(read.b, acquired.b)
    across = np.cross(read.directions_ras, acquired.gradients_lps * LPS_TO_RAS)
    assert np.linalg.norm(across, axis=1).max() < SINE_OF_A_HUNDREDTH_DEGREE
    times = np.array(read.sidecar["SliceTiming"])
    (along,) = {axis for axis in range(3) if len(set(back[index[:, 2] == 0][:, axis])) == 1}
    of_slice = {k: back[index[:, 2] == k][0, along] for k in range(acquired.slab.shape[2])}
    for k, place in of_slice.items():
        assert times[place] * 1000 == pytest.approx(acquired.slice_times_ms[k], abs=0.01)
    assert read.sidecar["RepetitionTime"] * 1000 == pytest.approx(acquired.sequence.tr_ms)
    assert read.sidecar["EchoTime"] * 1000 == pytest.approx(acquired.sequence.te_ms)
    assert read.sidecar["TotalReadoutTime"] * 1000 == pytest.approx(acquired.sequence.readout_ms, rel=1e-4)


@pytest.mark.parametrize(
    ("along", "positive", "said"), [("COL", True, "j-"), ("COL", False, "j"), ("ROW", True, "i"), ("ROW", False, "i-")]
)
def test_the_sense_of_the_blips_comes_back(along: str, positive: bool, said: str, tmp_path: Path) -> None:
    acquired = one_b0(markers.slab())
    sequence = replace(acquired.sequence, phase_encoding=along, phase_positive=positive)
    written(tmp_path / "dicom", replace(acquired, sequence=sequence))
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    assert read.sidecar["PhaseEncodingDirection"] == said  # dcm2niix turns rows round: down the image is j-


@pytest.mark.parametrize("left_handed", [False, True])
def test_nibabel_reads_the_mosaic_at_its_place_with_its_b_matrix(left_handed: bool, tmp_path: Path) -> None:
    acquired = one_b0(markers.slab(Plane.SAGITTAL, tilted=True, left_handed=left_handed))
    paths = written(tmp_path, acquired)
    for volume, path in enumerate(paths):
        wrapper = dicomwrappers.wrapper_from_file(path)
        assert isinstance(wrapper, dicomwrappers.MosaicWrapper)
        # nibabel's array is (row, column, slice); its affine is LPS
        np.testing.assert_array_equal(wrapper.get_data().transpose(1, 0, 2), acquired.data[..., volume])
        swapped = wrapper.affine[:, [1, 0, 2, 3]]
        expected = np.diag([*LPS_TO_RAS, 1]) @ acquired.slab.affine
        np.testing.assert_allclose(swapped, expected, atol=1e-4)
        if acquired.b[volume]:
            assert wrapper.b_value == pytest.approx(acquired.b[volume], rel=1e-6)
            g = wrapper.rotation_matrix.T @ acquired.gradients_lps[volume]  # nibabel's is along the voxel axes
            np.testing.assert_allclose(wrapper.b_matrix, acquired.b[volume] * np.outer(g, g), atol=1e-3)


def test_images_without_diffusion_are_plain_epi(tmp_path: Path) -> None:
    acquired = replace(one_b0(markers.slab()), b=np.zeros(0), gradients_lps=np.zeros((0, 3)))
    first = pydicom.dcmread(written(tmp_path, acquired)[0])
    assert "DIFFUSION" not in first.ImageType
    assert first.SequenceName.startswith("*epse2d1")
    assert (0x0019, 0x100C) not in first


# --- one object a slice


@pytest.mark.parametrize(("plane", "tilted", "left_handed"), EVERY_SLAB)
def test_every_voxel_of_a_t1_comes_back(plane: Plane, tilted: bool, left_handed: bool, tmp_path: Path) -> None:
    acquired = roundtrip.t1(markers.slab(plane, tilted, left_handed))
    written(tmp_path / "dicom", acquired)
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    index, points = roundtrip.grid_points(acquired.slab)
    np.testing.assert_array_equal(
        read.stored[tuple(roundtrip.voxels_of(read, points).T)], acquired.data[tuple(index.T)]
    )


def test_siemens_calls_the_time_between_inversions_tr(tmp_path: Path) -> None:
    acquired = roundtrip.t1(markers.slab(Plane.SAGITTAL))
    first = pydicom.dcmread(written(tmp_path, acquired)[0])
    assert first.RepetitionTime == acquired.sequence.cycle_ms
    assert first.InversionTime == acquired.sequence.ti_ms


# --- as our own reader sees it


def test_our_reader_takes_mosaic_and_t1_for_what_they_are_and_converts_them(tmp_path: Path) -> None:
    where = markers.slab(Plane.AXIAL, tilted=True, left_handed=True)
    for acquired, kind in ((one_b0(where), RoleKind.DWI), (roundtrip.t1(where), RoleKind.T1)):
        folder = tmp_path / str(acquired.sequence.number)
        roundtrip.assert_taken_and_converted(written(folder, acquired), acquired, kind, folder)


def test_the_first_tile_lies_where_the_first_slice_lies(tmp_path: Path) -> None:
    acquired = one_b0(markers.slab(Plane.CORONAL, tilted=True))
    (frame,) = header.read_instance(written(tmp_path, acquired)[0]).frames
    assert frame.position_lps is not None
    np.testing.assert_allclose(frame.position_lps, acquired.slab.origin_lps, atol=1e-5)


def test_a_lost_volume_of_the_scanners_own_table_is_missed(tmp_path: Path) -> None:
    paths = written(tmp_path, one_b0(markers.slab()))
    assert completeness(header.read_series(paths)).complete is True
    assert completeness(header.read_series(paths[:-1])).complete is False


def test_a_free_table_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    paths = written(tmp_path, roundtrip.diffusion(markers.slab(), roundtrip.TWO_SHELLS))
    assert completeness(header.read_series(paths)).complete is None


# --- the standard


@pytest.mark.parametrize("kind", ["dwi", "b0", "t1"])
def test_dciodvfy_finds_no_error(kind: str, tmp_path: Path, program: Callable[[str], str]) -> None:
    where = markers.slab(tilted=True)
    acquired = {
        "dwi": one_b0(where),
        "b0": roundtrip.diffusion(where, np.zeros(3), positive=False),
        "t1": roundtrip.t1(where),
    }[kind]
    paths = written(tmp_path, acquired)
    for path in (paths[0], paths[-1]):
        assert errors_of_dciodvfy(program, path) == []


def test_the_same_patient_is_written_with_the_same_bytes(tmp_path: Path) -> None:
    acquired = one_b0(markers.slab())
    first, again = (written(tmp_path / name, acquired) for name in ("first", "again"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = list(siemens.write(tmp_path / "other", acquired, Identity("another", 8)))
    uids = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in (*first, *other)}
    assert len(uids) == 2 * len(first)


def test_a_3d_series_has_one_volume(tmp_path: Path) -> None:
    acquired = roundtrip.t1(markers.slab())
    twice = replace(acquired, data=np.repeat(acquired.data, 2, axis=3))
    with pytest.raises(ValueError, match="3D series of 2 volumes"):
        list(siemens.write(tmp_path, twice, Identity("x", 1)))
