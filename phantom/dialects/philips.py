"""Philips classic: one object a slice, b-value, direction and precise scaling in private elements.

Element by element after an Ingenia Elition X, release 5.7.1 (DTI and 3D TFE), private blocks at the scanner's places.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from phantom.dialects.classic import MR_IMAGE_STORAGE, WIDEST_DECIMAL, WIDEST_INTEGER, decimal, private
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired, Floats, Kind, Sequence
from phantom.dialects.stamp import Stamp
from phantom.slab import Slab

RESCALE_SLOPE = "1.07326007326007"
SCALE_SLOPE = 0.0498067  # (2005,100e): physical value = stored / slope

_INSTANCE_NUMBER, _IMAGE_POSITION, _SLICE_LOCATION = 0x00200013, 0x00200032, 0x00201041
_B_VALUE, _GRADIENT = 0x00189087, 0x00189089
_B_FACTOR, _DIFFUSION_DIRECTION, _SLICE_NUMBER = 0x20011003, 0x20011004, 0x2001100A
_GRADIENT_RL, _GRADIENT_AP, _GRADIENT_FH = 0x200510B0, 0x200510B1, 0x200510B2
_B_NUMBER, _GRADIENT_NUMBER = 0x20051412, 0x20051413
_PIXEL_DATA = 0x7FE00010

_ORIENTATIONS = ("SAGITTAL", "CORONAL", "TRANSVERSAL")


@dataclass(frozen=True, slots=True)
class _Names:
    """What Philips calls a sequence; `fat_shift`: water-fat shift, pixels, at its usual bandwidth."""

    technique: str
    scanning: str
    variant: str
    options: str
    acquisition: str
    fat_shift: float


_NAMES = {
    Kind.MPRAGE: _Names("T1TFE", "GR", "MP", "OTHER", "3D", 1.6),
    Kind.DWI: _Names("DwiSE", "SE", "SK", "PFP", "2D", 16.9),
}


def _general(dataset: Dataset, sequence: Sequence, identity: Identity) -> None:
    identity.write(dataset)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    spin = "SE" if _NAMES[sequence.kind].scanning == "SE" else "FFE"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", f"M_{spin}", "M", spin]
    dataset.SOPClassUID = MR_IMAGE_STORAGE
    dataset.SOPInstanceUID = identity.uid(sequence.number, "first")
    dataset.SeriesInstanceUID = identity.uid(sequence.number)
    for part in ("Series", "Acquisition", "Content", "InstanceCreation"):
        setattr(dataset, f"{part}Date", identity.date)
        setattr(dataset, f"{part}Time", sequence.time)
    dataset.Modality = "MR"
    dataset.Manufacturer = "Philips"
    dataset.ManufacturerModelName = "Ingenia Elition X"
    dataset.SoftwareVersions = ["5.7.1", "5.7.1.1"]
    dataset.InstitutionName = ""
    dataset.SeriesDescription = sequence.description
    dataset.ProtocolName = f"WIP {sequence.description}"
    dataset.SeriesNumber = str(sequence.number)
    dataset.AcquisitionNumber = str(sequence.number // 100)
    dataset.BodyPartExamined = "BRAIN"
    dataset.PatientPosition = "HFS"
    dataset.PerformedProcedureStepStartDate = identity.date
    dataset.PerformedProcedureStepStartTime = "101500"
    dataset.PerformedProcedureStepID = "1"
    dataset.PerformedProcedureStepDescription = dataset.StudyDescription


def _acquisition(dataset: Dataset, sequence: Sequence, slab: Slab) -> None:
    columns, rows, _ = slab.shape
    names = _NAMES[sequence.kind]
    dataset.ScanningSequence = names.scanning
    dataset.SequenceVariant = names.variant
    dataset.ScanOptions = names.options
    dataset.MRAcquisitionType = names.acquisition
    dataset.SliceThickness = dataset.SpacingBetweenSlices = decimal(slab.voxel_mm[2])
    dataset.RepetitionTime = decimal(sequence.tr_ms)
    dataset.EchoTime = decimal(sequence.te_ms)
    dataset.NumberOfAverages = "1"
    dataset.ImagingFrequency = "127.748512"
    dataset.ImagedNucleus = "1H"
    dataset.EchoNumbers = "1"
    dataset.MagneticFieldStrength = "3"
    column = sequence.phase_encoding == "COL"
    dataset.NumberOfPhaseEncodingSteps = str(rows if column else columns)
    dataset.EchoTrainLength = str(sequence.echo_train)
    dataset.PercentSampling = dataset.PercentPhaseFieldOfView = "100"
    dataset.PixelBandwidth = decimal(sequence.bandwidth_hz)
    dataset.ReconstructionDiameter = decimal(columns * slab.voxel_mm[0])
    dataset.ReceiveCoilName = "MULTI COIL"
    dataset.TransmitCoilName = "BODY"
    dataset.AcquisitionMatrix = [columns, 0, 0, rows] if column else [0, columns, rows, 0]
    dataset.InPlanePhaseEncodingDirection = sequence.phase_encoding
    dataset.FlipAngle = decimal(sequence.flip_deg)
    dataset.SAR = "0.1"
    dataset.AcquisitionDuration = sequence.duration_s
    dataset.DiffusionBValue = 0.0
    dataset.DiffusionGradientOrientation = [0.0, 0.0, 0.0]


def _pixels(dataset: Dataset, slab: Slab, window: tuple[float, float]) -> None:
    columns, rows, _ = slab.shape
    dataset.InstanceNumber = WIDEST_INTEGER
    dataset.ImagePositionPatient = [WIDEST_DECIMAL] * 3
    dataset.ImageOrientationPatient = [decimal(v) for v in slab.axes_lps[:, :2].T.ravel()]
    dataset.TemporalPositionIdentifier = dataset.NumberOfTemporalPositions = "1"
    dataset.SliceLocation = WIDEST_DECIMAL
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelSpacing = [decimal(slab.voxel_mm[1]), decimal(slab.voxel_mm[0])]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = decimal(window[0]), decimal(window[1])
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", RESCALE_SLOPE, "normalized"
    dataset.LossyImageCompression = "00"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.PixelData = bytes(2 * rows * columns)


def _philips(dataset: Dataset, sequence: Sequence, slab: Slab, b_values: int, gradients: int) -> None:
    orientation = _ORIENTATIONS[int(np.argmax(np.abs(slab.axes_lps[:, 2])))]
    names = _NAMES[sequence.kind]
    inversion = sequence.ti_ms > 0
    imaging: list[tuple[int, str, object]] = [
        (0x1003, "FL", 0.0),
        (0x1004, "CS", "I" if sequence.kind is Kind.DWI else ""),
        (0x1008, "IS", "1"),
        (0x100A, "IS", "0000"),
        (0x100B, "CS", orientation),
        (0x1012, "CS", "N"),
        (0x1013, "SL", sequence.epi_factor),
        (0x1014, "SL", 1),
        (0x1015, "SS", 1),
        (0x1017, "SL", 1),
        (0x1018, "SL", slab.shape[2]),
        (0x101B, "FL", sequence.ti_ms),
        (0x101C, "CS", "INV" if inversion else "NO"),
        (0x1020, "LO", names.technique),
        (0x1021, "CS", "N"),
        (0x1022, "FL", names.fat_shift),
        (0x1023, "DS", decimal(sequence.flip_deg)),
        (0x1060, "SL", 1),
        (0x1063, "CS", "ELSEWHERE"),
        (0x1081, "IS", "1"),
        (0x1082, "IS", str(sequence.echo_train)),
    ]
    private(dataset, 0x2001, {0x10: "Philips Imaging DD 001", 0x11: "Philips Imaging DD 002"}, imaging)
    scanner: list[tuple[int, str, object]] = [
        (0x100D, "FL", 0.0),
        (0x100E, "FL", SCALE_SLOPE),
        (0x1011, "CS", "M"),
        (0x1030, "FL", sequence.tr_ms),
        (0x1033, "FL", sequence.duration_s),
        (0x106E, "CS", "SE" if names.scanning == "SE" else "FFE"),
        (0x106F, "CS", "MS" if names.acquisition == "2D" else "3D"),
        (0x10A9, "CS", names.acquisition),
        (0x10B0, "FL", 0.0),
        (0x10B1, "FL", 0.0),
        (0x10B2, "FL", 0.0),
        (0x1412, "IS", "0000"),
        (0x1413, "IS", "0000"),
        (0x1414, "SL", b_values),
        (0x1415, "SL", gradients),
    ]
    creators = {0x0F + n: f"Philips MR Imaging DD {n:03d}" for n in range(1, 8)}
    private(dataset, 0x2005, creators, scanner)


def _float(value: float) -> bytes:
    return struct.pack("<f", value)


@dataclass(frozen=True, slots=True)
class Numbered:
    """Numbers of one volume in Philips' bookkeeping; `volume` counts from 0 as measured, the others from 1."""

    volume: int
    b_number: int
    gradient_number: int
    place: int  # among the instances of one slice; leaves gaps, as on the scanner


def numbered(b: Floats) -> list[Numbered]:
    """One a volume: shells by size, directions as they come; b = 0 images carry the gradient numbers after the last."""
    shells = {value: number for number, value in enumerate(sorted(set(map(float, b))), 1)}
    count, weighted = len(b), int((b > 0).sum())
    volumes, direction, unweighted = [], 0, weighted
    for volume, value in enumerate(map(float, b)):
        if value > 0:
            direction += 1
        else:
            unweighted += 1
        gradient, shell = (direction if value > 0 else unweighted), shells[value]
        volumes.append(Numbered(volume, shell, gradient, (shell - 1) * count + gradient))
    return volumes


def _slice_values(slab: Slab, index: int) -> dict[int, bytes]:
    position = slab.origin_lps + slab.steps_lps[:, 2] * index
    return {
        _IMAGE_POSITION: "\\".join(decimal(v) for v in position).encode(),
        _SLICE_LOCATION: decimal(float(position @ slab.normal_lps)).encode(),
        _SLICE_NUMBER: str(index + 1).encode(),
    }


def _volume_values(b: float, gradient_lps: Floats, volume: Numbered) -> dict[int, bytes]:
    x, y, z = (float(np.float32(v)) for v in gradient_lps)
    return {
        _B_VALUE: struct.pack("<d", b),
        _GRADIENT: struct.pack("<3d", x, y, z),
        _B_FACTOR: _float(b),
        _DIFFUSION_DIRECTION: b"O" if b > 0 and np.any(gradient_lps) else b"I",
        _GRADIENT_RL: _float(x),
        _GRADIENT_AP: _float(y),
        _GRADIENT_FH: _float(z),
        _B_NUMBER: str(volume.b_number).encode(),
        _GRADIENT_NUMBER: str(volume.gradient_number).encode(),
    }


def dataset_of(sequence: Sequence, slab: Slab, identity: Identity, b: Floats, window: tuple[float, float]) -> Dataset:
    """The series' first object with room for every later one's values; its pixels are zero."""
    dataset = Dataset()
    _general(dataset, sequence, identity)
    _acquisition(dataset, sequence, slab)
    _pixels(dataset, slab, window)
    _philips(dataset, sequence, slab, b_values=len(np.unique(b)), gradients=len(b))
    return dataset


def write(folder: Path, acquired: Acquired, identity: Identity) -> Iterator[Path]:
    """Write a series, slice by slice as the scanner numbers them (slice-major); yields each path when it is on disk."""
    sequence, slab, stack = acquired.sequence, acquired.slab, acquired.data
    count = stack.shape[3]
    shells = acquired.b if acquired.diffusion else np.zeros(count)
    axes = acquired.gradients_lps if acquired.diffusion else np.zeros((count, 3))
    window = (float(stack.max()) / 4, float(stack.max()) / 2)
    stamp = Stamp(dataset_of(sequence, slab, identity, shells, window))
    volumes = numbered(shells)
    folder.mkdir(parents=True, exist_ok=True)
    constants = [
        _volume_values(float(shells[one.volume]), axes[one.volume], one) if acquired.diffusion else {}
        for one in volumes
    ]
    per_slice = len(np.unique(shells)) * len(volumes)  # instance numbers have gaps, as on the scanner
    for index in range(slab.shape[2]):
        place = _slice_values(slab, index)
        pixels = np.ascontiguousarray(stack[:, :, index].transpose(2, 1, 0), "<u2")
        for volume, values, plane in zip(volumes, constants, pixels, strict=True):
            number = index * per_slice + volume.place
            patch = {**place, **values, _INSTANCE_NUMBER: str(number).encode(), _PIXEL_DATA: plane.tobytes()}
            path = folder / f"{number:05d}.dcm"
            stamp.write(path, identity.uid(sequence.number, number), patch)
            yield path
