"""Private elements of each maker: from bytes with known content, and against dcm2niix on real data."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.header import Component, read_folder, read_instance
from dicom_io.layout import layout
from dicom_io.vendors.siemens import parse_csa
from tests.dicom_io import synthetic as made

PLANE = {"ImageOrientationPatient": list(made.AXIAL), "ImagePositionPatient": [0, 0, 0]}


def frame(tmp_path: Path, private: made.Private, **values: object) -> made.Any:
    return read_instance(made.write(tmp_path / "x.dcm", made.instance(private=private, **PLANE | values))).frames[0]


@pytest.mark.parametrize("version", [1, 2])
def test_both_csa_layouts_give_their_values(version: int) -> None:
    tags = {"EchoLinePosition": ["64"], "B_value": ["1000"], "SliceNormalVector": ["0.1", "-0.2", "0.97"], "Empty": []}
    assert parse_csa(made.csa(tags, version)) == {name: tuple(values) for name, values in tags.items()}


@given(st.binary(max_size=400), st.integers(0, 200))
def test_a_broken_csa_header_gives_what_was_whole(garbage: bytes, cut: int) -> None:
    whole = made.csa({"B_value": ["1000"], "SliceNormalVector": ["0", "0", "1"]})
    for block in (garbage, whole[:cut], whole[:cut] + garbage):
        parse_csa(block)


def test_a_mosaic_lies_where_its_first_tile_does(tmp_path: Path) -> None:
    """Corner by nibabel's formula: the mosaic's own position is that of a plane as large as the whole mosaic."""
    tags = {"NumberOfImagesInMosaic": ["30"], "SliceNormalVector": ["0", "0", "1"]}
    private = {(0x29, "SIEMENS CSA HEADER", 0x10): ("OB", made.csa(tags))}
    ds = made.instance(
        private=private, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"], Rows=384, Columns=384, PixelSpacing=[3, 3],
        ImageOrientationPatient=list(made.AXIAL), ImagePositionPatient=[-576, -576, 10],
    )  # fmt: skip
    header = read_instance(made.write(tmp_path / "x.dcm", ds))
    assert (header.tiles, header.tile_rows, header.tile_columns) == (30, 64, 64)  # 6 x 6 tiles, six of them empty
    assert header.frames[0].position_lps == pytest.approx((-96.0, -96.0, 10.0))
    assert header.tile_normal_lps == (0.0, 0.0, 1.0)


def test_the_siemens_protocol_tells_slices_and_volumes(tmp_path: Path) -> None:
    text = b"junk\nsSliceArray.lSize\t = \t36\nlRepetitions\t = \t5\nlAverages\t = \t1\n"
    private = {(0x29, "SIEMENS CSA HEADER", 0x20): ("OB", text)}
    header = read_instance(made.write(tmp_path / "x.dcm", made.instance(private=private)))
    assert (header.expected_slices, header.expected_volumes) == (36, 6)


@pytest.mark.parametrize(
    ("lines", "volumes"),
    [
        (b"\nsDiffusion.ulMode = 256\nsDiffusion.lDiffWeightings = 2\nsDiffusion.lDiffDirections = 30"
         b"\nsDiffusion.alBValue[1] = 1000\n", 31),
        (b"\nsDiffusion.ulMode = 256\nsDiffusion.lDiffWeightings = 3\nsDiffusion.lDiffDirections = 20"
         b"\nsDiffusion.alBValue[1] = 700\nsDiffusion.alBValue[2] = 2000\n", 41),
        (b"\nsDiffusion.ulMode = 256\nsDiffusion.lDiffWeightings = 2\nsDiffusion.lDiffDirections = 30"
         b"\nsDiffusion.alBValue[1] = 1000\nlAverages = 4\n", None),
        (b"\nsDiffusion.ulMode = 128\nsDiffusion.lDiffWeightings = 2\nsDiffusion.lDiffDirections = 64\n", None),
    ],
)  # fmt: skip
def test_siemens_diffusion_volumes_are_counted_only_where_the_table_is_the_scanners(
    tmp_path: Path, lines: bytes, volumes: int | None
) -> None:
    private = {
        (0x29, "SIEMENS CSA HEADER", 0x20): ("OB", lines + b"\0" * (len(lines) % 2)),
        (0x19, "SIEMENS MR HEADER", 0x0C): ("IS", 1000),
    }
    assert read_instance(made.write(tmp_path / "x.dcm", made.instance(private=private))).expected_volumes == volumes


def ge(bvalue: object, direction: tuple[str, str, str], **values: object) -> dict[str, object]:
    private = {(0x43, "GEMS_PARM_01", 0x39): ("IS", bvalue)}
    private |= {(0x19, "GEMS_ACQU_01", 0xBB + i): ("DS", part) for i, part in enumerate(direction)}
    return {"private": private, "Manufacturer": "GE MEDICAL SYSTEMS", "InPlanePhaseEncodingDirection": "COL"} | values


@pytest.mark.parametrize(
    ("stored", "bvalue"), [(1000, 1000), (1000001000, 1000), (1000000050, 50), (0, 0), (1000000000, 0)]
)
def test_ge_bvalue_loses_its_offset(tmp_path: Path, stored: int, bvalue: float) -> None:
    found = frame(tmp_path, **ge([stored, 8, 0, 0], ("1", "0", "0")))
    assert found.bvalue == bvalue
    assert (found.gradient_lps is None) is (bvalue == 0)


def test_a_short_ge_direction_scales_its_bvalue(tmp_path: Path) -> None:
    found = frame(tmp_path, **ge([2000, 8, 0, 0], ("0.5", "0.5", "0")))
    assert found.bvalue == 1000  # 2000 times 0.5
    assert found.gradient_lps == pytest.approx((0.5**0.5, 0.5**0.5, 0.0))


@pytest.mark.parametrize(("number", "component"), [(0, "magnitude"), (1, "phase"), (2, "real"), (3, "imaginary")])
def test_ge_tells_the_component_as_a_number(tmp_path: Path, number: int, component: str) -> None:
    private = {(0x43, "GEMS_PARM_01", 0x2F): ("SS", number)}
    assert frame(tmp_path, private, Manufacturer="GE MEDICAL SYSTEMS").component == component


def test_the_ge_field_map_flag_counts_only_in_that_sequence(tmp_path: Path) -> None:
    flag: made.Private = {(0x43, "GEMS_PARM_01", 0x30): ("SS", 2)}
    sequence: made.Private = {(0x19, "GEMS_ACQU_01", 0x9E): ("LO", "B0map")}
    assert frame(tmp_path, {**flag, **sequence}, Manufacturer="GE MEDICAL SYSTEMS").component is Component.FIELD
    assert frame(tmp_path, flag, Manufacturer="GE MEDICAL SYSTEMS").component is Component.MAGNITUDE


def test_a_field_map_is_a_field_map_even_where_the_standard_element_says_real(tmp_path: Path) -> None:
    values = {"ImageType": ["ORIGINAL", "PRIMARY", "T1", "FIELD_MAP"], "ComplexImageComponent": "REAL"}
    assert frame(tmp_path, {}, Manufacturer="Philips", **values).component is Component.FIELD
    assert frame(tmp_path, {}, Manufacturer="Philips", ComplexImageComponent="REAL").component is Component.REAL


def test_the_ge_3d_field_map_is_known_by_its_own_name(tmp_path: Path) -> None:
    private: made.Private = {
        (0x43, "GEMS_PARM_01", 0x30): ("SS", 2),
        (0x19, "GEMS_ACQU_01", 0x9C): ("LO", "3db0map"),
        (0x19, "GEMS_ACQU_01", 0x9E): ("LO", "EFGRE3D"),
    }
    assert frame(tmp_path, private, Manufacturer="GE MEDICAL SYSTEMS").component is Component.FIELD


def test_old_philips_objects_tell_diffusion_in_private_elements_only(tmp_path: Path) -> None:
    private = {
        (0x2001, "Philips Imaging DD 001", 0x03): ("FL", 800.0),
        (0x2001, "Philips Imaging DD 001", 0x04): ("CS", "O"),
    }
    private |= {(0x2005, "Philips MR Imaging DD 001", 0xB0 + i): ("FL", part) for i, part in enumerate((0.0, 0.6, 0.8))}
    found = frame(tmp_path, private, Manufacturer="Philips Medical Systems")
    assert (found.bvalue, found.gradient_lps, found.isotropic) == (800.0, pytest.approx((0.0, 0.6, 0.8)), False)
    private[0x2001, "Philips Imaging DD 001", 0x04] = ("CS", "I")
    found = frame(tmp_path, private, Manufacturer="Philips Medical Systems")
    assert (found.gradient_lps, found.isotropic) == (None, True)


def test_philips_inversion_delay_counts_only_with_an_inversion_pulse(tmp_path: Path) -> None:
    def ti(kind: str) -> float | None:
        private = {
            (0x2001, "Philips Imaging DD 001", 0x1B): ("FL", 900.0),
            (0x2001, "Philips Imaging DD 001", 0x1C): ("CS", kind),
        }
        return read_instance(
            made.write(tmp_path / "x.dcm", made.instance(private=private, Manufacturer="Philips"))
        ).ti_ms

    assert ti("INV") == 900.0
    assert ti("NO") is None


def test_the_makers_elements_of_another_maker_are_not_believed(tmp_path: Path) -> None:
    private = {(0x43, "GEMS_PARM_01", 0x39): ("IS", [1000, 8, 0, 0])}
    assert frame(tmp_path, private, Manufacturer="Philips").bvalue is None


DIFFUSION = (
    ("canon-galan-dwi", 9000),
    ("canon-galan-dwi", 8000),
    ("ge-pioneer-dwi-phantom", 1),
    ("philips-elition-study", 2201),
    ("siemens-prisma-decubitus", 4),
    ("siemens-prisma-sagittal-mosaic", 4),
    ("siemens-prisma-xa30-enhanced", 10),
    ("uih-umr770-dwi", 12),
)
SAME_AXIS = 0.9995  # dcm2niix writes six digits; Siemens rounds its directions to eight


@pytest.mark.data
@pytest.mark.integration
@pytest.mark.parametrize(("name", "number"), DIFFUSION)
def test_bvalues_and_directions_agree_with_dcm2niix(
    data: Callable[[str], Path], program: Callable[[str], str], tmp_path: Path, name: str, number: int
) -> None:
    series = next(one for one in read_folder(data(name)).series if one.first.series_number == number)
    source = tmp_path / "dicom"
    source.mkdir()
    for index, one in enumerate(series.instances):
        (source / f"{index}.dcm").symlink_to(one.path)
    command = [program("dcm2niix"), "-z", "n", "-b", "n", "-f", "x", "-o", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    theirs = world_axes(next(tmp_path.glob("*.nii")))
    ours = ours_by_volume(series)
    assert len(ours) == len(theirs)
    # volume by volume: as a set, an orthogonal scheme looks the same with two components swapped
    for (our_bvalue, our_axis), (bvalue, axis) in zip(ours, theirs, strict=True):
        assert round(our_bvalue, -1) == round(bvalue, -1)
        if bvalue > 50:
            assert abs(float(axis @ our_axis)) > SAME_AXIS


def world_axes(image: Path) -> list[tuple[float, np.ndarray]]:
    """Directions of a bvec file in LPS: FSL's first component is flipped where the affine keeps handedness."""
    affine = nib.load(image).affine[:3, :3]
    rotation = affine / np.linalg.norm(affine, axis=0)
    vectors = np.loadtxt(image.with_suffix(".bvec"))
    if np.linalg.det(rotation) > 0:
        vectors[0] *= -1
    world = np.diag([-1.0, -1.0, 1.0]) @ rotation @ vectors
    return list(zip(np.loadtxt(image.with_suffix(".bval")), world.T, strict=True))


def ours_by_volume(series: made.SeriesHeader) -> list[tuple[float, np.ndarray]]:
    arranged = layout(series)
    places = arranged.slice_places_mm
    place = places[0] if places and not series.first.tiles else None
    column = [p.frame for p in arranged.planes if place is None or abs((p.slice_mm or 0) - place) < 0.1]
    assert len(column) == arranged.volumes
    return [(frame.bvalue or 0.0, np.array(frame.gradient_lps or (0.0, 0.0, 0.0))) for frame in column]


@pytest.mark.data
@pytest.mark.parametrize(("name", "number"), [("siemens-prisma-sagittal-mosaic", 2), ("uih-umr770-dwi", 12)])
def test_tiled_volumes_hold_as_many_tiles_as_fit(data: Callable[[str], Path], name: str, number: int) -> None:
    first = next(one for one in read_folder(data(name)).series if one.first.series_number == number).first
    fit = (first.rows // first.tile_rows) * (first.columns // first.tile_columns)
    assert 0 < first.tiles <= fit < first.tiles + first.columns // first.tile_columns + first.rows // first.tile_rows
