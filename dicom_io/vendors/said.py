"""What a maker's private elements say about one instance, in terms that every maker shares."""

from __future__ import annotations

from dataclasses import dataclass

from dicom_io.elements import Vector

Orientation = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Said:
    """Private knowledge of one instance; None, "" or 0 = not said."""

    bvalue: float | None = None  # s/mm2
    gradient_lps: Vector | None = None
    isotropic: bool = False
    component: str = ""  # a value of header.Component
    sequence: str = ""  # the maker's own name of the pulse sequence
    coil: str = ""
    ti_ms: float | None = None
    perfusion: bool = False
    spectroscopy: str = ""  # as MR Spectroscopy Acquisition Type (0018,9200)
    slices: int | None = None
    volumes: int | None = None  # of one echo and one component
    echoes: int | None = None
    instances: int | None = None  # of the whole series
    tiles: int = 0
    tile_columns: int = 0  # tiles side by side in the image
    tile_rows: int = 0  # tiles one below another
    tile_normal: Vector | None = None  # direction from one tile to the next
    first_tile_lps: Vector | None = None  # where not computed from the image's own position


NOTHING = Said()


def unit(vector: Vector | None) -> Vector | None:
    """The vector with length 1, None for a zero or absent one."""
    if vector is None:
        return None
    length = sum(part * part for part in vector) ** 0.5
    return (vector[0] / length, vector[1] / length, vector[2] / length) if length > 1e-3 else None


def in_patient(image: Vector | None, orientation: Orientation | None, flip_normal: bool = False) -> Vector | None:
    """Direction given along rows, columns and slice normal of the image -> LPS patient coordinates."""
    if image is None or orientation is None:
        return None
    row, column = orientation[:3], orientation[3:]
    sign = -1.0 if flip_normal else 1.0
    along = cross(row, column)
    x, y, z = (image[0] * row[i] + image[1] * column[i] + sign * image[2] * along[i] for i in range(3))
    return unit((x, y, z))


def cross(a: Vector, b: Vector) -> Vector:
    """Vector product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
