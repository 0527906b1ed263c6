"""A series of DICOM instances to one volume in patient space: dcm2niix does it, its output is held against the headers.

dcm2niix (Li 2016, 10.1016/j.jneumeth.2016.03.001) knows more of the makers' habits than anything else; it may still be
wrong about a series that nobody showed it before, so nothing of its output is believed that the headers contradict.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dcm2niix
import numpy as np
import numpy.typing as npt
import pydicom
from nibabel.nifti1 import Nifti1Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from analyses.contract import RoleKind, SeriesFacts, Unsuitable, Volume
from analyses.shared.gradients import B0_MAXIMUM
from dicom_io.agreement import hold_against_headers
from dicom_io.header import InstanceHeader, SeriesHeader

TIME_LIMIT_S = 600
# -ba y: no identity in the sidecar. -z n: no compression of a file that is read once. -p y: Philips values as the
# scanner measured them, stored x RescaleSlope / (RescaleSlope x ScaleSlope); the display scaling of -p n may differ
# between the series of a study and between the volumes of a series (Chenevert 2014, 10.1593/tlo.13811).
OPTIONS = ("-b", "y", "-ba", "y", "-z", "n", "-p", "y", "-f", "volume")
OTHER_COMPONENTS = {"PHASE", "REAL", "IMAGINARY", "FIELDMAPHZ"}  # words of ImageType in the sidecar: not magnitude


@dataclass(frozen=True, slots=True)
class Image:
    """One NIfTI file that dcm2niix made, with its sidecar; bvals (volume,), bvecs (volume, 3) as stored."""

    path: Path
    sidecar: Mapping[str, Any]
    affine: npt.NDArray[np.float64]
    shape: tuple[int, ...]
    bvals: npt.NDArray[np.float64] | None
    bvecs: npt.NDArray[np.float64] | None

    @property
    def te_ms(self) -> float | None:
        """Echo time."""
        return _thousandfold(self.sidecar.get("EchoTime"))

    @property
    def volumes(self) -> int:
        """Number of volumes in the file."""
        return self.shape[3] if len(self.shape) > 3 else 1

    @property
    def magnitude(self) -> bool:
        """Whether this is the magnitude of the signal."""
        return OTHER_COMPONENTS.isdisjoint(str(word).upper() for word in self.sidecar.get("ImageType", ()))


def convert(series: SeriesHeader, facts: SeriesFacts, folder: Path) -> Volume:
    """Convert a series in `folder` (private, empty); `Unsuitable` when incomplete or at odds with its headers.

    Magnitude only; the echoes of a multi-echo series lie one after the other along the fourth axis, `te_ms` says which.
    """
    if not facts.complete:
        raise Unsuitable(f"Volumes are incomplete: {facts.completeness}.")
    images = magnitudes(run_dcm2niix([readable(instance, folder) for instance in series.instances], folder))
    volume = assemble(images, facts)
    hold_against_headers(volume, series)
    return volume


def readable(instance: InstanceHeader, folder: Path) -> Path:
    """The instance's file, or an inflated copy of it in `folder`: dcm2niix does not read Deflated Explicit VR."""
    if instance.transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
        return instance.path
    inflated = pydicom.dcmread(instance.path)
    inflated.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / f"{instance.sop_instance_uid}.dcm"
    inflated.save_as(path)
    return path


def run_dcm2niix(paths: Sequence[Path], folder: Path) -> tuple[Image, ...]:
    """Run dcm2niix on exactly these files; every NIfTI file that it made, derived ones left out."""
    source, target = folder / "instances", folder / "volumes"
    source.mkdir(parents=True)
    target.mkdir()
    for number, path in enumerate(paths):
        (source / f"{number:06d}.dcm").symlink_to(path.resolve())
    try:
        done = subprocess.run(
            [dcm2niix.bin, *OPTIONS, "-o", str(target), str(source)],
            capture_output=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unsuitable(f"dcm2niix did not finish within {TIME_LIMIT_S} s.") from None
    # dcm2niix marks what it computed itself (trace of Philips, equidistant slices, untilted) with a suffix after "_"
    found = tuple(
        _read(path) for path in sorted(target.glob("*.nii")) if not path.stem.endswith(("_ADC", "_Eq", "_Tilt", "_ROI"))
    )
    if not found:
        raise Unsuitable(f"dcm2niix made no volume of this series (exit code {done.returncode}).")
    return found


def magnitudes(images: Sequence[Image]) -> tuple[Image, ...]:
    """Keep the magnitude images, one an echo, in order of echo time; `Unsuitable` when that is not what there is."""
    kept = sorted((image for image in images if image.magnitude), key=lambda image: image.te_ms or 0.0)
    if not kept:
        raise Unsuitable("The series holds no magnitude images.")
    if len({image.te_ms for image in kept}) != len(kept):
        raise Unsuitable(
            f"dcm2niix made {len(kept)} separate images of this series: slices or orientations do not fit together."
        )
    first = kept[0]
    if any(i.shape != first.shape or not np.allclose(i.affine, first.affine, atol=1e-3) for i in kept):
        raise Unsuitable("The echoes of this series lie on different grids.")
    return tuple(kept)


def assemble(images: Sequence[Image], facts: SeriesFacts) -> Volume:
    """Make one volume of the images of all echoes; trace-weighted volumes of a diffusion series are left out."""
    first = images[0]
    data = [np.asarray(Nifti1Image.from_filename(image.path).dataobj, dtype=np.float32) for image in images]
    if len(data) > 1:
        stacked = np.concatenate([part[..., None] if part.ndim == 3 else part for part in data], axis=3)
    else:
        stacked = data[0]
    bvals, bvecs = diffusion_table(first) if facts.role is RoleKind.DWI else (None, None)
    if bvals is not None and bvecs is not None:
        directed = (bvals < B0_MAXIMUM) | (np.linalg.norm(bvecs, axis=1) > 0)
        if not directed.all():
            stacked, bvals, bvecs = stacked[..., directed], bvals[directed], bvecs[directed]
    sidecar = first.sidecar
    return Volume(
        data=stacked,
        affine=first.affine,
        facts=facts,
        bvals=bvals,
        bvecs=bvecs,
        te_ms=tuple(image.te_ms for image in images for _ in range(image.volumes) if image.te_ms is not None)
        if len(images) > 1
        else tuple(te for te in (first.te_ms,) if te is not None),
        tr_ms=_thousandfold(sidecar.get("RepetitionTime")),
        ti_ms=_thousandfold(sidecar.get("InversionTime")),
        slice_times_s=tuple(float(time) for time in sidecar.get("SliceTiming", ())),
        phase_encoding=sidecar.get("PhaseEncodingDirection"),
        total_readout_s=sidecar.get("TotalReadoutTime"),
    )


def diffusion_table(image: Image) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """b-values (volume,) and unit vectors along the array axes (volume, 3), zero at b = 0; `Unsuitable` without."""
    if image.bvals is None or image.bvecs is None or len(image.bvals) != len(image.bvecs):
        raise Unsuitable("dcm2niix found no b-values and directions in this series.")
    vectors = array_axes(image.bvecs, image.affine)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    unit[image.bvals < B0_MAXIMUM] = 0.0
    return image.bvals, unit


def array_axes(bvecs: npt.NDArray[np.float64], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turn FSL's vectors (volume, 3) into vectors along the array axes.

    FSL negates x where the affine has a positive determinant, so that its vectors belong to a left-handed image always.
    """
    flip = -1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0
    return np.asarray(bvecs * np.array([flip, 1.0, 1.0]))


def _read(path: Path) -> Image:
    image = Nifti1Image.from_filename(path)
    if not path.with_suffix(".json").exists():  # what it cannot make sense of, it writes without a sidecar
        raise Unsuitable("dcm2niix made an image without a description of it: slices do not fit together.")
    sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    bvals, bvecs = _table(path.with_suffix(".bval")), _table(path.with_suffix(".bvec"))
    return Image(
        path,
        sidecar,
        np.asarray(image.affine, dtype=np.float64),
        tuple(image.shape),
        None if bvals is None else bvals.ravel(),
        None if bvecs is None else bvecs.T,
    )


def _table(path: Path) -> npt.NDArray[np.float64] | None:
    return np.loadtxt(path, ndmin=2) if path.exists() else None


def _thousandfold(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000.0 * float(seconds), 6)
