"""GE: b-value with the scanner's offset, directions in the frame of the image, component and counts as numbers."""

from __future__ import annotations

from dicom_io.elements import Elements, Vector
from dicom_io.vendors.said import Orientation, Said, cross, in_patient

ACQUISITION, RELATIONAL, SERIES, PARAMETERS = "GEMS_ACQU_01", "GEMS_RELA_01", "GEMS_SERS_01", "GEMS_PARM_01"
PHASE_ENCODING = 0x00181312
IMAGES_IN_ACQUISITION = 0x00201002
TEMPORAL_POSITIONS = 0x00200105
BVALUE_OFFSET = 100_000  # b = 1000 is stored as 1000001000 by many releases; no real b-value reaches the modulus
COMPONENTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}
FIELD_SEQUENCE = "B0MAP"
FIELD_FLAG = 2  # of (0043,1030) in a B0 map: field in place of magnitude (0); seen on SIGNA Architect DV27
NORM_RANGE = (0.03, 0.97)  # a direction of such a length scales b: b_effective = b |g|^2 (dcm2niix issues 163, 245)


def said(elements: Elements, orientation: Orientation | None) -> Said:
    """Diffusion, component, pulse sequence and counts of one GE instance."""
    named = (elements.text(elements.private(ACQUISITION, 0x0019, element)) for element in (0x9E, 0x9C))
    sequence = " ".join(name for name in named if name)
    flag = elements.integer(elements.private(PARAMETERS, 0x0043, 0x30))
    component = COMPONENTS.get(elements.integer(elements.private(PARAMETERS, 0x0043, 0x2F)) or 0, "")
    if FIELD_SEQUENCE in sequence.upper() and flag == FIELD_FLAG:
        component = "field"
    locations = elements.integer(elements.private(RELATIONAL, 0x0021, 0x4F))
    instances = elements.integer(IMAGES_IN_ACQUISITION) or elements.integer(elements.private(SERIES, 0x0025, 0x07))
    times = elements.integer(TEMPORAL_POSITIONS)
    if instances is not None and instances == locations and times:
        instances *= times  # epiRT counts the images of one volume, other sequences those of the series
    bvalue, direction = _diffusion(elements)
    return Said(
        bvalue=bvalue,
        gradient_lps=_to_patient(direction, orientation, elements.text(PHASE_ENCODING)),
        component=component,
        sequence=sequence,
        perfusion=bool(elements.text(elements.private(PARAMETERS, 0x0043, 0xA4))),
        slices=locations,
        volumes=times,
        instances=instances,
    )


def _diffusion(elements: Elements) -> tuple[float | None, Vector | None]:
    """B-value and direction along frequency, phase and slice as stored."""
    values = elements.numbers(elements.private(PARAMETERS, 0x0043, 0x39))
    if not values:
        return None, None
    bvalue = float(values[0]) % BVALUE_OFFSET
    parts = [elements.number(elements.private(ACQUISITION, 0x0019, element)) for element in (0xBB, 0xBC, 0xBD)]
    if bvalue <= 0 or parts[0] is None or parts[1] is None or parts[2] is None:
        return max(bvalue, 0.0), None
    direction = (parts[0], parts[1], parts[2])
    norm = sum(part * part for part in direction) ** 0.5
    if NORM_RANGE[0] < norm < NORM_RANGE[1]:
        bvalue = 5.0 * round(bvalue * norm * norm / 5.0)
    return bvalue, direction


def _to_patient(direction: Vector | None, orientation: Orientation | None, phase_encoding: str) -> Vector | None:
    """Gradient frame -> patient; axes and signs as dcm2niix (geCorrectBvecs), which validated them on GE's own data."""
    if direction is None or orientation is None:
        return None
    x, y, z = direction
    normal = cross(orientation[:3], orientation[3:])
    if abs(normal[1]) > max(abs(normal[0]), abs(normal[2])):  # coronal; before axes are exchanged, as dcm2niix does it
        y = -y
    if phase_encoding.upper().startswith("R"):
        x, y = y, -x
    return in_patient((x, y, z), orientation, flip_normal=True)
