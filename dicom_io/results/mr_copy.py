"""The classic MR copy of a map: one 16-bit MR Image a plane, for archives and viewers without Parametric Maps.

Integers a radiologist can read off: value x the quantity's scale, the scale in the series description and as Real World
Value Mapping. One data set is encoded once; each slice replaces only what differs (PS3.3 A.4).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from dicom_io.header import InstanceHeader
from dicom_io.results import codes
from dicom_io.results.encoding import around, element, merge, write_file
from dicom_io.results.modules import (
    ACQUISITION,
    GRID,
    RESEARCH_SENTENCE,
    NewSeries,
    copy,
    file_meta,
    new_object,
    series_description,
)
from dicom_io.results.placed import PlacedMap
from dicom_io.results.sources import SOURCE_IMAGES

LARGEST_STORED = 65535
SOP_INSTANCE_UID, INSTANCE_NUMBER, PIXEL_DATA = 0x0008_0018, 0x0020_0013, 0x7FE0_0010
IMAGE_POSITION, SLICE_LOCATION = 0x0020_0032, 0x0020_1041
OWN_OF_A_SLICE = (SOP_INSTANCE_UID, SOURCE_IMAGES, INSTANCE_NUMBER, IMAGE_POSITION, SLICE_LOCATION, PIXEL_DATA)


def write_mr_copy(placed: PlacedMap, folder: Path) -> tuple[Path, ...]:
    """Write the map as classic MR series `mr-<quantity>-<slice>.dcm`; ValueError when its scale does not fit 16 bit."""
    stored = stored_values(placed)
    parts = around(_common(placed, int(stored.max())), OWN_OF_A_SLICE)
    written = []
    for index, pixels in enumerate(stored):
        uid = placed.uid("mr", str(index))
        path = folder / f"mr-{placed.quantity.name.lower()}-{index + 1:03d}.dcm"
        body = merge(parts, _slice(placed, index, uid, pixels))
        written.append(write_file(path, file_meta(MRImageStorage, uid), body))
    return tuple(written)


def stored_values(placed: PlacedMap) -> npt.NDArray[np.uint16]:
    """Integers of the copy: value x scale, rounded; noise outside what 16 bit hold is cut at its ends."""
    quantity = placed.quantity
    if quantity.plausible[0] < 0 or quantity.plausible[1] * quantity.scale > LARGEST_STORED:
        raise ValueError(f"the scale of {quantity.name} does not bring {quantity.plausible} into 0..{LARGEST_STORED}")
    scaled = np.rint(placed.planes * np.float32(quantity.scale))
    stored: npt.NDArray[np.uint16] = np.clip(scaled, 0, LARGEST_STORED).astype("<u2")
    return stored


def _common(placed: PlacedMap, largest: int) -> Dataset:
    quantity, grid = placed.quantity, placed.grid
    scale = f" x{quantity.scale}" if quantity.scale != 1 else ""
    series = NewSeries(
        placed.uid("mr series"), codes.MR_SERIES + placed.number, series_description(f"{quantity.name}{scale}"), "MR"
    )
    ds = new_object(placed.source, MRImageStorage, "", 0, series, placed.maker)
    del ds.SOPInstanceUID, ds.InstanceNumber  # each slice has its own
    _acquisition(ds, placed)
    copy(placed.source, ds, GRID)
    ds.ImageType = ["DERIVED", "SECONDARY", quantity.name.upper()]
    ds.BodyPartExamined, ds.BurnedInAnnotation, ds.LossyImageCompression = placed.body_part, "NO", "00"
    ds.DerivationDescription = f"{quantity.meaning} in {quantity.unit} x {quantity.scale}. {RESEARCH_SENTENCE}"
    ds.DerivationCodeSequence = [codes.concept(codes.DERIVATION_OF_TECHNIQUE[placed.run.technique])]
    ds.ContentQualification = "RESEARCH"
    ds.ImageOrientationPatient = list(grid.orientation)
    ds.PixelSpacing = list(grid.spacing[:2])
    ds.SliceThickness = ds.SpacingBetweenSlices = grid.spacing[2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.Rows, ds.Columns = grid.rows, grid.columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    low, high = (end * quantity.scale for end in placed.window)
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = (low + high) / 2, max(high - low, 1.0), "LINEAR_EXACT"
    ds.RealWorldValueMappingSequence = [_real_world(placed, largest)]
    return ds


def _acquisition(ds: Dataset, placed: PlacedMap) -> None:
    """Acquisition attributes: the source's own, else the header view's (enhanced sources keep them in frames)."""
    first: InstanceHeader = placed.series.first
    echo = next((frame.te_ms for frame in first.frames if frame.te_ms is not None), None)
    ds.ScanningSequence = list(first.scanning_sequence) or "RM"  # RM: research mode, the term where nothing is said
    ds.SequenceVariant = list(first.sequence_variant) or "NONE"
    ds.ScanOptions = list(first.scan_options)
    ds.MRAcquisitionType = "" if first.three_d is None else "3D" if first.three_d else "2D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = first.tr_ms, echo, first.echo_train
    ds.FlipAngle, ds.MagneticFieldStrength = first.flip_deg, first.field_t
    if "IR" in first.scanning_sequence:  # 2C: may not be present otherwise
        ds.InversionTime = first.ti_ms
    copy(placed.source, ds, ACQUISITION)


def _real_world(placed: PlacedMap, largest: int) -> Dataset:
    quantity = placed.quantity
    item = Dataset()
    item.LUTLabel, item.LUTExplanation = quantity.name[:16], quantity.meaning[:64]
    item.add_new("RealWorldValueFirstValueMapped", "US", 0)
    item.add_new("RealWorldValueLastValueMapped", "US", largest)
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 1.0 / quantity.scale, 0.0
    item.MeasurementUnitsCodeSequence = [codes.unit(quantity.unit)]
    item.QuantityDefinitionSequence = [codes.quantity_definition(quantity)]
    return item


def _slice(placed: PlacedMap, index: int, uid: str, pixels: npt.NDArray[np.uint16]) -> dict[int, bytes]:
    """What differs from slice to slice, encoded."""
    position = placed.grid.positions[index]
    text = {
        SOP_INSTANCE_UID: ("UI", uid),
        INSTANCE_NUMBER: ("IS", str(index + 1)),
        IMAGE_POSITION: ("DS", "\\".join(f"{mm:.6f}"[:16] for mm in position)),
        SLICE_LOCATION: ("DS", f"{position @ placed.grid.normal:.6f}"[:16]),
    }
    return {
        **{tag: element(tag, vr, value.encode("ascii")) for tag, (vr, value) in text.items()},
        SOURCE_IMAGES: placed.references.planes[index],
        PIXEL_DATA: element(PIXEL_DATA, "OW", pixels.tobytes()),
    }
