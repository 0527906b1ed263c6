"""The marker box written in any dialect and orientation, read back by dcm2niix, and compared voxel by voxel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from analyses.contract import RoleKind
from dicom_io import header
from dicom_io.classify import classify
from dicom_io.completeness import completeness
from dicom_io.convert import convert
from dicom_io.facts import facts
from phantom import markers, plan
from phantom.dialects.identity import Identity
from phantom.dialects.registry import WRITERS
from phantom.dialects.series import Acquired
from phantom.examination import Dialect
from phantom.sequences import dwi
from phantom.slab import LPS_TO_RAS, Plane, Slab

Floats = npt.NDArray[np.float64]

DIRECTIONS = np.array(markers.MARKER_DIRECTIONS) / np.linalg.norm(markers.MARKER_DIRECTIONS, axis=1, keepdims=True)
COUNT = len(DIRECTIONS)
ONE_SHELL = np.r_[0.0, np.full(COUNT, 1000.0)]
# b = 0 first, in the middle and last: no dialect may tell volumes by their place in the series
TWO_SHELLS = np.r_[0.0, np.full(COUNT, 1000.0), 0.0, np.full(COUNT, 2500.0), 0.0]
DWI_SEQUENCE, T1_SEQUENCE = plan.diffusion(dwi.Protocol()), plan.T1
VOXEL_MM = (2.5, 2.2, 3.0)
READ_OUT_MS = DWI_SEQUENCE.readout_ms


@dataclass(frozen=True)
class Read:
    """What dcm2niix made: stored values (x, y, z, volume), affine, sidecar, b-table as it wrote it (or nothing)."""

    stored: npt.NDArray[Any]
    affine: Floats
    sidecar: Mapping[str, Any]
    b: Floats
    bvecs: Floats

    @property
    def directions_ras(self) -> Floats:
        """(volume, 3); FSL negates x where the affine has a positive determinant."""
        vectors = self.bvecs * ([-1, 1, 1] if np.linalg.det(self.affine[:3, :3]) > 0 else [1, 1, 1])
        return np.asarray(vectors @ (self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)).T)


def slab(plane: Plane = Plane.AXIAL, tilted: bool = False, left_handed: bool = False) -> Slab:
    """The marker box with three different edges to its voxel: swapped spacings would put it elsewhere."""
    tilt = markers.TILT_DEG if tilted else (0.0, 0.0, 0.0)
    return Slab.around(markers.CENTRE_RAS, markers.SHAPE, VOXEL_MM, plane, tilt, left_handed)


def gradients_of(b: Floats) -> Floats:
    """Directions (volume, 3), the same on every shell; zeros at b = 0."""
    g = np.zeros((len(b), 3))
    for shell in set(b) - {0.0}:
        g[b == shell] = DIRECTIONS
    return g


def diffusion(where: Slab, b: Floats = ONE_SHELL, *, positive: bool = True, number: int = plan.DWI_NUMBER) -> Acquired:
    """The box as a diffusion series: every volume has a brightness of its own; odd slices first, as on a scanner."""
    shares = 1 - 0.5 * np.arange(len(b)) / len(b)
    data = np.rint(markers.box()[..., None] * shares).astype(np.uint16)
    slices = where.shape[2]
    times = np.zeros(slices)
    order = np.r_[np.arange(0, slices, 2), np.arange(1, slices, 2)]
    times[order] = np.arange(slices) * 400.0
    sequence = replace(DWI_SEQUENCE, phase_positive=positive, number=number)
    return Acquired(sequence, where, data, b, gradients_of(b), times)


def t1(where: Slab) -> Acquired:
    """The box as an MPRAGE."""
    return Acquired(T1_SEQUENCE, where, markers.box()[..., None])


def write(dialect: Dialect, folder: Path, acquired: Acquired, key: str = "round trip") -> list[Path]:
    """Write a series; its paths."""
    return list(WRITERS[dialect](folder, acquired, Identity(f"{key} {dialect}", 7)))


def converted(series: Path, out: Path) -> Read:
    """One NIfTI file of a series."""
    beside = Path(sys.executable).parent / "dcm2niix"
    program = str(beside) if beside.exists() else shutil.which("dcm2niix")
    assert program
    out.mkdir()
    command = [program, "-b", "y", "-z", "n", "-f", "image", "-o", str(out), str(series)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [path.name for path in out.glob("*.nii")] == ["image.nii"], done.stdout + done.stderr
    image = nibabel.load(out / "image.nii")
    stored = np.asarray(image.dataobj.get_unscaled())
    told = (out / "image.bval").exists()
    return Read(
        stored if stored.ndim == 4 else stored[..., None],
        image.affine,
        json.loads((out / "image.json").read_text()),
        np.loadtxt(out / "image.bval", ndmin=1) if told else np.zeros(0),
        np.loadtxt(out / "image.bvec", ndmin=2).T if told else np.zeros((0, 3)),
    )


def voxels_of(read: Read, points_ras: Floats) -> npt.NDArray[np.int_]:
    """Index of each point (n, 3); fails unless points are voxel centres of the image."""
    inverse = np.linalg.inv(read.affine)
    index = points_ras @ inverse[:3, :3].T + inverse[:3, 3]
    assert np.abs(index - np.rint(index)).max() < 2e-3, "an image lies beside its place"
    found = np.rint(index).astype(int)
    assert (found >= 0).all(), "voxels lie outside the image"
    assert (found < read.stored.shape[:3]).all(), "voxels lie outside the image"
    return found


def grid_points(where: Slab) -> tuple[npt.NDArray[np.int_], Floats]:
    """Index of every voxel (n, 3) and its centre, RAS mm."""
    index = np.indices(where.shape).reshape(3, -1).T
    return index, index @ where.affine[:3, :3].T + where.affine[:3, 3]


def order_of(read: Read, acquired: Acquired) -> list[int]:
    """Which written volume each volume of the file is, by b-value and axis; b = 0 volumes in turn."""
    left = list(range(len(acquired.b)))
    found = []
    for b, direction in zip(read.b, read.directions_ras, strict=True):
        g = acquired.gradients_lps * LPS_TO_RAS
        same = [v for v in left if acquired.b[v] == b and (b == 0 or abs(g[v] @ direction) > 0.9999)]
        assert same, f"no volume was written with b = {b} along {direction}"
        found.append(same[0])
        left.remove(same[0])
    assert not left
    return found


def assert_taken_and_converted(paths: list[Path], acquired: Acquired, kind: RoleKind, folder: Path) -> None:
    """Our own reader takes a written series for what it is, finds it whole, and converts every voxel of it."""
    series = header.read_series(paths)
    role = classify(series)
    assert role.kind is kind
    assert role.phantom
    found = facts(series, role)
    assert found.original
    assert completeness(series).complete
    (folder / "work").mkdir()
    volume = convert(series, found, folder / "work")
    assert volume.data.size == acquired.data.size
