"""Which part of the body a series shows, and whether it is a body at all: what is said, coil, geometry, then names."""

from __future__ import annotations

import math
import re

from analyses.contract import Body, RoleKind
from dicom_io.frames import normal
from dicom_io.header import PHANTOM_WORDS
from dicom_io.view import View

HEAD_PARTS = re.compile(r"head|brain|skull|cerebr|iac|orbit|pituitary|sella|neuro|schaedel|kopf|tete", re.IGNORECASE)
CORD_PARTS = re.compile(
    r"spine|cord|neck|[ctl].?spine|cervic|thorac|lumbar|sacr|[ctl]wk|hws|bws|lws|rachis", re.IGNORECASE
)
CORD_NAMES = re.compile(r"\b([ctl].?spine|cord|spine|cervical|spinal|myel\w*|hws|bws|lws|sc)\b", re.IGNORECASE)
HEAD_NAMES = re.compile(r"\b(brain|head|mprage|flair|hirn|cerebr\w*)\b", re.IGNORECASE)
HEAD_COIL = re.compile(r"head|\bHE\d|\bHE[AP]|\bHC\d|\bH\d\d|\bHL|\bHU|\d+HA?P?\b|HNS|brain", re.IGNORECASE)
SPINE_COIL = re.compile(r"spine|\bSP\d|\bNE\d|\bNC\d|neck|CTL|\bN\d\d|\bS\d\d|PA_?\d", re.IGNORECASE)
# a sagittal stack as narrow and as tall shows the cord: the head is 140 mm wide and fits into 200 mm
CORD_SAGITTAL_WIDTH_MM, CORD_SAGITTAL_HEIGHT_MM = 75.0, 220.0
CORD_AXIAL_FIELD_MM = 150.0  # an axial field of view that no head fits into
SAGITTAL, AXIAL = 0, 2
ALIGNED = 0.8  # cosine of 37 degrees: the plane is named after that axis
# a head cannot be: a stack of several volumes too thin for a brain, turned in its plane as no head is
SLIVER_MM = 40.0
TURNED_DEG = 30.0
COLDEST_LIVING_C = 30.0  # well below any patient in a scanner, well above a room


def is_digital_patient(view: View) -> bool:
    """Whether the package `phantom` wrote this: no person, but a head like one, so the rest of the rules apply."""
    return view.first.digital_patient


def phantom(view: View) -> str:
    """Why this is the image of a test object and not of a body; "" when nothing says so."""
    if is_digital_patient(view):
        return ""
    if view.first.quality_control_subject:
        return "registered as a test object"
    for what, text in (("series", view.names), ("study", view.study)):
        found = PHANTOM_WORDS.search(text)
        if found:
            return f"the name of the {what} says {found[0]}"
    degrees = view.temperature_c
    if degrees is not None and degrees < COLDEST_LIVING_C:
        return f"water and NAA lie as far apart as at {degrees:.0f} degrees Celsius: not a living person"
    coverage, turned = view.arranged.coverage_mm, _turned_deg(view)
    if view.arranged.volumes > 1 and coverage is not None and coverage < SLIVER_MM and turned > TURNED_DEG:
        return f"a stack of {coverage:.0f} mm turned {turned:.0f} degrees in its plane fits a test object, not a head"
    return ""


def body(view: View, kind: RoleKind) -> tuple[Body, str]:
    """Part of the body with the fact that says so."""
    reason = phantom(view)
    if reason:
        return Body.PHANTOM, reason
    if kind is RoleKind.UNKNOWN and not any(plane.frame.position_lps for plane in view.arranged.planes):
        return Body.NONE, "no image"
    shape = _shape(view)
    if shape:
        return Body.CORD, shape
    part = view.first.body_part
    if HEAD_PARTS.search(part):
        return Body.BRAIN, f"body part {part}"
    if CORD_PARTS.search(part):
        return Body.CORD, f"body part {part}"
    if part:
        return Body.NONE, f"body part {part}"
    return _by_coil(view) or _by_name(view) or (Body.NONE, "nothing tells the part of the body")


def _by_coil(view: View) -> tuple[Body, str] | None:
    coil = view.first.coil
    head, spine = HEAD_COIL.search(coil), SPINE_COIL.search(coil)
    if head and not CORD_NAMES.search(view.names):
        return Body.BRAIN, f"coil {coil}"
    if spine and not head:
        return Body.CORD, f"coil {coil}"
    return None


def _by_name(view: View) -> tuple[Body, str] | None:
    if CORD_NAMES.search(view.names):
        return Body.CORD, "the series' name"
    if HEAD_NAMES.search(view.names):
        return Body.BRAIN, "the series' name"
    return None


def _shape(view: View) -> str:
    """Geometry that only the cord has; "" otherwise."""
    first, along = view.first, next((normal(p.frame.orientation_lps) for p in view.arranged.planes), None)
    spacing, coverage = first.pixel_spacing_mm, view.arranged.coverage_mm
    if along is None or spacing is None or view.arranged.orientations != 1 or first.spectroscopy:
        return ""
    rows, columns = first.tile_rows or first.rows, first.tile_columns or first.columns
    height, width = rows * spacing[0], columns * spacing[1]
    unfinished = view.arranged.slices < (first.expected_slices or 0)
    if abs(along[SAGITTAL]) > ALIGNED and coverage is not None and view.arranged.slices > 1 and not unfinished:
        if coverage <= CORD_SAGITTAL_WIDTH_MM and height >= CORD_SAGITTAL_HEIGHT_MM:
            return f"sagittal stack {coverage:.0f} mm wide and {height:.0f} mm tall"
    elif abs(along[AXIAL]) > ALIGNED and 0 < max(height, width) <= CORD_AXIAL_FIELD_MM:
        return f"axial field of view of {max(height, width):.0f} mm"
    return ""


def _turned_deg(view: View) -> float:
    """Angle between the rows and the nearest axis of the patient, within the plane."""
    orientation = next((p.frame.orientation_lps for p in view.arranged.planes if p.frame.orientation_lps), None)
    if orientation is None:
        return 0.0
    return math.degrees(math.acos(min(1.0, max(abs(part) for part in orientation[:3]))))
