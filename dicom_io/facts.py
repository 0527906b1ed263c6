"""What a need may ask of a series: the facts of a header and its role, for the planner and the analyses."""

from __future__ import annotations

from analyses.contract import RoleKind, SeriesFacts
from dicom_io.classify import Role
from dicom_io.completeness import completeness
from dicom_io.frames import Component
from dicom_io.header import SeriesHeader
from dicom_io.layout import layout
from dicom_io.view import view

# words of Image Type: the pixel values are not the scanner's plain reconstruction
CHANGED = frozenset(("NORM", "PFN", "FIL", "FILTERED", "SCIC", "CLEAR_NORM"))


def facts(series: SeriesHeader, role: Role) -> SeriesFacts:
    """Facts of a series. `complete` is False when something is known to be missing; the sentence says what is known."""
    first, arranged, whole = series.first, layout(series), completeness(series)
    words = view(series).words
    spacing, between = first.pixel_spacing_mm, arranged.spacing_mm
    return SeriesFacts(
        series_uid=first.series_uid,
        number=first.series_number,
        description=first.series_description,
        role=role.kind,
        body=role.body,
        complete=whole.complete is not False,
        completeness=whole.sentence,
        original="DERIVED" not in words and not words & CHANGED,
        three_d=bool(first.three_d),
        tr_ms=first.tr_ms,
        te_ms=arranged.echoes_ms,
        ti_ms=first.ti_ms,
        flip_deg=first.flip_deg,
        field_t=first.field_t,
        volumes=arranged.volumes,
        slices=arranged.slices,
        voxel_mm=(spacing[0], spacing[1], between) if spacing and between else None,
        coverage_mm=arranged.coverage_mm,
        bvals=arranged.bvalues if role.kind is RoleKind.DWI else (),
        directions=arranged.directions,
        has_phase=bool({Component.PHASE, Component.REAL, Component.IMAGINARY} & set(arranged.components)),
        acquired=first.acquired,
    )
