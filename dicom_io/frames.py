"""Image planes as headers describe them: one of a classic instance, many of an enhanced one, one tiled volume.

Standard elements first (PS3.3 C.8.3, C.8.13); where they are silent, what the maker's private elements say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dicom_io.elements import EMPTY, Elements, Vector
from dicom_io.vendors import philips
from dicom_io.vendors.said import Orientation, Said, cross, unit

IMAGE_TYPE, ACQUISITION_TIME, COMPLEX_COMPONENT = 0x00080008, 0x00080032, 0x00089208
ECHO_TIME, TRIGGER_TIME = 0x00180081, 0x00181060
DIFFUSION_SEQUENCE, DIRECTION_SEQUENCE = 0x00189117, 0x00189076
DIRECTIONALITY, BVALUE, DIFFUSION_GRADIENT = 0x00189075, 0x00189087, 0x00189089
POSITION, ORIENTATION, TEMPORAL_POSITION = 0x00200032, 0x00200037, 0x00200100
PIXEL_SPACING, ROWS, COLUMNS = 0x00280030, 0x00280010, 0x00280011
SHARED_GROUPS, FRAME_GROUPS = 0x52009229, 0x52009230
ECHO_SEQUENCE, EFFECTIVE_ECHO_TIME = 0x00189114, 0x00189082
FRAME_TYPE_SEQUENCE, FRAME_TYPE = 0x00189226, 0x00089007
CONTENT_SEQUENCE, TEMPORAL_INDEX, FRAME_TIME = 0x00209111, 0x00209128, 0x00189074
POSITION_SEQUENCE, ORIENTATION_SEQUENCE = 0x00209113, 0x00209116
DIMENSION_SEQUENCE, DIMENSION_POINTER, DIMENSION_VALUES = 0x00209222, 0x00209165, 0x00209157
STACK_DIMENSIONS = (0x00209056, 0x00209057, 0x00200032)  # stack, place in it, position: they tell slices, not volumes
IN_STACK_DIMENSIONS = STACK_DIMENSIONS[1:]
MOST_FRAMES = 200_000  # beyond, the object is hostile


class Component(StrEnum):
    """Part of the complex signal that pixel values are (or a field map's own kind)."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    REAL = "real"
    IMAGINARY = "imaginary"
    FIELD = "field"


# words of Image Type and Frame Type that name a component; Philips and Siemens first letters, UIH and GE words
COMPONENT_WORDS = {
    "P": Component.PHASE,
    "PHASE": Component.PHASE,
    "PHASE MAP": Component.PHASE,
    "R": Component.REAL,
    "REAL": Component.REAL,
    "I": Component.IMAGINARY,
    "IMAGINARY": Component.IMAGINARY,
    "B0": Component.FIELD,
    "B0 MAP": Component.FIELD,
    "FIELD_MAP": Component.FIELD,
}


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """One image plane (a classic instance, a frame of an enhanced one) or one tiled volume (mosaic, VFRAME).

    Positions and directions are LPS patient coordinates as DICOM has them; None = not said. The position of a tiled
    volume is that of its first tile. slice_time_s: acquisition time of the plane as seconds of the day. turn: indices
    by which the volumes of an enhanced object follow one another, slowest first; () for a classic instance.
    """

    position_lps: Vector | None
    orientation_lps: Orientation | None
    te_ms: float | None
    bvalue: float | None  # s/mm2
    gradient_lps: Vector | None  # unit; None at b = 0, for trace images and when not said
    isotropic: bool  # a trace-weighted image, not a direction
    component: Component
    temporal_index: int | None
    slice_time_s: float | None
    turn: tuple[int, ...] = ()


def orientation(elements: Elements) -> Orientation | None:
    """Row and column direction, None unless they are two perpendicular unit vectors."""
    numbers = elements.numbers(ORIENTATION)
    if len(numbers) != 6:
        return None
    row, column = unit((numbers[0], numbers[1], numbers[2])), unit((numbers[3], numbers[4], numbers[5]))
    if row is None or column is None or abs(sum(a * b for a, b in zip(row, column, strict=True))) > PERPENDICULAR:
        return None
    return (*row, *column)


PERPENDICULAR = 1e-2  # cosine between row and column that rounding of the header can explain


def normal(orientation_lps: Orientation | None) -> Vector | None:
    """Slice normal, row x column."""
    return unit(cross(orientation_lps[:3], orientation_lps[3:])) if orientation_lps else None


def classic(elements: Elements, said: Said) -> FrameHeader:
    """The one plane, or the one tiled volume, of a classic instance."""
    plane = orientation(elements)
    diffusion = elements.item(DIFFUSION_SEQUENCE) if DIFFUSION_SEQUENCE in elements else elements
    bvalue, gradient, isotropic = _diffusion(diffusion, said)
    position = elements.vector(POSITION)
    if said.tiles:
        position = said.first_tile_lps or _first_tile(elements, position, plane, said)
    return FrameHeader(
        position_lps=position,
        orientation_lps=plane,
        te_ms=elements.number(ECHO_TIME),
        bvalue=bvalue,
        gradient_lps=gradient,
        isotropic=isotropic,
        component=component(elements.text(COMPLEX_COMPONENT), elements.texts(IMAGE_TYPE), said),
        temporal_index=elements.integer(TEMPORAL_POSITION),
        slice_time_s=seconds_of_day(elements.text(ACQUISITION_TIME)),
    )


def enhanced(elements: Elements, said: Said) -> tuple[FrameHeader, ...]:
    """Every frame of an enhanced object; a functional group that a frame lacks is the shared one."""
    shared = elements.item(SHARED_GROUPS)
    frames = elements.items(FRAME_GROUPS)[:MOST_FRAMES]
    whole = (elements.text(COMPLEX_COMPONENT), elements.texts(IMAGE_TYPE))
    turns = _turns(elements, frames)
    return tuple(_frame(shared, own, whole, said, turn) for own, turn in zip(frames, turns, strict=True))


def _turns(elements: Elements, frames: list[Elements]) -> list[tuple[int, ...]]:
    """Dimension indices of each frame's volume, slowest first (PS3.3 C.7.6.17).

    The standard has the first index slowest. Philips puts the slice before what makes volumes, and then means the last
    index to be slowest; read so by dcm2niix too, unless the frame has the maker's own number of the volume.
    """
    own = [philips.volume_number(frame) for frame in frames]
    if frames and all(own):
        return [(number,) for number in own]
    pointers = [_pointed(item) for item in elements.items(DIMENSION_SEQUENCE)]
    indices = [frame.item(CONTENT_SEQUENCE).numbers(DIMENSION_VALUES) for frame in frames]
    if not pointers or any(len(one) != len(pointers) for one in indices):
        return [()] * len(frames)
    varying = [place for place, values in enumerate(zip(*indices, strict=True)) if len(set(values)) > 1]
    slices = [place for place, pointer in enumerate(pointers) if pointer in IN_STACK_DIMENSIONS]
    last_is_slowest = max(slices, default=0) < max(varying, default=0)
    kept = [place for place, pointer in enumerate(pointers) if pointer not in STACK_DIMENSIONS]
    kept = kept[::-1] if last_is_slowest else kept
    return [tuple(int(one[place]) for place in kept) for one in indices]


def _pointed(item: Elements) -> int:
    """Tag that a dimension points to; an AT is a group, then an element, each in the byte order of the file."""
    value = item.integer(DIMENSION_POINTER) or 0
    return (value & 0xFFFF) << 16 | value >> 16 if item.order == "<" else value


def _frame(
    shared: Elements, own: Elements, whole: tuple[str, tuple[str, ...]], said: Said, turn: tuple[int, ...]
) -> FrameHeader:
    def group(tag: int) -> Elements:
        return own.item(tag) if tag in own else shared.item(tag) if tag in shared else EMPTY

    kind, content = group(FRAME_TYPE_SEQUENCE), group(CONTENT_SEQUENCE)
    bvalue, gradient, isotropic = _diffusion(group(DIFFUSION_SEQUENCE), said)
    return FrameHeader(
        position_lps=group(POSITION_SEQUENCE).vector(POSITION),
        orientation_lps=orientation(group(ORIENTATION_SEQUENCE)),
        te_ms=group(ECHO_SEQUENCE).number(EFFECTIVE_ECHO_TIME),
        bvalue=bvalue,
        gradient_lps=gradient,
        isotropic=isotropic,
        component=component(kind.text(COMPLEX_COMPONENT) or whole[0], kind.texts(FRAME_TYPE) or whole[1], said),
        temporal_index=content.integer(TEMPORAL_INDEX),
        slice_time_s=seconds_of_day(content.text(FRAME_TIME)[8:]),
        turn=turn,
    )


def component(standard: str, image_type: tuple[str, ...], said: Said) -> Component:
    """Component by Complex Image Component, then by words of Image Type, then by the maker's private element."""
    words = [COMPONENT_WORDS[word] for word in map(str.upper, image_type[2:]) if word in COMPONENT_WORDS]
    if Component.FIELD in words:  # Philips says REAL of it in the standard element
        return Component.FIELD
    if standard.lower() in (Component.PHASE, Component.REAL, Component.IMAGINARY):
        return Component(standard.lower())
    found = next(iter(words), None)
    if found is not None:
        return found
    return Component(said.component) if said.component else Component.MAGNITUDE


def seconds_of_day(time: str) -> float | None:
    """TM text (hhmmss.ffffff) as seconds."""
    try:
        return int(time[:2]) * 3600 + int(time[2:4]) * 60 + float(time[4:13] or 0)
    except ValueError:
        return None


def _diffusion(elements: Elements, said: Said) -> tuple[float | None, Vector | None, bool]:
    bvalue = elements.number(BVALUE)
    bvalue = said.bvalue if bvalue is None else bvalue
    gradient = elements.item(DIRECTION_SEQUENCE).vector(DIFFUSION_GRADIENT) or elements.vector(DIFFUSION_GRADIENT)
    gradient = unit(gradient) or said.gradient_lps
    isotropic = elements.text(DIRECTIONALITY) == "ISOTROPIC" or said.isotropic
    if not bvalue or bvalue < 0:
        return (None if bvalue is None or bvalue < 0 else 0.0), None, False
    return bvalue, None if isotropic else gradient, isotropic


def _first_tile(elements: Elements, corner: Vector | None, plane: Orientation | None, said: Said) -> Vector | None:
    """Centre of the first voxel of the first tile.

    A mosaic's own position is that of a plane as large as the whole mosaic, centred where the slice is
    (https://nipy.org/nibabel/dicom/dicom_mosaic.html).
    """
    spacing = elements.numbers(PIXEL_SPACING)
    rows, columns = elements.integer(ROWS), elements.integer(COLUMNS)
    if corner is None or plane is None or len(spacing) != 2 or not rows or not columns or not said.tiles:
        return None
    right_mm = spacing[1] * (columns - columns / said.tile_columns) / 2
    down_mm = spacing[0] * (rows - rows / said.tile_rows) / 2
    x, y, z = (corner[i] + plane[i] * right_mm + plane[3 + i] * down_mm for i in range(3))
    return x, y, z
