"""What independent programs say of our objects: dciodvfy, dcmqi, dcm2niix."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np

CLASSES = ("ParametricMap", "MRImage", "EnhancedMRImage", "SCImage", "Comprehensive3DSR")


def errors_of_dciodvfy(program, path: Path) -> list[str]:
    """Lines in which dciodvfy calls something an error; it must also name the object's class, or it did not read it."""
    done = subprocess.run([program("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert any(line in CLASSES for line in said), said
    return [line for line in said if line.startswith("Error")]


def parametric_map_in_dcmqi(program, path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Array and RAS affine of a Parametric Map as dcmqi reads it."""
    folder.mkdir()
    command = [program("paramap2itkimage"), "--inputDICOM", path, "--outputDirectory", folder, "-t", "nii"]
    subprocess.run(list(map(str, command)), capture_output=True, check=True)
    return image_of(folder / "pmap.nii.gz")


def converted_by_dcm2niix(program, dicom: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Array and RAS affine of the one series in a folder as dcm2niix converts it."""
    folder.mkdir()
    command = [program("dcm2niix"), "-f", "out", "-z", "n", "-m", "n", "-b", "n", "-o", folder, dicom]
    subprocess.run(list(map(str, command)), capture_output=True, check=True)
    (found,) = folder.glob("*.nii")
    return image_of(found)


def image_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def misplaced(
    data: np.ndarray, affine: np.ndarray, got: np.ndarray, got_affine: np.ndarray, tolerance: float = 0.0
) -> int:
    """Count voxels of `data` that `got` has not at the same place in the patient with the same value."""
    index = np.indices(data.shape).reshape(3, -1)
    world = affine[:3, :3] @ index + affine[:3, 3:]
    back = np.linalg.inv(got_affine)
    place = back[:3, :3] @ world + back[:3, 3:]
    nearest = np.rint(place).astype(int)
    off_grid = np.abs(place - nearest).max(axis=0) > 0.02
    inside = np.all((nearest >= 0) & (nearest < np.array(got.shape)[:, None]), axis=0) & ~off_grid
    differs = np.abs(got[tuple(nearest[:, inside])] - data.reshape(-1)[inside]) > tolerance
    return int((~inside).sum() + differs.sum())
