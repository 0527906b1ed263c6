"""Conversion on every vendor's real series, held against headers, pixels and MRtrix3; and every disagreement caught."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from analyses.contract import RoleKind, Unsuitable, Volume
from dicom_io.agreement import hold_against_headers
from dicom_io.classify import classify
from dicom_io.convert import array_axes, convert
from dicom_io.facts import facts
from dicom_io.header import FrameHeader, SeriesHeader, read_series

Data = Callable[[str], Path]

PHILIPS = "philips-elition-study/s2201"
CANON = "canon-galan-dwi/9000_DTI_PA-ortho_classic_v60"
UIH = "uih-umr770-dwi/dti_tra_dir16_PA_rot_SaveBySlc__134057"
SAGITTAL = "siemens-prisma-sagittal-mosaic/4_DWI_SagAPmosaic"
ENHANCED = "siemens-prisma-xa30-enhanced/10_DWI_dir80_PA"
DIFFUSION = {
    # name: (shape, b of the shell, distinct axes)
    PHILIPS: ((128, 128, 82, 17), 1000.0),
    ENHANCED: ((72, 72, 39, 21), 2500.0),
    SAGITTAL: ((82, 82, 48, 21), 2000.0),
    "siemens-prisma-decubitus/HFS_4_ep2d_diff_mddw_20_p2": ((128, 128, 25, 13), 1000.0),
    CANON: ((80, 80, 40, 13), 1500.0),
    "canon-galan-dwi/8000_DTI_PA-ALL_20d_enhanced_v61.dcm": ((80, 80, 40, 13), 1500.0),
    UIH: ((64, 64, 20, 17), 929.75),
    "ge-pioneer-dwi-phantom/01_Ax_DWI_TENSOR_R2": ((256, 256, 2, 7), 1000.0),
}


def series_of(data: Data, name: str) -> SeriesHeader:
    first, _, rest = name.partition("/")
    place = data(first) / rest
    return read_series([place] if place.is_file() else sorted(place.iterdir()))


def converted(series: SeriesHeader, folder: Path) -> Volume:
    return convert(series, facts(series, classify(series)), folder)


@pytest.mark.data
@pytest.mark.parametrize("name", DIFFUSION)
def test_every_diffusion_series_agrees_with_its_headers(data: Data, name: str, tmp_path: Path) -> None:
    shape, b = DIFFUSION[name]
    series = series_of(data, name)
    volume = converted(series, tmp_path)  # raises where b-values, directions, places, counts, TR or TE disagree
    assert volume.data.shape == shape
    assert volume.bvals is not None
    assert volume.bvecs is not None
    weighted = volume.bvals > 50
    assert weighted.sum() == shape[3] - 1
    np.testing.assert_allclose(volume.bvals[weighted], b, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(volume.bvecs, axis=1), weighted, atol=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("name", [PHILIPS, CANON])
def test_pixels_lie_in_the_patient_where_the_files_say(data: Data, name: str, tmp_path: Path) -> None:
    series = series_of(data, name)
    volume = converted(series, tmp_path)
    back = np.linalg.inv(volume.affine)
    random = np.random.default_rng(1)
    seen = 0
    ratios = []
    for path in random.choice([str(i.path) for i in series.instances], 12, replace=False):
        file = pydicom.dcmread(path)
        pixels = file.pixel_array
        number = volume_of(file, volume)
        row, down = np.reshape(np.array(file.ImageOrientationPatient, float), (2, 3))
        spacing = [float(x) for x in file.PixelSpacing]
        bright = np.argwhere(pixels > np.percentile(pixels, 90))
        for r, c in bright[random.integers(0, len(bright), 5)]:
            lps = np.array(file.ImagePositionPatient, float) + row * c * spacing[1] + down * r * spacing[0]
            i, j, k = np.rint(back[:3, :3] @ (lps * [-1, -1, 1]) + back[:3, 3]).astype(int)
            if volume.data[i, j, k, number] > 0:
                ratios.append(float(pixels[r, c]) / float(volume.data[i, j, k, number]))
                seen += 1
    assert seen > 40
    # one scale for all: a pixel from anywhere else would have another ratio
    np.testing.assert_allclose(ratios, np.median(ratios), rtol=0.02)


def volume_of(file: pydicom.Dataset, volume: Volume) -> int:
    """Number of the volume that a file belongs to, by its b-value and direction; Canon writes 40 slices a volume."""
    assert volume.bvals is not None
    if file.Manufacturer.startswith("CANON"):
        return (int(file.InstanceNumber) - 1) // 40
    if float(file.DiffusionBValue) < 50:
        return int(np.argmin(volume.bvals))
    return int(np.argmax(np.abs(gradients_lps(volume) @ np.array(file.DiffusionGradientOrientation, float))))


def gradients_lps(volume: Volume) -> np.ndarray:
    """Directions of a volume in the patient as DICOM has them."""
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    return np.asarray(volume.bvecs) @ directions.T * [-1, -1, 1]


@pytest.mark.data
def test_echoes_become_volumes_and_phase_is_left_out(data: Data, tmp_path: Path) -> None:
    volume = converted(series_of(data, "philips-elition-study/s2001"), tmp_path)
    assert volume.data.shape == (80, 80, 53, 2)
    assert volume.te_ms == (2.3, 4.6)
    assert volume.data.min() >= 0  # phase would be negative in half of its pixels
    assert volume.bvals is None


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "tr_ms"),
    [
        ("philips-elition-study/s1301", (170, 256, 256), None),  # 3D: dcm2niix turns the array, positions must hold
        ("siemens-prisma-decubitus/HFDL_2_t1_fl2d_sag", (256, 256, 35), 300.0),
        ("siemens-prisma-xa30-enhanced/5_anat-T1w_acq-tfl", (96, 128, 128), 1800.0),
        ("siemens-prisma-xa30-enhanced/7_func-bold_task-fa_run-1", (64, 64, 33, 20), 1000.0),
        ("siemens-prisma-sagittal-mosaic/2_fmri_SagAP", (64, 64, 36, 6), 3200.0),
    ],
)
def test_other_series_agree_too(
    data: Data, name: str, shape: tuple[int, ...], tr_ms: float | None, tmp_path: Path
) -> None:
    volume = converted(series_of(data, name), tmp_path)
    assert volume.data.shape == shape
    assert tr_ms is None or volume.tr_ms == pytest.approx(tr_ms)


@pytest.mark.data
def test_a_missing_slice_is_refused_even_when_the_facts_call_it_whole(data: Data, tmp_path: Path) -> None:
    series = series_of(data, CANON)
    less = SeriesHeader(series.instances[:100] + series.instances[101:])
    whole = replace(facts(series, classify(series)), complete=True)
    with pytest.raises(Unsuitable, match=r"519 of 520 slices|made an image without"):
        convert(less, whole, tmp_path)


@pytest.mark.data
def test_an_incomplete_series_is_refused_before_anything_runs(data: Data, tmp_path: Path) -> None:
    series = series_of(data, UIH)
    partial = replace(facts(series, classify(series)), complete=False, completeness="16 of 17 volumes received")
    with pytest.raises(Unsuitable, match="16 of 17 volumes received"):
        convert(series, partial, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def agreed(data: Data, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Volume, SeriesHeader]]:
    made = {}
    for name in (UIH, SAGITTAL, CANON, ENHANCED):
        series = series_of(data, name)
        made[name] = converted(series, tmp_path_factory.mktemp("volume")), series
    return made


def turned(volume: Volume, degrees: float) -> Volume:
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return replace(volume, bvecs=np.asarray(volume.bvecs) @ matrix.T)


def shifted(volume: Volume, voxels: tuple[float, float, float]) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ voxels
    return replace(volume, affine=affine)


DISAGREEMENTS: dict[str, tuple[Callable[[Volume], Volume], str]] = {
    "one volume less": (lambda v: replace(v, data=v.data[..., :-1]), "volumes, the headers say"),
    "one slice less": (lambda v: replace(v, data=v.data[:, :, 1:]), "slices, the headers say"),
    "a cropped matrix": (lambda v: replace(v, data=v.data[2:]), "matrix"),
    "half a voxel to the side": (lambda v: shifted(v, (0.5, 0, 0)), "elsewhere in the patient"),
    "one slice up": (lambda v: shifted(v, (0, 0, 1)), "another place or order"),
    "another TR": (lambda v: replace(v, tr_ms=(v.tr_ms or 0) * 1.1), "TR"),
    "another TE": (lambda v: replace(v, te_ms=(10.0,)), "TE"),
    "another b": (lambda v: replace(v, bvals=np.asarray(v.bvals) * 1.1), "b="),
    "b-values out of order": (lambda v: replace(v, bvals=np.asarray(v.bvals)[::-1]), r"b=|degrees"),
    "two volumes exchanged": (
        lambda v: replace(v, bvecs=np.asarray(v.bvecs)[[0, 2, 1, *range(3, len(np.asarray(v.bvals)))]]),
        "degrees from its header",
    ),
    "directions 2 degrees off": (lambda v: turned(v, 2.0), "degrees from its header"),
    "x of the directions flipped": (
        lambda v: replace(v, bvecs=np.asarray(v.bvecs) * [-1, 1, 1]),
        "degrees from its header",
    ),
    "larger voxels": (lambda v: replace(v, affine=v.affine @ np.diag([1.02, 1, 1, 1])), "voxels of"),
    "an oblique affine": (
        lambda v: replace(v, affine=np.block([[_spin(3), np.zeros((3, 1))], [0, 0, 0, 1]]) @ v.affine),
        "turned the image",
    ),
}


def mirrored_affine(volume: Volume, axis: int) -> Volume:
    """The same pixels, said to lie mirrored within the same box."""
    flip = np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1.0, volume.data.shape[axis] - 1.0
    return replace(volume, affine=volume.affine @ flip)


@pytest.mark.data
@pytest.mark.parametrize("name", [UIH, SAGITTAL, CANON, ENHANCED])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("of", ["pixels", "affine"])
def test_a_mirrored_image_is_told_without_any_diffusion_table(
    agreed: dict[str, tuple[Volume, SeriesHeader]], name: str, axis: int, of: str
) -> None:
    volume, series = agreed[name]
    plain = replace(volume, bvals=None, bvecs=None)
    mirrored = replace(plain, data=np.flip(plain.data, axis)) if of == "pixels" else mirrored_affine(plain, axis)
    with pytest.raises(Unsuitable, match=r"pixels where its header puts them|another place or order"):
        hold_against_headers(mirrored, series)


def _spin(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])


@pytest.mark.data
@pytest.mark.parametrize("name", [UIH, SAGITTAL, CANON, ENHANCED])
@pytest.mark.parametrize("fault", DISAGREEMENTS)
def test_a_disagreement_is_told(agreed: dict[str, tuple[Volume, SeriesHeader]], name: str, fault: str) -> None:
    volume, series = agreed[name]
    spoil, sentence = DISAGREEMENTS[fault]
    with pytest.raises(Unsuitable, match=sentence):
        hold_against_headers(spoil(volume), series)


@pytest.mark.data
def test_deflated_files_give_the_same_volume(
    agreed: dict[str, tuple[Volume, SeriesHeader]], data: Data, tmp_path: Path
) -> None:
    for number, instance in enumerate(series_of(data, UIH).instances):
        ds = pydicom.dcmread(instance.path)
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        ds.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    series = read_series(sorted(tmp_path.iterdir()))
    (tmp_path / "work").mkdir()
    np.testing.assert_array_equal(converted(series, tmp_path / "work").data, agreed[UIH][0].data)


@pytest.mark.data
def test_images_of_two_frames_of_reference_are_no_volume(agreed: dict[str, tuple[Volume, SeriesHeader]]) -> None:
    volume, series = agreed[UIH]
    moved = replace(series.instances[-1], frame_of_reference_uid="1.2.3")
    with pytest.raises(Unsuitable, match="different frames of reference"):
        hold_against_headers(volume, SeriesHeader((*series.instances[:-1], moved)))


@pytest.mark.data
@pytest.mark.parametrize("name", [UIH, SAGITTAL])
def test_tiles_in_the_wrong_order_are_told(agreed: dict[str, tuple[Volume, SeriesHeader]], name: str) -> None:
    volume, series = agreed[name]
    with pytest.raises(Unsuitable, match="another place or order"):
        hold_against_headers(_upside_down_tiles(volume), series)


def _upside_down_tiles(volume: Volume) -> Volume:
    """First tile where the last should be: same slab, same grid lines, slices reversed about the first tile."""
    affine = volume.affine.copy()
    step = affine[:3, 2] * (volume.data.shape[2] - 1)
    first_low = True
    affine[:3, 3] += -step if first_low else step
    return replace(volume, affine=affine)


@pytest.mark.data
def test_a_trace_image_in_the_headers_is_no_volume(agreed: dict[str, tuple[Volume, SeriesHeader]]) -> None:
    volume, series = agreed[CANON]
    frame = series.instances[-1].frames[0]
    number = int(np.argmax(np.asarray(volume.bvals) > 50))
    vector = gradients_lps(volume)[number]

    def as_trace(header: FrameHeader) -> FrameHeader:
        same = header.gradient_lps is not None and abs(np.dot(header.gradient_lps, vector)) > 0.999
        return replace(header, isotropic=True, gradient_lps=None) if same else header

    changed = SeriesHeader(tuple(replace(i, frames=tuple(as_trace(f) for f in i.frames)) for i in series.instances))
    assert frame.te_ms == 79.0
    with pytest.raises(Unsuitable, match="13 volumes, the headers say 12"):
        hold_against_headers(volume, changed)
    keep = np.arange(13) != number
    without = replace(
        volume,
        data=volume.data[..., keep],
        bvals=np.asarray(volume.bvals)[keep],
        bvecs=np.asarray(volume.bvecs)[keep],
    )
    hold_against_headers(without, changed)


@pytest.mark.integration
@pytest.mark.parametrize("flip", [1.0, -1.0], ids=["right-handed affine", "left-handed affine"])
def test_vectors_along_array_axes_are_mrtrix3s(flip: float, program: Callable[[str], str], tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(6, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0 * flip, 2.0, 3.0])
    nibabel.Nifti1Image(np.ones((4, 5, 6, 6), dtype=np.float32), affine).to_filename(tmp_path / "dwi.nii")
    np.savetxt(tmp_path / "dwi.bvec", vectors.T)
    np.savetxt(tmp_path / "dwi.bval", np.full((1, 6), 1000.0))
    told = subprocess.run(
        [program("mrinfo"), "-dwgrad", "-fslgrad", "dwi.bvec", "dwi.bval", "dwi.nii"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    patient = np.loadtxt(told.splitlines())[:, :3]
    ours = array_axes(vectors, affine) @ (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)).T
    np.testing.assert_allclose(ours, patient, atol=1e-6)


@pytest.mark.data
def test_a_role_without_diffusion_carries_no_table(data: Data, tmp_path: Path) -> None:
    series = series_of(data, UIH)
    other = replace(facts(series, classify(series)), role=RoleKind.T2, bvals=())
    assert convert(series, other, tmp_path).bvals is None
