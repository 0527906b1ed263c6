"""One typed, immutable view of an instance's header and of a series, every vendor behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

Vector = tuple[float, float, float]


class Component(StrEnum):
    """Part of the complex signal that pixel values are (or a field map's own kind)."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    REAL = "real"
    IMAGINARY = "imaginary"
    FIELD = "field"


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """One image plane (a classic instance, a frame of an enhanced one) or one tiled volume (mosaic, VFRAME).

    Positions and directions are LPS patient coordinates as DICOM has them; None = not said.
    """

    position_lps: Vector | None
    orientation_lps: tuple[float, float, float, float, float, float] | None
    te_ms: float | None
    bvalue: float | None  # s/mm2
    gradient_lps: Vector | None  # unit; None at b = 0, for trace images and when not said
    isotropic: bool  # a trace-weighted image, not a direction
    component: Component
    temporal_index: int | None
    slice_time_s: float | None


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """What Betz reads of one instance, pixel data aside. None or "" = not said."""

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_uid: str
    series_uid: str
    identity: str  # digest of patient ID, issuer, birth date, sex; never the values themselves
    age_years: float | None
    sex: str
    study_date: str
    acquired: str
    quality_control_subject: bool
    modality: str
    manufacturer: str
    model: str
    software: str
    device_serial: str
    field_t: float | None
    series_number: int | None
    instance_number: int | None
    series_description: str
    protocol_name: str
    sequence_name: str
    body_part: str
    coil: str
    patient_position: str
    image_type: tuple[str, ...]
    scanning_sequence: tuple[str, ...]
    sequence_variant: tuple[str, ...]
    scan_options: tuple[str, ...]
    three_d: bool | None
    tr_ms: float | None
    ti_ms: float | None
    flip_deg: float | None
    echo_train: int | None
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None
    slice_spacing_mm: float | None
    frame_of_reference_uid: str
    tiles: int  # slices in one tiled instance, 0 when not tiled
    tile_rows: int
    tile_columns: int
    tile_normal_lps: Vector | None
    frames: tuple[FrameHeader, ...]
    expected_slices: int | None  # vendor or standard counts, for completeness
    expected_volumes: int | None


@dataclass(frozen=True, slots=True)
class SeriesHeader:
    """All instances of one series, ordered by instance number then UID."""

    instances: tuple[InstanceHeader, ...]

    @property
    def first(self) -> InstanceHeader:
        """Return the first instance; a series has at least one."""
        return self.instances[0]
