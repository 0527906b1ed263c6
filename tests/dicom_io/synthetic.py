"""Small series as scanners write them, for the kinds that no real data set at hand has: pydicom, header only."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dicom_io.header import SeriesHeader, read_series

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
SPECTROSCOPY, SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.4.2", "1.2.840.10008.5.1.4.1.1.7"
SIEMENS_NON_IMAGE = "1.3.12.2.1107.5.9.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
STUDY_UID, SERIES_UID = generate_uid(), generate_uid()

Private = Mapping[tuple[int, str, int], tuple[str, Any]]  # (group, creator, element) -> (VR, value)


def instance(sop_class: str = MR, private: Private | None = None, **values: Any) -> Dataset:
    """One instance of a brain scan; None as a value leaves the element out."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY_UID, SERIES_UID
    ds.Modality, ds.Manufacturer = "MR", "SIEMENS"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.Rows = ds.Columns = 256
    ds.PixelSpacing, ds.SliceThickness = [1.0, 1.0], 5.0
    ds.MagneticFieldStrength, ds.BodyPartExamined = 3.0, "BRAIN"
    ds.InstanceNumber, ds.SeriesNumber = 1, 7
    for name, value in values.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    for (group, creator, element), (vr, value) in (private or {}).items():
        ds.private_block(group, creator, create=True).add_new(element, vr, value)
    return ds


def stack(
    slices: int = 20, spacing: float = 5.0, orientation: Sequence[float] = AXIAL, volumes: int = 1, **values: Any
) -> list[Dataset]:
    """Classic instances of a stack of slices, volume after volume."""
    normal = _cross(orientation[:3], orientation[3:])
    found = []
    for volume in range(volumes):
        for index in range(slices):
            position = [float(spacing * (index - slices / 2) * part) for part in normal]
            number = volume * slices + index + 1
            found.append(
                instance(
                    ImagePositionPatient=position,
                    ImageOrientationPatient=list(orientation),
                    SpacingBetweenSlices=spacing,
                    InstanceNumber=number,
                    **values,
                )
            )
    return found


def series(folder: Path, datasets: Sequence[Dataset]) -> SeriesHeader:
    """Write the instances and read them back as Betz does."""
    return read_series([write(folder / f"{number:04d}.dcm", ds) for number, ds in enumerate(datasets)])


def write(path: Path, ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write one instance as a Part 10 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    ds.file_meta = meta
    dcmwrite(path, ds, enforce_file_format=True)
    return path


def csa(tags: Mapping[str, Sequence[str]], version: int = 2) -> bytes:
    """Siemens CSA header with these values, in the layout of nibabel's description."""
    block = b"SV10\4\3\2\1" if version == 2 else b""
    block += struct.pack("<2I", len(tags), 77)
    first_items = len(next(iter(tags.values()))) if tags else 0
    for name, values in tags.items():
        block += struct.pack("<64si4s3i", name.encode(), len(values), b"LO", 0, len(values), 77)
        for value in values:
            data = value.encode() + b"\0"
            length = len(data)
            block += struct.pack("<4i", length if version == 2 else length + first_items, length, 77, length)
            block += data + b"\0" * (-length % 4)
    return block


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def enhanced(frames: Sequence[Mapping[str, Any]], shared: Mapping[str, Any], **values: Any) -> Dataset:
    """Enhanced MR object; a frame: position, te, b, gradient, isotropic, temporal, component."""
    ds = instance(ENHANCED_MR, PixelSpacing=None, SliceThickness=None, **values)
    ds.NumberOfFrames = len(frames)
    ds.SharedFunctionalGroupsSequence = [_shared(shared)]
    ds.PerFrameFunctionalGroupsSequence = [_frame(frame) for frame in frames]
    return ds


def _shared(values: Mapping[str, Any]) -> Dataset:
    timing, measures, plane, modifier, imaging, group = (Dataset() for _ in range(6))
    timing.RepetitionTime, timing.FlipAngle = values.get("tr", 5000.0), values.get("flip", 90.0)
    measures.PixelSpacing, measures.SliceThickness = [2.0, 2.0], 2.0
    plane.ImageOrientationPatient = list(values.get("orientation", AXIAL))
    modifier.InversionRecovery = "YES" if values.get("ti") else "NO"
    if values.get("ti"):
        modifier.InversionTimes = values["ti"]
    imaging.MagnetizationTransfer = values.get("mt", "NONE")
    group.MRTimingAndRelatedParametersSequence = [timing]
    group.PixelMeasuresSequence, group.PlaneOrientationSequence = [measures], [plane]
    group.MRModifierSequence, group.MRImagingModifierSequence = [modifier], [imaging]
    return group


def _frame(values: Mapping[str, Any]) -> Dataset:
    content, place, echo, group = Dataset(), Dataset(), Dataset(), Dataset()
    content.TemporalPositionIndex = values.get("temporal", 1)
    place.ImagePositionPatient = list(values["position"])
    echo.EffectiveEchoTime = values.get("te", 80.0)
    group.FrameContentSequence, group.PlanePositionSequence = [content], [place]
    group.MREchoSequence = [echo]
    if "b" in values:
        diffusion, direction = Dataset(), Dataset()
        diffusion.DiffusionBValue = values["b"]
        gradient = values.get("gradient")
        isotropic = "ISOTROPIC" if values["b"] and gradient is None else "NONE"
        diffusion.DiffusionDirectionality = "DIRECTIONAL" if gradient else isotropic
        if gradient:
            direction.DiffusionGradientOrientation = list(gradient)
            diffusion.DiffusionGradientDirectionSequence = [direction]
        group.MRDiffusionSequence = [diffusion]
    return group
