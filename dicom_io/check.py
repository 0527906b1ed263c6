"""No result leaves unchecked: a written object is read again and held against the series that it was made from.

Patient and study as in the source, legal and own UIDs, geometry inside the source's, finite pixels of the right number,
references that lead to the source. The design's promise 6; rules of the objects: PS3.3 A.4, A.8.1, A.35.13, A.75.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
)

from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.results.modules import IDENTITY, UNICODE, source_attributes
from dicom_io.results.run import middle

LEGAL_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
LONGEST_UID = 64
OWN_ROOT = "2.25."
REFERENCE = re.compile(rb"\x08\x00\x55\x11UI..([0-9.]+)", re.DOTALL)  # (0008,1155), explicit little endian
EDGE_MM = 0.1  # beyond the source's outermost voxel edge: what rounding of positions can explain

NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber",
          "Modality", "Manufacturer", "SeriesDescription", "ContentDate", "ContentTime")  # fmt: skip
NEEDED_OF_IMAGES = ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation", "ImageType")
NEEDED_OF_CLASS = {
    ParametricMapStorage: (*NEEDED_OF_IMAGES, "FrameOfReferenceUID", "NumberOfFrames", "FloatPixelData",
                           "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ContentQualification",
                           "ReferencedSeriesSequence"),
    MRImageStorage: (*NEEDED_OF_IMAGES, "FrameOfReferenceUID", "PixelData", "ImagePositionPatient",
                     "ImageOrientationPatient", "PixelSpacing", "SourceImageSequence", "RealWorldValueMappingSequence"),
    SecondaryCaptureImageStorage: (*NEEDED_OF_IMAGES, "PixelData", "BurnedInAnnotation", "ConversionType"),
    Comprehensive3DSRStorage: ("CompletionFlag", "VerificationFlag", "ContentSequence"),
}  # fmt: skip

Points = npt.NDArray[np.float64]


class Rejected(Exception):
    """The object must not leave; the text says why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What objects are held against: identity, UIDs and extent of the sources, gathered once for many objects.

    identity: attribute -> the values that the series have, as JSON.
    boxes: frame of reference -> smallest and largest millimetre (LPS) of its voxels.
    """

    identity: dict[str, frozenset[str]]
    series_uids: frozenset[str]
    sop_instance_uids: frozenset[str]
    boxes: dict[str, tuple[Points, Points]]


def check(path: Path, sources: Sequence[SeriesHeader]) -> None:
    """Read a result object again and hold it against its sources; `Rejected` says what is wrong with it."""
    origin = _origin(sources)
    try:
        raw = path.read_bytes()
        ds = pydicom.dcmread(BytesIO(raw))
    except (InvalidDicomError, OSError, EOFError, ValueError) as error:
        raise Rejected(f"it cannot be read: {error}") from error
    _check_form(ds)
    _check_identity(ds, origin)
    _check_uids(ds, origin)
    _check_references(ds, raw, origin)
    if "FrameOfReferenceUID" in ds:
        _check_geometry(ds, origin)
    _check_pixels(ds)


def _check_form(ds: Dataset) -> None:
    if ds.file_meta.TransferSyntaxUID != ExplicitVRLittleEndian:
        raise Rejected("its transfer syntax is not explicit little endian")
    if ds.get("SOPClassUID") not in NEEDED_OF_CLASS:
        raise Rejected(f"its class {UID(ds.get('SOPClassUID', '')).name!r} is not one of a result")
    for keyword in (*NEEDED, *NEEDED_OF_CLASS[ds.SOPClassUID]):
        if not _has(ds, keyword):
            raise Rejected(f"{keyword} is missing")


def _check_identity(ds: Dataset, origin: Origin) -> None:
    if ds.get("SpecificCharacterSet") != UNICODE:
        raise Rejected(f"its character set is not {UNICODE}")
    for keyword, theirs in origin.identity.items():
        if _json(ds, keyword) not in theirs:
            raise Rejected(f"{keyword} is not that of the source")


def _check_uids(ds: Dataset, origin: Origin) -> None:
    if (ds.file_meta.MediaStorageSOPInstanceUID, ds.file_meta.MediaStorageSOPClassUID) != (
        ds.SOPInstanceUID,
        ds.SOPClassUID,
    ):
        raise Rejected("its file meta information names another object")
    own = [ds[tag] for tag in list(ds.keys()) if ds.get_item(tag).VR == "UI"]
    own += [element for item in ds.get("DimensionOrganizationSequence", []) for element in item]
    for element in own:
        if len(element.value) > LONGEST_UID or not LEGAL_UID.fullmatch(element.value):
            raise Rejected(f"{element.keyword} {element.value!r} is no legal UID")
    if ds.SOPInstanceUID in origin.sop_instance_uids or ds.SeriesInstanceUID in origin.series_uids:
        raise Rejected("it has the UID of one of its sources")


def _check_references(ds: Dataset, raw: bytes, origin: Origin) -> None:
    found = _referenced(ds, raw)
    strangers = found - origin.sop_instance_uids
    if ds.SOPClassUID == Comprehensive3DSRStorage:
        # a report also refers to the maps of its runs and to the report that it replaces
        strangers = {uid for uid in strangers if not uid.startswith(OWN_ROOT)}
    elif not found:
        raise Rejected("it refers to no source image")
    if strangers:
        raise Rejected(f"it refers to {len(strangers)} instances that are not among its sources")


def _referenced(ds: Dataset, raw: bytes) -> set[str]:
    """Every Referenced SOP Instance UID, found in the bytes before the pixels: parsing thousands takes seconds."""
    pixels: Any = next((ds.get_item(name) for name in ("PixelData", "FloatPixelData") if name in ds), None)
    end = len(raw) if pixels is None else pixels.value_tell
    return {match[1].decode("ascii") for match in REFERENCE.finditer(raw, 0, end)}


def _check_geometry(ds: Dataset, origin: Origin) -> None:
    if ds.FrameOfReferenceUID not in origin.boxes:
        raise Rejected("its frame of reference is not that of a source")
    low, high = origin.boxes[ds.FrameOfReferenceUID]
    corners, positions, normal = _planes(ds)
    if not np.all(np.isfinite(corners)):
        raise Rejected("a plane has no finite position")
    outside = max(float((low - corners).max()), float((corners - high).max()))
    if outside > EDGE_MM:
        raise Rejected(f"it reaches {outside:.1f} mm beyond its source")
    steps = np.diff(positions @ normal)
    if len(steps) and (steps.min() <= 0 or np.ptp(steps) > EDGE_MM):
        raise Rejected("its planes do not ascend evenly")


def _planes(ds: Dataset) -> tuple[Points, Points, Points]:
    """Corners of all planes' voxels, positions of the planes, and their normal."""
    if ds.SOPClassUID == ParametricMapStorage:
        shared = ds.SharedFunctionalGroupsSequence[0]
        cosines = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        spacing = shared.PixelMeasuresSequence[0].PixelSpacing
        frames = ds.PerFrameFunctionalGroupsSequence
        places = [frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames]
    else:
        cosines, spacing, places = ds.ImageOrientationPatient, ds.PixelSpacing, [ds.ImagePositionPatient]
    row, column = np.array(cosines[:3], float), np.array(cosines[3:], float)
    if abs(row @ column) > 1e-4 or abs(np.linalg.norm(row) - 1) > 1e-4 or abs(np.linalg.norm(column) - 1) > 1e-4:
        raise Rejected("its orientation is not two perpendicular unit vectors")
    positions = np.array(places, float)
    corners = _corners(positions, row * float(spacing[1]), column * float(spacing[0]), ds.Columns, ds.Rows)
    return corners, positions, np.cross(row, column)


def _check_pixels(ds: Dataset) -> None:
    if ds.SOPClassUID == Comprehensive3DSRStorage:
        return
    data = ds.FloatPixelData if "FloatPixelData" in ds else ds.PixelData
    values = int(ds.get("NumberOfFrames", 1)) * ds.Rows * ds.Columns * ds.SamplesPerPixel
    if len(data) - values * ds.BitsAllocated // 8 not in (0, 1):
        raise Rejected("the number of its pixels is not what its attributes say")
    if "FloatPixelData" in ds and not np.all(np.isfinite(np.frombuffer(data, "<f4"))):
        raise Rejected("its pixels hold values that are no numbers")


def _origin(sources: Sequence[SeriesHeader]) -> Origin:
    """Gather what the sources say, once for the many objects of a job."""
    stamps = tuple((one.first.path, len(one.instances), one.instances[-1].path) for one in sources)
    if stamps not in _LAST_ORIGIN:
        _LAST_ORIGIN.clear()
        _LAST_ORIGIN[stamps] = _gather(sources)
    return _LAST_ORIGIN[stamps]


_LAST_ORIGIN: dict[tuple[tuple[Path, int, Path], ...], Origin] = {}


def _gather(sources: Sequence[SeriesHeader]) -> Origin:
    if not sources:
        raise Rejected("there is no source to hold it against")
    attributes = [source_attributes(middle(one)) for one in sources]
    corners: dict[str, list[Points]] = defaultdict(list)
    for instance in (instance for one in sources for instance in one.instances):
        if instance.frame_of_reference_uid:
            corners[instance.frame_of_reference_uid] += _extent(instance)
    joined = {uid: np.concatenate(points) for uid, points in corners.items() if points}
    return Origin(
        identity={keyword: frozenset(_json(one, keyword) for one in attributes) for keyword in IDENTITY},
        series_uids=frozenset(one.first.series_uid for one in sources),
        sop_instance_uids=frozenset(instance.sop_instance_uid for one in sources for instance in one.instances),
        boxes={uid: (points.min(axis=0), points.max(axis=0)) for uid, points in joined.items()},
    )


def _extent(instance: InstanceHeader) -> list[Points]:
    """Corners of the instance's image planes, or of the first and last plane of a tiled one."""
    if instance.pixel_spacing_mm is None:
        return []
    rows, columns = (instance.tile_rows, instance.tile_columns) if instance.tiles else (instance.rows, instance.columns)
    found = []
    for frame in instance.frames:
        if frame.position_lps is None or frame.orientation_lps is None:
            continue
        row, column = np.array(frame.orientation_lps[:3]), np.array(frame.orientation_lps[3:])
        positions = np.array([frame.position_lps])
        step = instance.slice_spacing_mm or instance.slice_thickness_mm
        if instance.tiles and instance.tile_normal_lps is not None and step:
            last = positions[0] + np.array(instance.tile_normal_lps) * step * (instance.tiles - 1)
            positions = np.stack([positions[0], last])
        spacing = instance.pixel_spacing_mm
        found.append(_corners(positions, row * spacing[1], column * spacing[0], columns, rows))
    return found


def _corners(positions: Points, row_step: Points, column_step: Points, columns: int, rows: int) -> Points:
    """Outer corners (plane x 4, 3) of image planes with their first voxels' centres at `positions`."""
    ends = [(-0.5, -0.5), (columns - 0.5, -0.5), (-0.5, rows - 0.5), (columns - 0.5, rows - 0.5)]
    offsets = np.array([across * row_step + down * column_step for across, down in ends])
    corners: Points = (positions[:, None] + offsets).reshape(-1, 3)
    return corners


def _has(ds: Dataset, keyword: str) -> bool:
    return keyword in ds and bool(ds.get_item(keyword).value)


def _json(ds: Dataset, keyword: str) -> str:
    return "" if keyword not in ds or ds[keyword].is_empty else json.dumps(ds[keyword].to_json_dict(None, 0))
