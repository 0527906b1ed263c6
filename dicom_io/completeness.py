"""Has a series arrived whole? By its own counts and by its grid: every volume must have every slice.

Nothing is called complete without a count in the headers that says how much there should be.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass

from dicom_io.frames import FrameHeader
from dicom_io.header import SeriesHeader, Vector
from dicom_io.layout import SAME_AXIS, Layout, Plane, layout, nearest


@dataclass(frozen=True, slots=True)
class Completeness:
    """complete: None = the headers do not say. received, expected: instances (frames of enhanced objects)."""

    complete: bool | None
    received: int
    expected: int | None
    sentence: str


def completeness(series: SeriesHeader) -> Completeness:
    """Completeness of a series with the sentence that a person reads."""
    if any(instance.expected_frames is not None for instance in series.instances):
        return _enhanced(series)
    return _classic(series)


def _classic(series: SeriesHeader) -> Completeness:
    arranged, received = layout(series), len(series.instances)
    expected = _expected(series, arranged)
    missing = _missing(arranged)
    if expected is not None and received > expected:
        sentence = f"{received} instances, the headers announce {expected}: the counts contradict each other"
        return Completeness(None if not missing else False, received, None, sentence)
    if missing:
        total = expected if expected is not None else received + len(missing)
        return Completeness(False, received, total, f"{received} of {total} instances: {_name(missing)}")
    if expected is None:
        return Completeness(
            None, received, None, f"{received} instances; the headers do not say how many there should be"
        )
    if received < expected:
        return Completeness(False, received, expected, f"{received} of {expected} instances")
    return Completeness(True, received, expected, f"{received} of {expected} instances")


def _expected(series: SeriesHeader, arranged: Layout) -> int | None:
    """Instances that the headers announce, None when a factor is not said."""
    first = series.first
    if first.expected_instances:
        return first.expected_instances
    if not first.expected_volumes or not arranged.volumes:
        return None
    echoes = max(first.expected_echoes or 1, len(arranged.echoes_ms), 1)
    # the scanner's trace image comes on top of the directions that the counts announce
    volumes = (first.expected_volumes + arranged.isotropic) * echoes * max(len(arranged.components), 1)
    if first.tiles:
        return volumes
    return volumes * first.expected_slices if first.expected_slices else None


def _enhanced(series: SeriesHeader) -> Completeness:
    """Frames of enhanced objects against Number of Frames, objects against Number of Temporal Positions."""
    arranged, objects = layout(series), series.instances
    received = sum(len(one.frames) for one in objects)
    announced = sum(one.expected_frames or 0 for one in objects)
    if received != announced:
        return Completeness(False, received, announced, f"{received} of {announced} frames: an object is cut short")
    missing = _missing(arranged)
    if missing:
        total = announced + len(missing)
        return Completeness(False, received, total, f"{received} of {total} frames: {_name(missing)}")
    volumes = _announced_volumes(series)
    if volumes is None and len(objects) > 1:
        sentence = f"{received} frames in {len(objects)} objects; the headers do not say how many there should be"
        return Completeness(None, received, None, sentence)
    if volumes is not None and arranged.volumes < volumes:
        total = round(announced / max(arranged.volumes, 1) * volumes)
        sentence = f"{received} of {total} frames: {arranged.volumes} of {volumes} volumes"
        return Completeness(False, received, total, sentence)
    return Completeness(True, received, announced, f"{received} of {announced} frames")


def _announced_volumes(series: SeriesHeader) -> int | None:
    """Volumes by Number of Temporal Positions; a derived image repeats that of its source and says nothing."""
    if any("DERIVED" in map(str.upper, one.image_type) for one in series.instances):
        return None
    said = {one.expected_volumes for one in series.instances}
    volumes = said.pop() if len(said) == 1 else None
    return volumes if volumes and volumes > 1 else None


@dataclass(frozen=True, slots=True)
class _Gap:
    """A plane that should be there: where, and in which volume (None = cannot be told)."""

    axis: str
    place_mm: float
    volume: int | None


def _missing(arranged: Layout) -> list[_Gap]:
    """Planes that the uniform grid of slices and volumes lacks."""
    if arranged.orientations != 1 or any(plane.instance.tiles for plane in arranged.planes):
        return []
    groups: dict[tuple[object, object], list[Plane]] = defaultdict(list)
    for plane in arranged.planes:
        if plane.slice_mm is not None:
            groups[plane.frame.te_ms, plane.frame.component].append(plane)
    gaps = [gap for planes in groups.values() for gap in _missing_in(planes, arranged)]
    return gaps + _holes(arranged)


def _missing_in(planes: list[Plane], arranged: Layout) -> list[_Gap]:
    """Gaps of one echo and one component: volumes are told apart by temporal position, else by diffusion weighting."""
    places = arranged.slice_places_mm
    temporal = len({plane.frame.temporal_index for plane in planes}) > 1
    counts: dict[object, dict[float, int]] = defaultdict(lambda: defaultdict(int))
    weighting = _Weightings()
    for plane in planes:
        key = plane.frame.temporal_index if temporal else weighting.of(plane.frame)
        counts[key][nearest(plane.slice_mm or 0.0, places)] += 1
    gaps: list[_Gap] = []
    volume = 1
    for found in counts.values():
        repeats = max(found.values())
        for place in places:
            lacking = repeats - found.get(place, 0)
            if lacking:
                gaps += [_gap(place, arranged, volume if repeats == 1 else None)] * lacking
        volume += repeats
    return gaps


class _Weightings:
    """Numbers the diffusion weightings of a series; directions that differ by rounding are one."""

    def __init__(self) -> None:
        self._exact: dict[object, int] = {}
        self._seen: list[tuple[float | None, Vector | None, bool]] = []

    def of(self, frame: FrameHeader) -> int:
        """Number of the weighting of a frame."""
        told = (frame.bvalue, frame.gradient_lps, frame.isotropic)
        if told not in self._exact:
            alike = (i for i, other in enumerate(self._seen) if _same_weighting(told, other))
            self._exact[told] = next(alike, len(self._seen))
            if self._exact[told] == len(self._seen):
                self._seen.append(told)
        return self._exact[told]


def _same_weighting(a: tuple[float | None, Vector | None, bool], b: tuple[float | None, Vector | None, bool]) -> bool:
    if a[0] != b[0] or a[2] != b[2] or (a[1] is None) != (b[1] is None):
        return False
    return a[1] is None or b[1] is None or sum(x * y for x, y in zip(a[1], b[1], strict=True)) > SAME_AXIS


def _holes(arranged: Layout) -> list[_Gap]:
    """Slice places that no volume has: steps of twice the usual spacing or more."""
    places, spacing = arranged.slice_places_mm, arranged.spacing_mm
    if spacing is None or spacing <= 0 or len(places) < FEWEST_FOR_HOLES:
        return []
    gaps: list[_Gap] = []
    for low, high in itertools.pairwise(places):
        steps = round((high - low) / spacing)
        if steps > 1 and abs((high - low) / spacing - steps) < WHOLE_STEPS:
            gaps += [_gap(low + (high - low) * step / steps, arranged, None) for step in range(1, steps)]
    return gaps


FEWEST_FOR_HOLES = 5  # with fewer slices the usual spacing is not known
WHOLE_STEPS = 0.1  # a hole is a whole number of steps; anything else is how the series was planned
AXES = ("x", "y", "z")


def _gap(place: float, arranged: Layout, volume: int | None) -> _Gap:
    """Name a place by the patient coordinate that slices run along."""
    placed = [plane for plane in arranged.planes if plane.slice_mm is not None and plane.frame.position_lps is not None]
    first, last = min(placed, key=_along), max(placed, key=_along)
    start, end = first.frame.position_lps or (0, 0, 0), last.frame.position_lps or (0, 0, 0)
    axis = max(range(3), key=lambda i: abs(end[i] - start[i]))
    length = _along(last) - _along(first)
    part = (place - _along(first)) / length if length else 0.0
    return _Gap(AXES[axis], start[axis] + part * (end[axis] - start[axis]), volume)


def _along(plane: Plane) -> float:
    return plane.slice_mm or 0.0


def _name(gaps: list[_Gap]) -> str:
    """A clause that names the first gap and counts the others."""
    gap = gaps[0]
    where = f" of volume {gap.volume}" if gap.volume is not None else ""
    more = f" and {len(gaps) - 1} more are" if len(gaps) > 1 else " is"
    return f"slice at {gap.axis} = {gap.place_mm:.1f} mm{where}{more} missing"
