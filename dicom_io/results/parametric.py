"""A float32 Parametric Map of one map (PS3.3 A.75).

Written here and not by highdicom: frames ascend along row x column (dcmqi mirrors the other order), FrameAnatomy is
there (dcmqi dies without it), bytes repeat from run to run, and one path serves classic, enhanced and tiled sources.
"""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ParametricMapStorage

from dicom_io.results import codes
from dicom_io.results.encoding import around, dataset, merge, sequence, write_file
from dicom_io.results.modules import ACQUISITION_MOMENT, CREATOR, GRID, NewSeries, copy, new_object, series_description
from dicom_io.results.placed import PlacedMap
from dicom_io.results.sources import REFERENCED_SERIES

DERIVED = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]
PLANE_POSITION_SEQUENCE = Tag(0x0020, 0x9113)
IMAGE_POSITION_PATIENT = Tag(0x0020, 0x0032)
DERIVATION_IMAGE_SEQUENCE, PER_FRAME_SEQUENCE = 0x0008_9124, 0x5200_9230


def write_parametric_map(placed: PlacedMap, folder: Path) -> Path:
    """Write `map-<quantity>.dcm`, one frame a plane."""
    ds = _parametric_map(placed)
    own = {
        REFERENCED_SERIES: placed.references.series,
        PER_FRAME_SEQUENCE: sequence(
            PER_FRAME_SEQUENCE, (_frame(placed, index) for index in range(len(placed.planes)))
        ),
    }
    path = folder / f"map-{placed.quantity.name.lower()}.dcm"
    return write_file(path, ds.file_meta, merge(around(ds, own), own))


def _parametric_map(placed: PlacedMap) -> Dataset:
    """All of the object but the groups of each frame and the references to the sources."""
    name = placed.quantity.name
    series = NewSeries(placed.uid("map series"), codes.MAP_SERIES + placed.number, series_description(name), "MR")
    ds = new_object(placed.source, ParametricMapStorage, placed.uid("map"), 1, series, placed.maker)
    copy(placed.source, ds, [*GRID, *ACQUISITION_MOMENT])
    ds.BodyPartExamined = placed.body_part
    ds.ImageType = DERIVED
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = name.upper(), placed.quantity.meaning, CREATOR
    ds.ContentQualification = "RESEARCH"
    ds.BurnedInAnnotation, ds.RecognizableVisualFeatures, ds.LossyImageCompression = "NO", "NO", "00"
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = []
    _dimensions(ds, placed)
    ds.SharedFunctionalGroupsSequence = [_shared(placed)]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.BitsAllocated = 1, "MONOCHROME2", 32
    ds.NumberOfFrames, ds.Rows, ds.Columns = placed.planes.shape
    ds.FloatPixelData = placed.planes.astype("<f4", copy=False).tobytes()
    return ds


def _dimensions(ds: Dataset, placed: PlacedMap) -> None:
    organization = Dataset()
    organization.DimensionOrganizationUID = placed.uid("map dimension")
    index = Dataset()
    index.DimensionOrganizationUID = organization.DimensionOrganizationUID
    index.DimensionIndexPointer, index.FunctionalGroupPointer = IMAGE_POSITION_PATIENT, PLANE_POSITION_SEQUENCE
    index.DimensionDescriptionLabel = "Image Position Patient"
    ds.DimensionOrganizationSequence, ds.DimensionIndexSequence = [organization], [index]
    ds.DimensionOrganizationType = "3D"


def _shared(placed: PlacedMap) -> Dataset:
    grid = placed.grid
    measures, orientation, kind, anatomy, voi = Dataset(), Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = list(grid.spacing[:2])
    measures.SliceThickness = measures.SpacingBetweenSlices = grid.spacing[2]
    orientation.ImageOrientationPatient = list(grid.orientation)
    kind.FrameType = DERIVED
    anatomy.FrameLaterality = codes.FRAME_LATERALITY[placed.body_part]
    anatomy.AnatomicRegionSequence = [codes.concept(codes.ANATOMY[placed.body_part])]
    low, high = placed.window
    voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = (low + high) / 2, high - low, "LINEAR_EXACT"
    identity = Dataset()
    identity.RescaleIntercept, identity.RescaleSlope, identity.RescaleType = 0, 1, "US"
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.ParametricMapFrameTypeSequence, shared.FrameAnatomySequence = [kind], [anatomy]
    shared.FrameVOILUTSequence, shared.PixelValueTransformationSequence = [voi], [identity]
    shared.RealWorldValueMappingSequence = [_real_world(placed)]
    return shared


def _real_world(placed: PlacedMap) -> Dataset:
    quantity = placed.quantity
    item = Dataset()
    item.LUTLabel, item.LUTExplanation = quantity.name[:16], quantity.meaning[:64]
    # of all pixels, the zeros outside the mask too: highdicom refuses an image with a pixel outside the mapped range
    item.DoubleFloatRealWorldValueFirstValueMapped = float(placed.planes.min())
    item.DoubleFloatRealWorldValueLastValueMapped = float(placed.planes.max())
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 1.0, 0.0
    item.MeasurementUnitsCodeSequence = [codes.unit(quantity.unit)]
    item.QuantityDefinitionSequence = [codes.quantity_definition(quantity)]
    return item


def _frame(placed: PlacedMap, index: int) -> bytes:
    content, position, derivation, frame = Dataset(), Dataset(), Dataset(), Dataset()
    content.DimensionIndexValues = [index + 1]
    content.FrameAcquisitionNumber = 1
    position.ImagePositionPatient = [float(mm) for mm in placed.grid.positions[index]]
    derivation.DerivationCodeSequence = [codes.concept(codes.DERIVATION_OF_TECHNIQUE[placed.run.technique])]
    frame.FrameContentSequence, frame.PlanePositionSequence = [content], [position]
    sources = placed.references.planes[index]
    return sequence(DERIVATION_IMAGE_SEQUENCE, [sources + dataset(derivation)]) + dataset(frame)
