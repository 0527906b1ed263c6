"""Synthetic classic sources in many orientations, and findings on their grid with an asymmetric marker."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from analyses.contract import (
    Findings,
    MapImage,
    Measurement,
    Provenance,
    QualityCheck,
    Statistic,
    Verdict,
)
from analyses.quantities import BRAIN, FA, MD, VOLUME, WHITE_MATTER
from dicom_io.header import SeriesHeader
from dicom_io.results.modules import file_meta

X, Y, Z = np.eye(3)


def turned(vector, axis, degrees):
    """Rodrigues rotation about a coordinate axis."""
    k, a = np.eye(3)[axis], np.deg2rad(degrees)
    return vector * np.cos(a) + np.cross(k, vector) * np.sin(a) + k * np.dot(k, vector) * (1 - np.cos(a))


ORIENTATIONS = {
    "axial": (X, Y),
    "sagittal": (Y, -Z),
    "coronal": (X, -Z),
    "axial, rows reversed": (-X, Y),
    "axial, columns reversed": (X, -Y),
    "oblique": (turned(turned(X, 1, 20), 2, 15), turned(turned(Y, 1, 20), 2, 15)),
    "double oblique sagittal": (turned(turned(Y, 0, 12), 2, -9), turned(turned(-Z, 0, 12), 2, -9)),
}
SPACING = (0.9, 0.95)  # between rows, between columns
SLICE_SPACING = 3.0


def source_dataset(index: int, row, column, rows: int, columns: int, step: float, volume: int, charset: str) -> Dataset:
    ds = Dataset()
    uid = f"1.2.826.0.1.3680043.8.498.10.{volume + 1}.{index + 1}"
    ds.file_meta = file_meta(MRImageStorage, uid)
    ds.SpecificCharacterSet = charset
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, uid
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260310"
    ds.StudyTime, ds.SeriesTime, ds.AcquisitionTime, ds.ContentTime = "101000", "101100", "101110.25", "101112"
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = "ACC123", "MR", "Acme"
    ds.ReferringPhysicianName, ds.InstitutionName = "Müller^Jörg", "Hôpital"
    ds.StationName, ds.StudyDescription, ds.SeriesDescription = "MR1", "Brain ALS", "DTI b1000"
    ds.ManufacturerModelName = "Magnet"
    unicode_name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    ds.PatientName = unicode_name if charset == "ISO_IR 192" else "Müller^Änne"
    ds.PatientID, ds.IssuerOfPatientID = "P-001", "HOSP"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge, ds.PatientWeight = "19600102", "M", "066Y", "70"
    ds.BodyPartExamined, ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "BRAIN", "EP", "SK", "FS"
    ds.MRAcquisitionType, ds.SliceThickness, ds.RepetitionTime, ds.EchoTime = "2D", "3", "8000", "90"
    ds.MagneticFieldStrength, ds.SpacingBetweenSlices, ds.EchoTrainLength = "3", "3", "1"
    ds.FlipAngle, ds.PatientPosition, ds.DeviceSerialNumber, ds.SoftwareVersions = "90", "HFS", "12345", "E11"
    ds.ProtocolName = "dti"
    ds.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.11.1"
    ds.SeriesInstanceUID, ds.FrameOfReferenceUID = (
        "1.2.826.0.1.3680043.8.498.12.1",
        "1.2.826.0.1.3680043.8.498.13.1",
    )
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber = "S1", 5, 1
    ds.InstanceNumber = volume * 1000 + index + 1
    position = np.array([-20.0, -31.0, -40.0]) + np.cross(row, column) * step * index
    ds.ImagePositionPatient = [f"{mm:.6f}"[:16] for mm in position]
    ds.ImageOrientationPatient = [f"{c:.9f}"[:16] for c in (*row, *column)]
    ds.PositionReferenceIndicator = ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.PixelSpacing = rows, columns, list(SPACING)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.full((rows, columns), index, "<u2").tobytes()
    return ds


def ras_affine(series: SeriesHeader) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape (x, y, z) and RAS+ affine of a classic series as dcm2niix stores it: columns, rows reversed, slices."""
    frames = [instance.frames[0] for instance in series.instances]
    row, column = np.array(frames[0].orientation_lps[:3]), np.array(frames[0].orientation_lps[3:])
    positions = np.unique(np.array([frame.position_lps for frame in frames]).round(5), axis=0)
    order = np.argsort(positions @ np.cross(row, column))
    positions = positions[order]
    first = series.first
    step = positions[1] - positions[0] if len(positions) > 1 else np.cross(row, column) * SLICE_SPACING
    affine = np.eye(4)
    spacing = first.pixel_spacing_mm
    affine[:3, 0] = row * spacing[1]
    affine[:3, 1] = -column * spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0] + column * spacing[0] * (first.rows - 1)
    return (first.columns, first.rows, len(positions)), np.diag([-1, -1, 1, 1]) @ affine


def marked(shape: tuple[int, int, int], high: float, seed: int = 3) -> np.ndarray:
    """Random values with a bright asymmetric marker at the end of every axis and NaN at the start."""
    data = np.random.default_rng(seed).uniform(0.1 * high, 0.4 * high, shape).astype(np.float32)
    x, y, z = shape
    data[x - max(1, x // 4) :, y - max(1, y // 3) :, z - max(1, z // 2) :] = np.float32(0.9 * high)
    data[: x // 5, : y // 5] = np.nan
    return data


def findings_on(shape, affine, need="dwi") -> Findings:
    return Findings(
        measurements=(
            Measurement(FA, WHITE_MATTER, 0.43218, sd=0.1101, n=81234),
            Measurement(FA, WHITE_MATTER, 0.43, Statistic.MEDIAN, n=81234),
            Measurement(MD, WHITE_MATTER, 0.7912, sd=0.0543, n=81234),
            Measurement(FA, BRAIN, 0.2312, sd=0.15, n=181234, quality=Verdict.LIMITED, quality_reason="motion"),
            Measurement(VOLUME, BRAIN, 1412.4, Statistic.TOTAL, n=181234),
        ),
        maps=(
            MapImage(FA, marked(shape, 1.0), affine, need, (0.0, 1.0)),
            MapImage(MD, marked(shape, 3.0, 4), affine, need, (0.0, 3.0)),
        ),
        quality=(
            QualityCheck("SNR at b = 0", 21.5, "1", "at least 15", Verdict.GOOD, "SNR 21.5 at b = 0"),
            QualityCheck("Volumes dropped", 3, "{volumes}", "at most 2", Verdict.LIMITED, "3 of 17 volumes dropped"),
        ),
        statements=("Eigenvalues are positive in 99.8 % of the white matter.",),
        provenance=(Provenance("tensor fit: weighted least squares", "0.1.0"), Provenance("dipy", "1.12.1")),
    )
