"""The digital patient: one head, scanned as T1 and DWI, written as a scanner's DICOM, with its truth.

Everything follows from the parameters: the same parameters give the same bytes and the same UIDs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyses.contract import Statistic
from analyses.quantities import AD, BRAIN, FA, MD, RD, VOLUME, WHITE_MATTER, Quantity
from phantom import scan, tolerances, truth
from phantom.anatomy import fibres, template
from phantom.anatomy.head import LESION_CENTRE_MM, Head
from phantom.anatomy.warp import random_warp
from phantom.dialects import philips
from phantom.dialects.identity import Identity
from phantom.dialects.series import MAXIMUM_STORED, Acquired, Kind, Sequence
from phantom.disease import ONE_SIDED, Disease
from phantom.regions import Maps, Region, body_regions, expected_regions
from phantom.sequences import dwi, mprage
from phantom.sequences.noise import rician
from phantom.slab import LPS_TO_RAS, Plane, Slab, rotation
from phantom.tissue import Tissue
from phantom.tolerances import Measured
from phantom.truth import Kind as TruthKind
from phantom.truth import TrueMeasurement, TrueSeries, Truth

VERSION = "1"
DWI_FIELD_MM = (224.0, 224.0, 148.0)
T1_FIELD_MM = (250.0, 250.0, 176.0)  # rows run front to back, columns head to foot, slices across
DWI_CENTRE_MM = (0.0, -18.0, 4.0)  # of the field, from the anterior commissure
T1_CENTRE_MM = (0.0, -12.0, -22.0)
WARP_RMS_MM = 2.5
TILT_SD_DEG = 3.0
SHIFT_SD_MM = 3.0
T1_SNR = 30.0
BRIGHTEST_STORED = 3600.0
COIL_REACH_MM = 100.0
MPRAGE, DIFFUSION = mprage.Protocol(), dwi.Protocol()

DWI_SEQUENCE = Sequence(
    number=301,
    kind=Kind.DWI,
    description="DTI_32dir_b1000",
    tr_ms=DIFFUSION.tr_ms,
    te_ms=DIFFUSION.te_ms,
    flip_deg=90,
    time="102000",
    duration_s=185.0,
    phase_encoding="COL",
    echo_train=57,
    epi_factor=57,
    bandwidth_hz=2494,
    readout_ms=25.6,
)
T1_SEQUENCE = Sequence(
    number=201,
    kind=Kind.MPRAGE,
    description="Sag3D MPRAGE",
    tr_ms=MPRAGE.tr_ms,
    te_ms=MPRAGE.te_ms,
    flip_deg=MPRAGE.flip_deg,
    time="101600",
    duration_s=301.0,
    phase_encoding="ROW",
    ti_ms=MPRAGE.ti_ms,
    cycle_ms=MPRAGE.cycle_ms,
    echo_train=MPRAGE.pulses,
)

Progress = Callable[[int, int], None]
Triple = tuple[float, float, float]


def _silent(done: int, total: int) -> None:  # noqa: ARG001
    return


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """A head in the scanner and the fibres in it; each stream of random numbers is its own."""

    head: Head
    fibres: npt.NDArray[np.float32]
    tilt_deg: tuple[float, float, float]
    t1_noise: np.random.Generator
    dwi_noise: np.random.Generator
    template_digest: str

    @classmethod
    def born(cls, seed: int, disease: Disease) -> Patient:
        """The patient of a seed: warp, and how the head lies in the scanner."""
        streams = [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(4)]
        maps = template.load()
        pitch, roll, yaw = (float(v) for v in streams[1].normal(0, TILT_SD_DEG, 3))
        x, y, z = (float(v) for v in streams[1].normal(0, SHIFT_SD_MM, 3))
        head = Head(maps, random_warp(streams[0], WARP_RMS_MM), rotation((pitch, roll, yaw)), (x, y, z))
        tensor = fibres.white_matter_tensor(disease.extra_radial())
        return cls(head, tensor, (pitch, roll, yaw), streams[2], streams[3], maps.digest)

    def dwi_slab(self, voxel_mm: float) -> Slab:
        """Axial slices over the whole brain."""
        return self._slab(Plane.AXIAL, DWI_FIELD_MM, DWI_CENTRE_MM, voxel_mm)

    def t1_slab(self, voxel_mm: float) -> Slab:
        """Sagittal slices over the whole head."""
        return self._slab(Plane.SAGITTAL, T1_FIELD_MM, T1_CENTRE_MM, voxel_mm)

    def _slab(self, plane: Plane, field_mm: Triple, centre_mm: Triple, voxel_mm: float) -> Slab:
        """A slab angled with the head's pitch, as a technologist plans it; even counts of voxels."""
        x, y, z = self.head.centre_ras + self.head.placement @ np.array(centre_mm)
        columns, rows, slices = (2 * round(edge / voxel_mm / 2) for edge in field_mm)
        # The tilt is in LPS: a turn about x there runs the other way than in RAS.
        tilt = (-self.tilt_deg[0], 0.0, 0.0)
        centre = (float(x), float(y), float(z))
        return Slab.around(centre, (columns, rows, slices), (voxel_mm,) * 3, plane, tilt)


def _stored(image: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.uint16]:
    return np.asarray(np.minimum(np.rint(image * np.float32(scale)), MAXIMUM_STORED), np.uint16)


def diffusion_series(
    body: scan.DiffusionBody, b: dwi.Floats, gradients_ras: dwi.Floats, sigma: float, random: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """Stored values (x, y, z, volume) of a diffusion series with Rician noise of `sigma` (unit of the b = 0 signal)."""
    scale = BRIGHTEST_STORED / dwi.unweighted_signal(Tissue.VITREOUS, DIFFUSION)
    series = np.empty((*body.unweighted.shape, len(b)), np.uint16)

    def measure(volume: int, own: np.random.Generator) -> None:
        signal = body.unweighted * dwi.attenuation(body.tensor, float(b[volume]), gradients_ras[volume])
        series[..., volume] = _stored(rician(signal, sigma, own), scale)

    with ThreadPoolExecutor(scan.THREADS) as threads:
        list(threads.map(measure, range(len(b)), random.spawn(len(b))))
    return series


def _scan_t1(patient: Patient, slab: Slab, noisy: bool) -> npt.NDArray[np.uint16]:
    image = scan.t1_weighted(patient.head, slab, MPRAGE, COIL_REACH_MM)
    if noisy:
        image = rician(image, mprage.signal(Tissue.WHITE, MPRAGE) / T1_SNR, patient.t1_noise)
    return _stored(image, BRIGHTEST_STORED / float(image.max()))


def _measurements(
    maps: Maps, regions: dict[str, Region], kind: TruthKind, voxel_ml: float, shifts: Mapping[str, tolerances.Shift]
) -> list[TrueMeasurement]:
    found = []
    for site, region in regions.items():
        count = int(region.sum())
        numbers: list[tuple[Quantity, Statistic, float]] = [(VOLUME, Statistic.TOTAL, count * voxel_ml)]
        for quantity in (FA, MD, AD, RD):
            values = maps[quantity.name][region].astype(np.float64)
            numbers += [(quantity, Statistic.MEAN, float(values.mean()))]
            numbers += [(quantity, Statistic.MEDIAN, float(np.median(values)))]
        for quantity, statistic, value in numbers:
            tolerance = tolerances.of(quantity, value, statistic, shifts[site])
            found.append(TrueMeasurement("dti", quantity, site, value, kind, tolerance, count, statistic))
    return found


def _all_measurements(
    body: scan.DiffusionBody, maps: Maps, regions: dict[str, Region], measured: Measured, voxel_ml: float
) -> tuple[TrueMeasurement, ...]:
    random = np.random.default_rng(0)  # its own: a tolerance is no part of the patient
    shifts = {site: tolerances.noise_shift(body, region, measured, random) for site, region in regions.items()}
    expected = _measurements(maps, regions, TruthKind.EXPECTED, voxel_ml, shifts)
    put_in = _measurements(maps, body_regions(body), TruthKind.BODY, voxel_ml, shifts)
    widened = [
        replace(truly, tolerance=tolerances.widened(perfect.tolerance, truly.value - perfect.value))
        for truly, perfect in zip(put_in, expected, strict=True)
    ]
    return (*expected, *widened)


def _write_maps(
    folder: Path, body: scan.DiffusionBody, maps: Maps, regions: dict[str, Region], slab: Slab
) -> dict[str, str]:
    images: dict[str, npt.NDArray[np.generic]] = {
        **maps,
        "brain": body.brain,
        "white_matter": body.white,
        "tensor_ras": np.moveaxis(body.tensor, 0, -1),
        "expected_brain": regions[BRAIN].astype(np.uint8),
        "expected_white_matter": regions[WHITE_MATTER].astype(np.uint8),
    }
    files = {name: f"truth/{name}.nii.gz" for name in images}
    for name, data in images.items():
        truth.write_map(folder / files[name], data, slab.affine)
    return files


def make(
    folder: Path,
    seed: int = 7,
    resolution_mm: float = 2.0,
    snr: float = 30.0,
    disease: Disease = ONE_SIDED,
    protocol: dwi.Protocol = DIFFUSION,
    progress: Progress = _silent,
) -> Truth:
    """Scan the patient of a seed and write the study to `folder/dicom`, its truth to `folder/truth.json`.

    resolution_mm: DWI voxel; the T1 has half of it, not less than 1 mm. snr: white matter at b = 0; 0 = no noise.
    progress(done, total): objects written.
    """
    patient = Patient.born(seed, disease)
    parameters: dict[str, object] = {
        "version": VERSION,
        "seed": seed,
        "body": f"nilearn MNI152 {patient.template_digest[:12]}",
        "dialect": "philips",
        "resolution_mm": resolution_mm,
        "snr": snr,
        "corticospinal_severity": {str(side): value for side, value in disease.corticospinal.items()},
        "b": protocol.b,
        "directions": protocol.directions,
        "unweighted": protocol.unweighted,
    }
    identity = Identity(repr(sorted(parameters.items())), seed)
    t1_slab, slab = patient.t1_slab(max(1.0, resolution_mm / 2)), patient.dwi_slab(resolution_mm)
    b, gradients_lps = dwi.table(protocol)
    total = t1_slab.shape[2] + slab.shape[2] * len(b)
    counted = 0

    t1 = _scan_t1(patient, t1_slab, noisy=snr > 0)
    for _ in philips.write(
        folder / "dicom" / str(T1_SEQUENCE.number), Acquired(T1_SEQUENCE, t1_slab, t1[..., None]), identity
    ):
        counted += 1
        progress(counted, total)
    body = scan.diffusion_body(patient.head, patient.fibres, slab, protocol)
    sigma = dwi.unweighted_signal(Tissue.WHITE, protocol) / snr if snr > 0 else 0.0
    gradients_ras = gradients_lps * LPS_TO_RAS
    data = diffusion_series(body, b, gradients_ras, sigma, patient.dwi_noise)
    for _ in philips.write(
        folder / "dicom" / str(DWI_SEQUENCE.number), Acquired(DWI_SEQUENCE, slab, data, b, gradients_lps), identity
    ):
        counted += 1
        progress(counted, total)
    maps = dwi.scalars(body.tensor)
    regions = expected_regions(body, maps, slab, b, gradients_ras)
    voxel_ml = float(np.prod(slab.voxel_mm)) / 1000
    x, y, z = (float(v) for v in patient.head.scanner(LESION_CENTRE_MM))
    record = Truth(
        folder,
        parameters,
        identity.study_uid,
        _series(identity, t1_slab, slab, b, gradients_lps),
        _all_measurements(body, maps, regions, Measured(b, gradients_ras, sigma), voxel_ml),
        _write_maps(folder, body, maps, regions, slab),
        (x, y, z),
    )
    truth.write(record)
    return record


def _series(
    identity: Identity, t1: Slab, slab: Slab, b: dwi.Floats, g_lps: dwi.Floats
) -> tuple[TrueSeries, TrueSeries]:
    g = tuple((float(x), float(y), float(z)) for x, y, z in g_lps)
    return (
        TrueSeries(identity.uid(T1_SEQUENCE.number), "T1", str(T1_SEQUENCE.number), t1.shape[2]),
        TrueSeries(
            identity.uid(DWI_SEQUENCE.number),
            "DWI",
            str(DWI_SEQUENCE.number),
            slab.shape[2] * len(b),
            tuple(map(float, b)),
            g,
        ),
    )
