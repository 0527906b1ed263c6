"""Every voxel of the marker box comes back through dcm2niix at its place, in every plane, tilt and hand."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from dicom_io import header
from phantom import markers
from phantom.dialects import philips
from phantom.dialects.series import MAXIMUM_STORED
from phantom.slab import Plane

EVERY_SLAB = [(plane, tilted, left) for plane in Plane for tilted in (False, True) for left in (False, True)]


def dcm2niix() -> str:
    beside = Path(sys.executable).parent / "dcm2niix"
    found = str(beside) if beside.exists() else shutil.which("dcm2niix")
    assert found
    return found


@pytest.fixture
def nifti(tmp_path: Path) -> Callable[[Path], tuple[nibabel.Nifti1Image, Path]]:
    def convert(series: Path) -> tuple[nibabel.Nifti1Image, Path]:
        out = tmp_path / "nifti"
        out.mkdir()
        command = [dcm2niix(), "-b", "y", "-z", "n", "-f", "image", "-o", str(out), str(series)]
        subprocess.run(command, check=True, capture_output=True)
        assert [p.name for p in out.glob("*.nii")] == ["image.nii"]
        return nibabel.load(out / "image.nii"), out

    return convert


def voxels_of(image: nibabel.Nifti1Image, points_ras: npt.NDArray[np.float64]) -> npt.NDArray[np.int_]:
    """Index of each point (n, 3); fails unless points are voxel centres."""
    inverse = np.linalg.inv(image.affine)
    index = points_ras @ inverse[:3, :3].T + inverse[:3, 3]
    assert np.abs(index - np.rint(index)).max() < 1e-3
    return np.rint(index).astype(int)


@pytest.mark.parametrize(("plane", "tilted", "left_handed"), EVERY_SLAB)
def test_every_voxel_and_every_direction_comes_back_at_its_place(
    plane: Plane,
    tilted: bool,
    left_handed: bool,
    tmp_path: Path,
    nifti: Callable[[Path], tuple[nibabel.Nifti1Image, Path]],
) -> None:
    written = markers.write_dwi(tmp_path / "dicom", markers.slab(plane, tilted, left_handed))
    image, out = nifti(tmp_path / "dicom")
    stored = np.asarray(image.dataobj.get_unscaled())
    index = np.indices(markers.SHAPE).reshape(3, -1).T
    points = index @ written.slab.affine[:3, :3].T + written.slab.affine[:3, 3]
    back = voxels_of(image, points)
    b = np.loadtxt(out / "image.bval")
    order = [int(np.flatnonzero(b == 0)[0]), *np.flatnonzero(b > 0)]
    assert sorted(order) == list(range(len(written.b)))
    np.testing.assert_array_equal(b[order], written.b)
    np.testing.assert_array_equal(stored[tuple(back.T)][:, order], written.data[tuple(index.T)])

    vectors = np.loadtxt(out / "image.bvec").T[order]
    if np.linalg.det(image.affine[:3, :3]) > 0:  # FSL's rule: x is negated for a right-handed affine
        vectors[:, 0] *= -1
    axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    between = np.linalg.norm(np.cross(vectors @ axes.T, written.g_lps * [-1, -1, 1]), axis=1)
    assert between.max() < 5e-6, "an axis was flipped, swapped or turned (a sine; the file has six decimals)"


def test_a_t1_comes_back_in_its_corners(
    tmp_path: Path, nifti: Callable[[Path], tuple[nibabel.Nifti1Image, Path]]
) -> None:
    written = markers.write_t1(tmp_path / "dicom", markers.slab(Plane.SAGITTAL, tilted=True))
    image, out = nifti(tmp_path / "dicom")
    stored = np.asarray(image.dataobj.get_unscaled())
    for spot in written.spots:
        (i, j, k), *_ = voxels_of(image, np.array([spot.ras]))
        assert stored[i, j, k] == spot.values[0]
    described = json.loads((out / "image.json").read_text())
    assert described["RepetitionTime"] == pytest.approx(0.0065)
    assert described["EchoTime"] == pytest.approx(0.00293)
    assert described["PhilipsRescaleSlope"] == pytest.approx(float(philips.RESCALE_SLOPE))


def test_no_turn_or_mirror_image_of_the_box_has_its_blocks_in_the_same_corners() -> None:
    box = np.pad(markers.box(), [(2, 2), (0, 0), (6, 6)])  # a cube: every permutation fits
    assert len(set(box.shape)) == 1
    same = 0
    for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        for flips in np.ndindex(2, 2, 2):
            turned = np.flip(box.transpose(axes), [axis for axis in range(3) if flips[axis]])
            same += np.array_equal(turned >= 1000, box >= 1000)
    assert same == 1, "only the identity"


def test_our_own_reader_sees_the_table_and_the_planes_that_were_written(tmp_path: Path) -> None:
    written = markers.write_dwi(tmp_path, markers.slab(Plane.CORONAL, tilted=True, left_handed=True))
    instances = header.read_series(sorted(tmp_path.iterdir())).instances
    assert len(instances) == written.data.shape[2] * len(written.b)
    found = {}
    for instance in instances:
        (frame,) = instance.frames
        assert frame.position_lps is not None
        assert frame.orientation_lps is not None
        np.testing.assert_allclose(frame.orientation_lps, written.slab.axes_lps[:, :2].T.ravel(), atol=1e-9)
        away = np.array(frame.position_lps) - written.slab.origin_lps
        k = float(away @ written.slab.axes_lps[:, 2]) / written.slab.voxel_mm[2]
        assert k == pytest.approx(round(k), abs=1e-5)
        found[round(k), frame.bvalue, frame.gradient_lps] = instance
    assert len(found) == len(instances), "no two planes are the same"
    directions = sorted({gradient for _, b, gradient in found if b and gradient})
    np.testing.assert_allclose(directions, sorted(written.g_lps[1:].tolist()), atol=1e-6)


def test_the_map_of_a_box_shows_each_spot_at_its_place() -> None:
    where = markers.slab(tilted=True)
    data = markers.box()[..., None]
    written = markers.Markers(Path(), where, data, np.zeros(0), np.zeros((0, 3)), markers.spots(where, data))
    image = markers.map_image(written)
    inverse = np.linalg.inv(image.affine)
    for spot in written.spots:
        i, j, k = np.rint(inverse[:3, :3] @ np.array(spot.ras) + inverse[:3, 3]).astype(int)
        assert image.data[i, j, k] == pytest.approx(spot.values[0] / MAXIMUM_STORED)
