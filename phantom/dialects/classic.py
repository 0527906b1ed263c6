"""What every maker's classic MR object holds (PS3.3 A.4): who and when, timing, place, pixels; makers add the rest.

An object holds room for the values that differ from one to the next; a `Stamp` puts them in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired, Sequence
from phantom.slab import Slab

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
INSTANCE_NUMBER, IMAGE_POSITION, SLICE_LOCATION, PIXEL_DATA = 0x00200013, 0x00200032, 0x00201041, 0x7FE00010
WIDEST_DECIMAL = "-0.0000000000001"  # the longest decimal string; the first object holds place for it
WIDEST_INTEGER = "000000000000"
LONGEST_DECIMAL = len(WIDEST_DECIMAL)  # PS3.5 6.2: a decimal string has 16 characters at most

Private = list[tuple[int, str, object]]  # element number in its group, VR, value


@dataclass(frozen=True, slots=True)
class Names:
    """What a maker calls a sequence in the standard elements."""

    image_type: tuple[str, ...]
    scanning: tuple[str, ...]
    variant: tuple[str, ...]
    options: tuple[str, ...]
    acquisition: str


@dataclass(frozen=True, slots=True)
class Scanner:
    """The machine, as it names itself."""

    manufacturer: str
    model: str
    software: tuple[str, ...]
    frequency_mhz: str
    receive_coil: str = ""
    transmit_coil: str = ""


def decimal(value: float) -> str:
    """Decimal string of at most 16 characters, as precise as they allow (oblique stacks: 1e-5 voxel)."""
    for digits in range(15, 6, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= LONGEST_DECIMAL:
            return text
    return f"{value:.6g}"


def clock(start: str, after_s: float) -> str:
    """Time of day (HHMMSS.ffffff) so long after `start` (HHMMSS); always of the same length."""
    seconds = int(start[:2]) * 3600 + int(start[2:4]) * 60 + int(start[4:6])
    micro = round((seconds + after_s) * 1e6)
    whole, part = divmod(micro, 1_000_000)
    return f"{whole // 3600 % 24:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{part:06d}"


def private(dataset: Dataset, group: int, blocks: dict[int, str], values: Private) -> None:
    """Private elements at the scanner's own block numbers: pydicom's private_block() would take the first free one."""
    for block, creator in blocks.items():
        dataset.add_new(group << 16 | block, "LO", creator)
    for element, vr, value in values:
        dataset.add_new(group << 16 | element, vr, value)


def dataset_of(
    acquired: Acquired, identity: Identity, scanner: Scanner, names: Names, stored: tuple[int, int], bits: int
) -> Dataset:
    """The first object of a series: `stored` rows and columns of zero, `bits` of each pixel used."""
    dataset = Dataset()
    _general(dataset, acquired.sequence, identity, scanner, names)
    _acquisition(dataset, acquired, scanner, names)
    _plane(dataset, acquired.slab)
    _pixels(dataset, acquired, stored, bits)
    return dataset


def _general(dataset: Dataset, sequence: Sequence, identity: Identity, scanner: Scanner, names: Names) -> None:
    identity.write(dataset)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = list(names.image_type)
    dataset.SOPClassUID = MR_IMAGE_STORAGE
    dataset.SOPInstanceUID = identity.uid(sequence.number, "first")
    dataset.SeriesInstanceUID = identity.uid(sequence.number)
    for part in ("Series", "Acquisition", "Content"):
        setattr(dataset, f"{part}Date", identity.date)
        setattr(dataset, f"{part}Time", clock(sequence.time, 0))
    dataset.Modality = "MR"
    dataset.Manufacturer = scanner.manufacturer
    dataset.ManufacturerModelName = scanner.model
    dataset.SoftwareVersions = list(scanner.software)
    dataset.InstitutionName = ""
    dataset.SeriesDescription = sequence.description
    dataset.ProtocolName = sequence.description
    dataset.SeriesNumber = str(sequence.number)
    dataset.AcquisitionNumber = "1"
    dataset.BodyPartExamined = "BRAIN"
    dataset.PatientPosition = "HFS"
    dataset.PerformedProcedureStepStartDate = identity.date
    dataset.PerformedProcedureStepStartTime = dataset.StudyTime
    dataset.PerformedProcedureStepID = "1"
    dataset.PerformedProcedureStepDescription = dataset.StudyDescription


def _acquisition(dataset: Dataset, acquired: Acquired, scanner: Scanner, names: Names) -> None:
    sequence, slab = acquired.sequence, acquired.slab
    columns, rows, _ = slab.shape
    column = sequence.phase_encoding == "COL"
    dataset.ScanningSequence = list(names.scanning)
    dataset.SequenceVariant = list(names.variant)
    dataset.ScanOptions = list(names.options)
    dataset.MRAcquisitionType = names.acquisition
    dataset.AngioFlag = "N"
    dataset.SliceThickness = dataset.SpacingBetweenSlices = decimal(slab.voxel_mm[2])
    dataset.RepetitionTime = decimal(sequence.tr_ms)
    dataset.EchoTime = decimal(sequence.te_ms)
    if sequence.ti_ms:
        dataset.InversionTime = decimal(sequence.ti_ms)
    dataset.NumberOfAverages = dataset.EchoNumbers = "1"
    dataset.ImagingFrequency = scanner.frequency_mhz
    dataset.ImagedNucleus = "1H"
    dataset.MagneticFieldStrength = "3"
    dataset.NumberOfPhaseEncodingSteps = str(sequence.epi_factor if sequence.epi_factor > 1 else _phase_steps(acquired))
    dataset.EchoTrainLength = str(sequence.echo_train)
    dataset.PercentSampling = dataset.PercentPhaseFieldOfView = "100"
    dataset.PixelBandwidth = decimal(sequence.bandwidth_hz)
    if scanner.receive_coil:
        dataset.ReceiveCoilName = scanner.receive_coil
    if scanner.transmit_coil:
        dataset.TransmitCoilName = scanner.transmit_coil
    dataset.AcquisitionMatrix = [columns, 0, 0, rows] if column else [0, rows, columns, 0]
    dataset.InPlanePhaseEncodingDirection = sequence.phase_encoding
    dataset.FlipAngle = decimal(sequence.flip_deg)
    dataset.VariableFlipAngleFlag = "N"
    dataset.SAR = "0.1"


def _phase_steps(acquired: Acquired) -> int:
    columns, rows, _ = acquired.slab.shape
    return rows if acquired.sequence.phase_encoding == "COL" else columns


def _plane(dataset: Dataset, slab: Slab) -> None:
    dataset.InstanceNumber = WIDEST_INTEGER
    dataset.ImagePositionPatient = [WIDEST_DECIMAL] * 3
    dataset.ImageOrientationPatient = [decimal(v) for v in slab.axes_lps[:, :2].T.ravel()]
    dataset.SliceLocation = WIDEST_DECIMAL
    dataset.PixelSpacing = [decimal(slab.voxel_mm[1]), decimal(slab.voxel_mm[0])]


def _pixels(dataset: Dataset, acquired: Acquired, stored: tuple[int, int], bits: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = 0
    brightest = float(acquired.data.max())
    dataset.WindowCenter, dataset.WindowWidth = decimal(brightest / 4), decimal(max(brightest / 2, 1.0))
    dataset.PixelData = bytes(2 * stored[0] * stored[1])


def position_text(position: np.ndarray) -> bytes:
    """Image Position (Patient), encoded."""
    return "\\".join(decimal(float(v)) for v in position).encode()
