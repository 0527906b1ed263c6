"""What Betz itself makes of a written patient: its series read and converted as a scanner's, its tensor measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt

from analyses.contract import Findings, RoleKind, Volume, Workspace
from analyses.dti.measurement import measure
from analyses.dti.tensor import TensorField, fit_tensor
from dicom_io.classify import classify
from dicom_io.convert import convert
from dicom_io.facts import facts
from dicom_io.header import read_folder
from phantom import patient
from phantom.diffusion import DiffusionBody, noise_free
from phantom.examination import Dialect, Examination, Technique
from phantom.painting import THREADS
from phantom.sequences import dwi
from phantom.slab import LPS_TO_RAS
from phantom.truth import Truth

Floats = npt.NDArray[np.float64]
ALMOST_A_VOXEL = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Bias:
    """Mean of what was measured less the truth over single-fibre voxels: FA, and MD as a share of the true mean.

    fit: against the noise-free fit; body: against the compartments' mean tensor. voxels: how many there are.
    """

    fa_fit: float
    md_fit: float
    fa_body: float
    md_body: float
    voxels: int


def written(dialect: Dialect, examination: Examination, folder: Path) -> tuple[Truth, Volume]:
    """The diffusion series of an examination in a dialect, made in `folder` and read back, with its truth."""
    truth = patient.make(folder, replace(examination, dialect=dialect, techniques=(Technique.DWI,)))
    (series,) = read_folder(truth.dicom).series
    role = classify(series)
    if role.kind is not RoleKind.DWI:
        raise ValueError(f"{dialect}: {role.reason}")
    work = folder / "work"
    work.mkdir()
    return truth, convert(series, facts(series, role), work)


def measured(volume: Volume, folder: Path) -> Findings:
    """What the analysis finds."""
    return measure(volume, Workspace(folder, lambda _share, _text: None, np.random.default_rng(0)))


def true_map(truth: Truth, name: str) -> tuple[Floats, Floats]:
    """A truth map and its affine."""
    image = nibabel.load(truth.folder / truth.maps[name])
    return np.asarray(image.dataobj, np.float64), np.asarray(image.affine, np.float64)


def on_grid(values: npt.NDArray[np.generic], affine: Floats, shape: tuple[int, ...], target: Floats) -> Floats:
    """Values (x, y, z) at the voxels of another grid, whose every centre must be a voxel's centre here too."""
    index = np.indices(shape).reshape(3, -1)
    to = np.linalg.inv(affine) @ target
    found = to[:3, :3] @ index + to[:3, 3:]
    nearest = np.rint(found).astype(int)
    if np.abs(found - nearest).max() > ALMOST_A_VOXEL:
        raise ValueError("the grids do not meet")
    return np.asarray(values[tuple(nearest)].reshape(shape), np.float64)


def bias(truth: Truth, volume: Volume) -> Bias:
    """How far the fit to a noisy series lies from the truth where one bundle fills the voxel."""
    single, target = true_map(truth, "single_fibre")
    mask = on_grid(single, target, volume.data.shape[:3], volume.affine) > 0
    if volume.bvals is None or volume.bvecs is None:
        raise ValueError("a diffusion series without its table")
    field = fit_tensor(np.asarray(volume.data, np.float32), mask, volume.bvals, volume.bvecs)
    true = {
        name: on_grid(*true_map(truth, name), volume.data.shape[:3], volume.affine)[mask]
        for name in ("FA", "MD", "body_FA", "body_MD")
    }
    fa, md = (float(found[mask].mean()) for found in (field.volume(field.fa), field.volume(field.md)))
    return Bias(
        fa - float(true["FA"].mean()),
        md / float(true["MD"].mean()) - 1,
        fa - float(true["body_FA"].mean()),
        md / float(true["body_MD"].mean()) - 1,
        int(mask.sum()),
    )


def noise_free_fit(body: DiffusionBody, protocol: dwi.Protocol, mask: npt.NDArray[np.bool_]) -> TensorField:
    """Tensors that the analysis' own fit finds in the noise-free signal of the voxels of `mask`, along RAS axes."""
    b, g_lps = dwi.table(protocol)
    return fit_tensor(noise_free(body, b, g_lps * LPS_TO_RAS), mask, b, g_lps * LPS_TO_RAS, threads=THREADS)
