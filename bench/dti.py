"""DTI against MRtrix3 on the same NIfTI files: time of the fit, agreement of FA and of the mask; its own checks.

Rows are `dti.*`. Ours is timed from arrays in memory to FA, MD, AD, RD and V1; MRtrix3 as `dwi2tensor | tensor2metric`
on uncompressed .mif, its reading and writing included, and once more with a read and a write taken off. Times are CPU
seconds of both programs, one thread each, so that a busy machine does not decide.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nibabel.nifti1 import Nifti1Image

from analyses.contract import Volume
from analyses.dti.mask import brain_mask, without_holes
from analyses.dti.table_check import check_table
from analyses.dti.tensor import TensorField, fit_tensor, voxel_signals
from analyses.shared.gradients import design, unweighted
from bench.row import Better, Row, absolute, against
from dicom_io.classify import classify
from dicom_io.convert import convert
from dicom_io.facts import facts
from dicom_io.header import read_series

DATA = Path(os.environ.get("BETZ_DATA", Path.home() / ".cache" / "betz-data"))
SERIES = {
    "philips": "philips-elition-study/s2201",
    "siemens-xa": "siemens-prisma-xa30-enhanced/10_DWI_dir80_PA",
    "siemens-sagittal": "siemens-prisma-sagittal-mosaic/4_DWI_SagAPmosaic",
    "siemens-mosaic": "siemens-prisma-decubitus/HFS_4_ep2d_diff_mddw_20_p2",
    "canon": "canon-galan-dwi/9000_DTI_PA-ortho_classic_v60",
    "canon-enhanced": "canon-galan-dwi/8000_DTI_PA-ALL_20d_enhanced_v61.dcm",
    "uih": "uih-umr770-dwi/dti_tra_dir16_PA_rot_SaveBySlc__134057",
}
TIMED = "philips"  # the largest
THREADS = 1
REPEATS = 3  # best of: the machine does other things as well
OLS, WLS, WLS_DEFAULT = ("-ols", "-iter", "0"), ("-ols", "-iter", "2"), ("-iter", "2")


@dataclass(frozen=True, slots=True)
class Case:
    """A converted series, its array in memory, the mask that both sides use, and MRtrix3's copy of it in `folder`."""

    volume: Volume
    mask: npt.NDArray[np.bool_]
    folder: Path

    def fit(self, passes: int) -> TensorField:
        """Our fit in the common mask."""
        v = self.volume
        if v.bvals is None or v.bvecs is None:
            raise ValueError("a diffusion series without its table")
        return fit_tensor(v.data, self.mask, v.bvals, v.bvecs, passes=passes, threads=THREADS)


def rows() -> Iterator[Row]:
    """Measure; without the data or MRtrix3 there are no rows of that part."""
    present = {name: DATA / place for name, place in SERIES.items() if (DATA / place).exists()}
    if not present or shutil.which("dwi2tensor") is None:
        return
    with tempfile.TemporaryDirectory() as room:
        cases = {name: prepare(place, Path(room) / name) for name, place in present.items()}
        if TIMED in cases:
            yield from fit_rows(cases[TIMED])
            yield definition_row(cases[TIMED])
        for name, case in cases.items():
            yield from agreement_rows(name, case)
        for name, case in cases.items():
            yield from check_rows(name, case)


def prepare(place: Path, folder: Path) -> Case:
    """Convert a series and hand the same numbers to MRtrix3 (its gradients from our array axes by FSL's rule)."""
    series = read_series([place] if place.is_file() else sorted(place.iterdir()))
    volume = convert(series, facts(series, classify(series)), folder)
    if volume.bvals is None or volume.bvecs is None:
        raise ValueError(f"{place.name} has no diffusion table")
    sign = -1.0 if np.linalg.det(volume.affine[:3, :3]) > 0 else 1.0
    np.savetxt(folder / "bvec", (volume.bvecs * [sign, 1, 1]).T)
    np.savetxt(folder / "bval", volume.bvals[None])
    image = Nifti1Image(volume.data, volume.affine)  # type: ignore[no-untyped-call]
    image.to_filename(folder / "dwi.nii")
    mrtrix(folder, "mrconvert", "dwi.nii", "-fslgrad", "bvec", "bval", "dwi.mif")
    mrtrix(folder, "dwi2mask", "dwi.mif", "mask.nii")
    return Case(volume, read(folder / "mask.nii") > 0, folder)


def fit_rows(case: Case) -> Iterator[Row]:
    """Time of the weighted fit, both sides in turn."""
    voxels = int(case.mask.sum())
    case.fit(2)  # compiled before the clock starts
    ours = best(lambda: case.fit(2))
    peer = best(lambda: mrtrix_fit(case, WLS))
    handling = best(lambda: mrtrix(case.folder, "mrconvert", "dwi.mif", "copy.mif"))
    note = f"{voxels} voxels, {case.volume.data.shape[3]} volumes, {THREADS} thread; us a voxel"
    scale = 1e6 / voxels
    yield against("dti.fit", ours * scale, peer * scale, Better.AT_MOST, 1 / 3, "us", note=note)
    net = (peer - handling) * scale
    yield against(
        "dti.fit.without_io", ours * scale, net, Better.AT_MOST, 1 / 3, "us", note="peer less a read and write"
    )
    yield absolute("dti.fit.wls", ours * scale, Better.AT_MOST, 1.0, "us", note="2 passes, FA, MD, AD, RD, V1")


def agreement_rows(name: str, case: Case) -> Iterator[Row]:
    """|FA - FA of MRtrix3| where all samples and eigenvalues are positive; elsewhere the two clip differently."""
    for label, passes, options, limit in (("ols", 0, OLS, 1e-6), ("wls", 2, WLS, 5e-4)):
        field = case.fit(passes)
        mrtrix_fit(case, options)
        apart, share = distance(case, field)
        value = float(apart.max()) if label == "ols" else float(np.percentile(apart, 99))
        what = "max" if label == "ols" else f"p99; max {apart.max():.1e}"
        note = f"{what}; dwi2tensor {' '.join(options)}; {share:.2%} of the mask"
        yield absolute(f"dti.agree.{label}.{name}", value, Better.AT_MOST, limit, "FA", note=note)


def definition_row(case: Case) -> Row:
    """Ours against `dwi2tensor` as it comes, which weighs by measured signals first: another estimator than ours.

    That the definition alone makes the difference is shown by that estimator in numpy, whose distance is in the note.
    """
    field = case.fit(2)
    mrtrix_fit(case, WLS_DEFAULT)
    apart, _ = distance(case, field)
    peer = read(case.folder / "fa.nii").ravel(order="F")[case.mask.ravel(order="F")]
    signals = voxel_signals(case.volume.data, case.mask)
    chosen = np.flatnonzero((field.lowest > 0) & (signals.min(axis=1) > 0))[::10]
    found = fa_of(from_measured_weights(case.volume, signals[chosen]))
    same = float(np.percentile(np.abs(found - peer[chosen]), 99))
    note = f"p99; it starts from measured weights, ours from OLS (median {np.median(apart):.0e}); in numpy {same:.0e}"
    value = float(np.percentile(apart, 99))
    return absolute("dti.agree.dwi2tensor_default", value, Better.AT_MOST, 5e-4, "FA", note=note)


def from_measured_weights(volume: Volume, signals: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Tensors (voxel, 7) by WLS with measured, then twice with predicted signals as weights."""
    if volume.bvals is None or volume.bvecs is None:
        raise ValueError("a diffusion series without its table")
    x, weight = design(volume.bvals, volume.bvecs), signals.astype(np.float64)
    y = np.log(weight)
    beta = np.empty((len(y), x.shape[1]))
    for _ in range(3):
        square = weight**2
        left = np.einsum("vn,ni,nj->vij", square, x, x, optimize=True)
        beta = np.linalg.solve(left, ((square * y) @ x)[..., None])[..., 0]
        weight = np.exp(beta @ x.T)
    return beta


def fa_of(tensor: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """FA (voxel,) by LAPACK."""
    values = np.linalg.eigvalsh(tensor[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3))
    spread = values - values.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(1.5 * (spread**2).sum(axis=1) / (values**2).sum(axis=1)))


def check_rows(name: str, case: Case) -> Iterator[Row]:
    """Our own mask against `dwi2mask`, and the b-table check."""
    volume = case.volume
    if volume.bvals is None:
        return
    plain = unweighted(volume.bvals)
    b0, weighted = volume.data[..., plain].mean(axis=3), volume.data[..., ~plain].mean(axis=3)
    mask = brain_mask(b0, weighted, volume.voxel_mm)
    peer_mask = without_holes(case.mask)  # at b = 2500 it leaves the thalami out
    dice = 2.0 * float((mask & peer_mask).sum()) / float(mask.sum() + peer_mask.sum())
    yield absolute(
        f"dti.mask.dice.{name}", dice, Better.AT_LEAST, 0.95, "1", note="against dwi2mask, its enclosed holes filled"
    )
    if name == TIMED:
        peer = best(lambda: mrtrix(case.folder, "dwi2mask", "dwi.mif", "again.nii"))
        seconds = best(lambda: brain_mask(b0, weighted, volume.voxel_mm))
        yield absolute("dti.mask.time", seconds, Better.AT_MOST, 0.6, "CPU-s", peer=peer)
    field = case.fit(2)
    check = check_table(field, volume.voxel_mm)
    note = f"{check.stored_mm:.0f} mm against {check.rival_mm:.0f} mm"
    yield absolute(f"dti.table.{name}", check.ratio, Better.AT_LEAST, 1.15, "1", note=note)
    if name == TIMED:
        seconds = best(lambda: check_table(field, volume.voxel_mm))
        yield absolute("dti.table.time", seconds, Better.AT_MOST, 1.5, "CPU-s")


def distance(case: Case, field: TensorField) -> tuple[npt.NDArray[np.float64], float]:
    """|FA difference| (voxel,) over voxels with positive samples and eigenvalues, and their share of the mask."""
    peer = read(case.folder / "fa.nii").ravel(order="F")[case.mask.ravel(order="F")]
    least = case.volume.data.min(axis=3).ravel(order="F")[case.mask.ravel(order="F")]
    plain = (field.lowest > 0) & (least > 0)
    return np.abs(peer[plain] - field.fa[plain]), float(plain.mean())


def mrtrix_fit(case: Case, options: tuple[str, ...]) -> None:
    """`dwi2tensor | tensor2metric` to FA, MD, AD, RD and V1: what ours makes."""
    mask = ("-mask", "mask.nii")
    mrtrix(case.folder, "dwi2tensor", *options, *mask, "dwi.mif", "tensor.mif")
    maps = ("-fa", "fa.nii", "-adc", "md.nii", "-ad", "ad.nii", "-rd", "rd.nii", "-vector", "v1.nii")
    mrtrix(case.folder, "tensor2metric", *mask, "tensor.mif", *maps)


def mrtrix(folder: Path, *command: str) -> None:
    """Run a program of MRtrix3 in a folder on as many threads as ours has."""
    threads = 0 if THREADS == 1 else THREADS  # 0 = no worker beside the main thread
    subprocess.run([*command, "-quiet", "-force", "-nthreads", str(threads)], cwd=folder, check=True)


def read(path: Path) -> npt.NDArray[np.float64]:
    """The array of a NIfTI file."""
    return np.asarray(Nifti1Image.from_filename(path).dataobj, dtype=np.float64)


def cpu_seconds() -> float:
    """CPU time of this process and of its finished children so far."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


def best(run: Callable[[], object]) -> float:
    """Least CPU time of some runs, seconds."""
    times = []
    for _ in range(REPEATS):
        start = cpu_seconds()
        run()
        times.append(cpu_seconds() - start)
    return min(times)
