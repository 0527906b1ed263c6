"""Maps come back voxel-exact and on the right side in the readers that PACS and research use."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dicom_io.results.maps import write_maps
from tests.dicom_io.results.result_sources import ORIENTATIONS


def errors_of_dciodvfy(program, path: Path) -> list[str]:
    done = subprocess.run([program("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def wrong_voxels_in_dcmqi(program, path: Path, data: np.ndarray, affine: np.ndarray, folder: Path) -> int:
    """Count voxels of `data` that dcmqi puts elsewhere or with another value, compared in patient coordinates."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        [program("paramap2itkimage"), "--inputDICOM", str(path), "--outputDirectory", str(folder), "-t", "nii"],
        capture_output=True,
        check=True,
    )
    image = nib.load(folder / "pmap.nii.gz")
    got = np.asanyarray(image.dataobj)
    index = np.indices(data.shape).reshape(3, -1)
    world = affine[:3, :3] @ index + affine[:3, 3:]
    back = np.linalg.inv(image.affine)
    place = back[:3, :3] @ world + back[:3, 3:]
    nearest = np.rint(place).astype(int)
    assert np.abs(place - nearest).max() < 0.01
    inside = np.all((nearest >= 0) & (nearest < np.array(got.shape)[:, None]), axis=0)
    expected = np.nan_to_num(data).reshape(-1)
    return int((~inside).sum() + (got[tuple(nearest[:, inside])] != expected[inside]).sum())


GEOMETRIES = {
    **{name: {"name": name} for name in ORIENTATIONS},
    "descending": {"name": "axial", "step": -3.0},
    "descending oblique": {"name": "oblique", "step": -3.0},
    "two slices": {"name": "coronal", "slices": 2},
    "one slice": {"name": "axial", "slices": 1},
}


@pytest.mark.integration
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_dcmqi_reads_the_map_voxel_exact_and_unflipped(geometry, make_run, maker, program, tmp_path):
    run = make_run(**GEOMETRIES[geometry])
    files = write_maps(run, maker, tmp_path / "maps")
    image = run.findings.maps[0]
    assert wrong_voxels_in_dcmqi(program, files[0], image.data, image.affine, tmp_path / "nii") == 0
    assert errors_of_dciodvfy(program, files[0]) == []
