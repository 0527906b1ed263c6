"""How the planes of a series are arranged: slices, volumes, echoes, components, b-values, directions."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dicom_io.frames import Component, FrameHeader, normal
from dicom_io.header import InstanceHeader, SeriesHeader, Vector

SAME_PLANE_MM = 0.05  # positions closer than this are one slice: headers round to a hundredth
SAME_ORIENTATION = 0.985  # cosine of 10 degrees
SAME_AXIS = 0.9998  # cosine of about one degree between diffusion axes
B0_LIMIT = 50.0  # s/mm2; UIH says b = 1.25, GE up to 10, some Philips protocols 5 for "no weighting"


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane with where it comes from; `slice_mm` is its place along the common normal (None = not said)."""

    instance: InstanceHeader
    index: int  # of the frame in its instance
    frame: FrameHeader
    slice_mm: float | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Arrangement of a series. A tiled volume counts as one plane with `slices` tiles."""

    planes: tuple[Plane, ...]
    orientations: int  # distinct slice normals
    slices: int
    slice_places_mm: tuple[float, ...]
    spacing_mm: float | None
    coverage_mm: float | None
    echoes_ms: tuple[float, ...]
    components: tuple[Component, ...]
    volumes: int  # of one echo and one component
    bvalues: tuple[float, ...]  # one a volume; () when no plane carries one
    directions: int  # distinct diffusion axes
    isotropic: int  # volumes that are trace-weighted


def layout(series: SeriesHeader) -> Layout:
    """Arrange the planes of a series."""
    along = _main_normal(series)
    planes = tuple(
        Plane(instance, index, frame, _place(frame, along))
        for instance in series.instances
        for index, frame in enumerate(instance.frames)
    )
    places = _distinct(plane.slice_mm for plane in planes if plane.slice_mm is not None)
    tiles = max((instance.tiles for instance in series.instances), default=0)
    echoes = tuple(sorted({round(p.frame.te_ms, 3) for p in planes if p.frame.te_ms is not None}))
    components = tuple(sorted({plane.frame.component for plane in planes}))
    column = _fullest_column(planes, places, tiles)
    spacing = _spacing(series.first, places, tiles)
    slices = tiles or len(places)
    weighted = [p.frame.bvalue for p in column]
    return Layout(
        planes=planes,
        orientations=_orientations(planes),
        slices=slices,
        slice_places_mm=places,
        spacing_mm=spacing,
        coverage_mm=_coverage(series.first, slices, spacing, places),
        echoes_ms=echoes,
        components=components,
        volumes=len(column),
        bvalues=tuple(b or 0.0 for b in weighted) if any(b is not None for b in weighted) else (),
        directions=len(_axes(plane.frame.gradient_lps for plane in column if (plane.frame.bvalue or 0) > B0_LIMIT)),
        isotropic=sum(plane.frame.isotropic for plane in column),
    )


def _main_normal(series: SeriesHeader) -> Vector | None:
    normals = (normal(frame.orientation_lps) for instance in series.instances for frame in instance.frames)
    return next((vector for vector in normals if vector is not None), None)


def _place(frame: FrameHeader, along: Vector | None) -> float | None:
    if frame.position_lps is None or along is None:
        return None
    return sum(a * b for a, b in zip(frame.position_lps, along, strict=True))


def _distinct(values: Iterable[float]) -> tuple[float, ...]:
    found: list[float] = []
    for value in sorted(values):
        if not found or value - found[-1] > SAME_PLANE_MM:
            found.append(value)
    return tuple(found)


def _orientations(planes: Iterable[Plane]) -> int:
    seen: list[Vector] = []
    for orientation in {plane.frame.orientation_lps for plane in planes}:
        vector = normal(orientation)
        if vector and not any(abs(_dot(vector, other)) > SAME_ORIENTATION for other in seen):
            seen.append(vector)
    return len(seen)


def _axes(vectors: Iterable[Vector | None]) -> list[Vector]:
    seen: list[Vector] = []
    for vector in vectors:
        if vector and not any(abs(_dot(vector, other)) > SAME_AXIS for other in seen):
            seen.append(vector)
    return seen


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _fullest_column(planes: tuple[Plane, ...], places: tuple[float, ...], tiles: int) -> tuple[Plane, ...]:
    """Planes of one slice place, first echo and first component, in acquisition order: one a volume."""
    if not planes:
        return ()
    kinds = Counter((plane.frame.te_ms, plane.frame.component) for plane in planes)
    kind = max(kinds, key=lambda one: (kinds[one], one[1] is Component.MAGNITUDE, -(one[0] or 0)))
    same = [plane for plane in planes if (plane.frame.te_ms, plane.frame.component) == kind]
    if tiles or not places:
        return tuple(sorted(same, key=_order))
    columns: dict[float, list[Plane]] = defaultdict(list)
    for plane in same:
        if plane.slice_mm is not None:
            columns[nearest(plane.slice_mm, places)].append(plane)
    fullest = max(columns.values(), key=lambda column: len(column), default=[])
    return tuple(sorted(fullest, key=_order))


def nearest(value: float, places: tuple[float, ...]) -> float:
    """The slice place, of the ascending `places`, that a position belongs to."""
    after = bisect.bisect_left(places, value)
    around = places[max(after - 1, 0) : after + 1]
    return min(around, key=lambda place: abs(place - value))


def _order(plane: Plane) -> tuple[int, int, tuple[int, ...], int]:
    return plane.frame.temporal_index or 0, plane.instance.instance_number or 0, plane.frame.turn, plane.index


def _spacing(first: InstanceHeader, places: tuple[float, ...], tiles: int) -> float | None:
    if len(places) > 1 and not tiles:
        steps = sorted(b - a for a, b in itertools.pairwise(places))
        return steps[len(steps) // 2]
    return first.slice_spacing_mm or first.slice_thickness_mm


def _coverage(first: InstanceHeader, slices: int, spacing: float | None, places: tuple[float, ...]) -> float | None:
    """Extent along the slice direction, outer faces of the outer slices."""
    thickness = first.slice_thickness_mm or spacing
    if spacing is None or thickness is None or not slices:
        return None
    if len(places) > 1 and not first.tiles:
        return places[-1] - places[0] + thickness
    return (slices - 1) * spacing + thickness


def planes_of(layout: Layout, echo: float | None, component: Component) -> Iterator[Plane]:
    """Planes of one echo and one component."""
    for plane in layout.planes:
        te = None if plane.frame.te_ms is None else round(plane.frame.te_ms, 3)
        if te == echo and plane.frame.component is component:
            yield plane
