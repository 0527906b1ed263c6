"""Which source images stand behind which plane of a result: references for Derivation Image and Source Image sequences.

PS3.3 C.7.6.16.2.6 (Derivation Image), C.12.4.1.1 (Source Image Sequence), C.12.2 (Common Instance Reference).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.results import codes
from dicom_io.results.encoding import dataset, element, sequence
from dicom_io.results.grid import Grid

SAME_PLANE = 0.1  # of the slice spacing: a source plane this near is the plane of the result
SAME_DIRECTION = 1e-3  # |cross product| of unit normals

SOURCE_IMAGES, REFERENCED_SERIES, REFERENCED_INSTANCES = 0x0008_2112, 0x0008_1115, 0x0008_114A
SOP_CLASS, SOP_INSTANCE, FRAME_NUMBERS, SERIES = 0x0008_1150, 0x0008_1155, 0x0008_1160, 0x0020_000E
LOCATIONS_PRESERVED, PURPOSE = 0x0028_135A, 0x0040_A170

InPlane = list[tuple[InstanceHeader, list[int]]]  # instances with their frame numbers (none: the whole instance)


@dataclass(frozen=True, slots=True)
class SourceReferences:
    """Encoded references to one source series from one grid; made once, written into every object.

    planes: Source Image Sequence of each plane. series: Referenced Series Sequence.
    """

    planes: tuple[bytes, ...]
    series: bytes


def orientation(series: SeriesHeader) -> tuple[float, ...] | None:
    """Row and column cosines (LPS) of the first image plane of the series that has them."""
    frames = (frame for instance in series.instances for frame in instance.frames)
    return next((frame.orientation_lps for frame in frames if frame.orientation_lps is not None), None)


def source_references(series: SeriesHeader, grid: Grid) -> SourceReferences:
    """Encode the references from every plane of `grid` to the source images that lie in it.

    A plane in which no source image lies refers to the first volume of the series.
    """
    found = _by_plane(series, grid)
    fallback = _first_volume(series, len(grid.positions))
    purpose = sequence(PURPOSE, [dataset(codes.concept(codes.SOURCE_IMAGE))])
    planes = tuple(
        sequence(
            SOURCE_IMAGES,
            (_source(instance, numbers, plane in found, purpose) for instance, numbers in found.get(plane, fallback)),
        )
        for plane in range(len(grid.positions))
    )
    return SourceReferences(planes, sequence(REFERENCED_SERIES, [_series_item(series)]))


def _by_plane(series: SeriesHeader, grid: Grid) -> dict[int, InPlane]:
    found: dict[int, dict[str, tuple[InstanceHeader, list[int]]]] = defaultdict(dict)
    tiled = [instance for instance in series.instances if instance.tiles]
    for plane in range(len(grid.positions)):
        found[plane] |= {instance.sop_instance_uid: (instance, []) for instance in tiled}
    placed = [
        (instance, number, frame.position_lps, frame.orientation_lps)
        for instance in series.instances
        for number, frame in enumerate(instance.frames, 1)
        if not instance.tiles and frame.position_lps is not None and frame.orientation_lps is not None
    ]
    if placed:
        directions = np.array([cosines for *_, cosines in placed])
        normals = np.cross(directions[:, :3], directions[:, 3:])
        parallel = np.linalg.norm(np.cross(normals, grid.normal), axis=1) < SAME_DIRECTION
        heights = np.array([position for _, _, position, _ in placed]) @ grid.normal
        away = np.abs(heights[:, None] - grid.positions @ grid.normal)
        nearest = away.argmin(axis=1)
        for k in np.flatnonzero(parallel & (away.min(axis=1) <= SAME_PLANE * grid.spacing[2])):
            instance, number, *_ = placed[k]
            entry = found[int(nearest[k])].setdefault(instance.sop_instance_uid, (instance, []))
            if len(instance.frames) > 1:
                entry[1].append(number)
    return {plane: list(entries.values()) for plane, entries in found.items() if entries}


def _first_volume(series: SeriesHeader, planes: int) -> InPlane:
    whole = series.first.tiles or len(series.first.frames) > 1
    return [(instance, []) for instance in series.instances[: 1 if whole else planes]]


def _source(instance: InstanceHeader, frames: list[int], same_plane: bool, purpose: bytes) -> bytes:
    numbers = element(FRAME_NUMBERS, "IS", "\\".join(map(str, frames)).encode("ascii")) if frames else b""
    preserved = b"YES" if same_plane and not instance.tiles else b"NO"
    return _reference(instance) + numbers + element(LOCATIONS_PRESERVED, "CS", preserved) + purpose


def _reference(instance: InstanceHeader) -> bytes:
    sop_class = element(SOP_CLASS, "UI", instance.sop_class_uid.encode("ascii"))
    return sop_class + element(SOP_INSTANCE, "UI", instance.sop_instance_uid.encode("ascii"))


def _series_item(series: SeriesHeader) -> bytes:
    instances = sequence(REFERENCED_INSTANCES, map(_reference, series.instances))
    return instances + element(SERIES, "UI", series.first.series_uid.encode("ascii"))
