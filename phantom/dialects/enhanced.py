"""What Enhanced MR objects of all makers share: the modules of the object and the functional groups of its frames.

PS3.3 A.36.2 and C.8.13. The object is a pydicom dataset, encoded once; its frames are bytes (a dataset per frame would
cost 5 ms, its bytes 0.2 ms). Where makers differ, their own module says so.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from phantom.dialects.classic import decimal
from phantom.dialects.explicit import Element, element, group, item, named, sequence
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired, Kind, Sequence
from phantom.slab import Slab

Planes = npt.NDArray[np.uint16]

ENHANCED_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4.1"
STACK_ID, IN_STACK_POSITION, TEMPORAL_POSITION = 0x00209056, 0x00209057, 0x00209128
B_VALUE, GRADIENT = 0x00189087, 0x00189089
FRAME_CONTENT, DIFFUSION = 0x00209111, 0x00189117
_FRAME_GROUPS, _PIXEL_DATA = 0x52009230, 0x7FE00010


@dataclass(frozen=True, slots=True)
class Names:
    """What a maker says of one kind of sequence.

    contrast: Acquisition Contrast (0008,9209). image_type: all four values. echo: (0018,9008). repetition_ms: what this
    maker calls TR. frequency_mhz, bandwidth: of the receiver.
    """

    manufacturer: str
    model: str
    software: tuple[str, ...]
    protocol: str
    sequence: str
    contrast: str
    image_type: tuple[str, str, str, str]
    echo: str
    steady_state: str
    spoiling: str
    coil: str
    repetition_ms: float
    frequency_mhz: float


def new(sequence: Sequence, names: Names, identity: Identity) -> Dataset:
    """The object's patient, study, series, equipment and pulse sequence; no frames, no pixels, no shared groups."""
    dataset = Dataset()
    identity.write(dataset)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = ENHANCED_MR_IMAGE_STORAGE
    dataset.SOPInstanceUID = identity.uid(sequence.number, "first")
    dataset.SeriesInstanceUID = identity.uid(sequence.number)
    for part in ("Series", "Content", "InstanceCreation"):
        setattr(dataset, f"{part}Date", identity.date)
        setattr(dataset, f"{part}Time", sequence.time)
    dataset.AcquisitionDateTime = f"{identity.date}{sequence.time}.000000"
    dataset.AcquisitionDuration = sequence.duration_s
    dataset.Modality = "MR"
    dataset.Manufacturer = names.manufacturer
    dataset.ManufacturerModelName = names.model
    dataset.SoftwareVersions = list(names.software)
    dataset.InstitutionName = ""
    dataset.SeriesDescription = sequence.description
    dataset.ProtocolName = names.protocol
    dataset.SeriesNumber = str(sequence.number)
    dataset.AcquisitionNumber = dataset.InstanceNumber = "1"
    dataset.BodyPartExamined = "BRAIN"
    dataset.PatientPosition = "HFS"
    dataset.MagneticFieldStrength = "3"
    dataset.PerformedProcedureStepStartDate = identity.date
    dataset.PerformedProcedureStepStartTime = "101500"
    dataset.PerformedProcedureStepID = "1"
    dataset.PerformedProcedureStepDescription = dataset.StudyDescription
    dataset.AcquisitionContextSequence = []
    _image(dataset, names)
    _pulse_sequence(dataset, sequence, names)
    return dataset


def _image(dataset: Dataset, names: Names) -> None:
    """Enhanced MR Image module, C.8.13.1."""
    dataset.ImageType = list(names.image_type)
    dataset.PixelPresentation = "MONOCHROME"
    dataset.VolumetricProperties = "VOLUME"
    dataset.VolumeBasedCalculationTechnique = "NONE"
    dataset.ComplexImageComponent = "MAGNITUDE"
    dataset.AcquisitionContrast = names.contrast
    dataset.ContentQualification = "RESEARCH"
    dataset.ResonantNucleus = "1H"
    dataset.KSpaceFiltering = "NONE"
    dataset.ApplicableSafetyStandardAgency = "IEC"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PresentationLUTShape = "IDENTITY"


def _pulse_sequence(dataset: Dataset, sequence: Sequence, names: Names) -> None:
    """MR Pulse Sequence module, C.8.13.4; some elements are required only of spin echoes and of 3D acquisitions."""
    planar = sequence.kind is Kind.DWI
    dataset.MRAcquisitionType = "2D" if planar else "3D"
    dataset.PulseSequenceName = names.sequence
    dataset.EchoPulseSequence = names.echo
    dataset.MultiPlanarExcitation = "NO"
    dataset.PhaseContrast = "NO"
    dataset.TimeOfFlightContrast = "NO"
    dataset.SteadyStatePulseSequence = names.steady_state
    dataset.EchoPlanarPulseSequence = "YES" if planar else "NO"
    dataset.SaturationRecovery = "NO"
    dataset.SpectrallySelectedSuppression = "FAT" if planar else "NONE"
    dataset.OversamplingPhase = "NONE"
    dataset.GeometryOfKSpaceTraversal = "RECTILINEAR"
    dataset.SegmentedKSpaceTraversal = "SINGLE"
    dataset.RectilinearPhaseEncodeReordering = "LINEAR"
    dataset.NumberOfKSpaceTrajectories = 1
    if names.echo == "SPIN":
        dataset.MultipleSpinEcho = "NO"
    if not planar:
        dataset.CoverageOfKSpace = "FULL"


def pixels(dataset: Dataset, slab: Slab, frames: int, bits: int = 12) -> None:
    """Image Pixel and Multi-frame modules."""
    columns, rows, _ = slab.shape
    dataset.NumberOfFrames = str(frames)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, bits, bits - 1, 0


def _item(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def dimensions(dataset: Dataset, uid: str, indices: Many[tuple[int, int]]) -> None:
    """Multi-frame Dimension module: (element, functional group) of each index."""
    dataset.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=uid)]
    dataset.DimensionIndexSequence = [
        _item(DimensionOrganizationUID=uid, DimensionIndexPointer=pointer, FunctionalGroupPointer=where)
        for pointer, where in indices
    ]


def shared_groups(sequence: Sequence, slab: Slab, names: Names) -> Dataset:
    """Functional groups that hold for all frames of every maker."""
    shared = Dataset()
    shared.MRTimingAndRelatedParametersSequence = [_timing(sequence, names)]
    shared.MRFOVGeometrySequence = [_field_of_view(sequence, slab)]
    shared.MRModifierSequence = [_modifier(sequence, names)]
    shared.MRImagingModifierSequence = [
        _item(
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=names.frequency_mhz,
            PixelBandwidth=decimal(sequence.bandwidth_hz),
        )
    ]
    shared.MRReceiveCoilSequence = [
        _item(
            ReceiveCoilName=names.coil,
            ReceiveCoilManufacturerName="",
            ReceiveCoilType="VOLUME",
            QuadratureReceiveCoil="NO",
        )
    ]
    shared.MRTransmitCoilSequence = [
        _item(TransmitCoilName="Body", TransmitCoilManufacturerName="", TransmitCoilType="BODY")
    ]
    shared.MRAveragesSequence = [_item(NumberOfAverages="1")]
    brain = _item(CodeValue="12738006", CodingSchemeDesignator="SCT", CodeMeaning="Brain")
    shared.FrameAnatomySequence = [_item(FrameLaterality="U", AnatomicRegionSequence=[brain])]
    return shared


def _timing(sequence: Sequence, names: Names) -> Dataset:
    planar = sequence.kind is Kind.DWI
    rate = _item(SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=0.1)
    return _item(
        RepetitionTime=decimal(names.repetition_ms),
        FlipAngle=decimal(sequence.flip_deg),
        EchoTrainLength=str(sequence.echo_train),
        RFEchoTrainLength=1 if planar else 0,
        GradientEchoTrainLength=sequence.echo_train if planar else 1,
        GradientOutputType="PER_NERVE_STIM",
        GradientOutput=0.8,
        SpecificAbsorptionRateSequence=[rate],
        OperatingModeSequence=[_item(OperatingModeType="GRADIENT", OperatingMode="IEC_NORMAL")],
    )


def _field_of_view(sequence: Sequence, slab: Slab) -> Dataset:
    columns, rows, slices = slab.shape
    column = sequence.phase_encoding == "COL"
    field = _item(
        InPlanePhaseEncodingDirection="COLUMN" if column else "ROW",  # COL is the word of the classic objects
        MRAcquisitionFrequencyEncodingSteps=columns if column else rows,
        MRAcquisitionPhaseEncodingStepsInPlane=rows if column else columns,
        PercentSampling="100",
        PercentPhaseFieldOfView="100",
    )
    if sequence.kind is not Kind.DWI:
        field.MRAcquisitionPhaseEncodingStepsOutOfPlane = slices
    return field


def _modifier(sequence: Sequence, names: Names) -> Dataset:
    modifier = _item(
        InversionRecovery="YES" if sequence.ti_ms > 0 else "NO",
        FlowCompensation="NONE",
        Spoiling=names.spoiling,
        T2Preparation="NO",
        SpectrallySelectedExcitation="NONE",
        SpatialPresaturation="NONE",
        PartialFourier="NO",
        ParallelAcquisition="NO",
    )
    if sequence.ti_ms > 0:
        modifier.InversionTimes = sequence.ti_ms
    return modifier


def plane(slab: Slab) -> list[Element]:
    """Plane Orientation and Pixel Measures, the same for all frames."""
    thickness = decimal(slab.voxel_mm[2])
    spacing = decimal(slab.voxel_mm[1]), decimal(slab.voxel_mm[0])
    axes = tuple(decimal(v) for v in slab.axes_lps[:, :2].T.ravel())
    return [
        group("PlaneOrientationSequence", ImageOrientationPatient=axes),
        group("PixelMeasuresSequence", SliceThickness=thickness, SpacingBetweenSlices=thickness, PixelSpacing=spacing),
    ]


def position(slab: Slab, index: int) -> Element:
    """Plane Position of a slice."""
    place = slab.origin_lps + slab.steps_lps[:, 2] * index
    return group("PlanePositionSequence", ImagePositionPatient=tuple(decimal(v) for v in place))


def frame_type(names: Names, *private: Element) -> Element:
    """MR Image Frame Type of a magnitude image, with what the maker puts there."""
    said = named(
        FrameType=names.image_type,
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast=names.contrast,
    )
    return sequence("MRImageFrameTypeSequence", item([*said, *private]))


def values(slope: str, unit: str, window: tuple[float, float]) -> list[Element]:
    """What a stored value means, and how to show it."""
    return [
        group("PixelValueTransformationSequence", RescaleIntercept="0", RescaleSlope=slope, RescaleType=unit),
        group("FrameVOILUTSequence", WindowCenter=decimal(window[0]), WindowWidth=decimal(window[1])),
    ]


def echo(te_ms: float) -> Element:
    """MR Echo."""
    return group("MREchoSequence", EffectiveEchoTime=te_ms)


def diffusion(b: float, direction_lps: npt.NDArray[np.float64], *, matrix: bool) -> Element:
    """MR Diffusion of a volume, with the b-matrix where the maker writes it; a zero direction is that of a trace."""
    directed = b > 0 and bool(np.any(direction_lps))
    word = ("BMATRIX" if matrix else "DIRECTIONAL") if directed else ("ISOTROPIC" if b > 0 else "NONE")
    elements = named(DiffusionBValue=b, DiffusionDirectionality=word)
    if directed:
        direction = tuple(float(v) for v in direction_lps)
        elements.append(group("DiffusionGradientDirectionSequence", DiffusionGradientOrientation=direction))
    if directed and matrix:
        weights = b * np.outer(direction_lps, direction_lps)
        xx, xy, xz, yy, yz, zz = (float(v) for v in weights[np.triu_indices(3)])
        elements.append(
            group(
                "DiffusionBMatrixSequence",
                DiffusionBValueXX=xx,
                DiffusionBValueXY=xy,
                DiffusionBValueXZ=xz,
                DiffusionBValueYY=yy,
                DiffusionBValueYZ=yz,
                DiffusionBValueZZ=zz,
            )
        )
    return sequence("MRDiffusionSequence", item(elements))


def content(at: str, exposure_ms: float, index: int, volume: int, indices: tuple[int, ...]) -> Element:
    """Frame Content: `at` = when it was acquired (DT); slice `index` and temporal position `volume` count from 0."""
    return group(
        "FrameContentSequence",
        FrameAcquisitionDateTime=at,
        FrameReferenceDateTime=at,
        FrameAcquisitionDuration=exposure_ms,
        StackID="1",
        InStackPositionNumber=index + 1,
        TemporalPositionIndex=volume + 1,
        FrameAcquisitionNumber=volume + 1,
        DimensionIndexValues=indices,
    )


@dataclass(frozen=True, slots=True)
class Clock:
    """When a series began."""

    start: datetime.datetime

    @classmethod
    def of(cls, sequence: Sequence, identity: Identity) -> Clock:
        """By the date of the study and the time of the series."""
        return cls(datetime.datetime.strptime(identity.date + sequence.time, "%Y%m%d%H%M%S"))  # noqa: DTZ007  DICOM has no zone

    def at(self, elapsed_ms: float) -> str:
        """DT of a moment."""
        return (self.start + datetime.timedelta(milliseconds=elapsed_ms)).strftime("%Y%m%d%H%M%S.%f")


def elapsed_ms(acquired: Acquired, volume: int, index: int) -> float:
    """From the start of the series to the excitation of a slice of a volume."""
    times = acquired.slice_times_ms
    within = float(times[index]) if len(times) else 0.0
    return volume * acquired.sequence.tr_ms + within if acquired.data.shape[3] > 1 else within


def save(path: Path, head: bytes | bytearray, frames: Many[bytes], planes: Iterable[Planes], size: int) -> None:
    """Write an object: its head, items of its frames, and `size` bytes of planes (frame, row, column), part by part."""
    with path.open("wb") as file:
        file.write(head)
        file.write(element(_FRAME_GROUPS, "SQ", b"".join(frames)).encoded)
        file.write(struct.pack("<HH2sHI", _PIXEL_DATA >> 16, _PIXEL_DATA & 0xFFFF, b"OW", 0, size))
        for part in planes:
            file.write(np.ascontiguousarray(part, "<u2").data)
