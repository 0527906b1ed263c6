"""Philips: diffusion of older releases, inversion delay, technique, component, and the counts of a whole series."""

from __future__ import annotations

from dicom_io.elements import Elements, Vector
from dicom_io.vendors.said import Orientation, Said, unit

IMAGING, MR, MR_LATER = "PHILIPS IMAGING DD 001", "PHILIPS MR IMAGING DD 001", "PHILIPS MR IMAGING DD 005"
COMPONENTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary", "B0": "field"}
ISOTROPIC = "I"  # of (2001,1004); P, M and S are the image axes, O is oblique
MR_LATEST = "PHILIPS MR IMAGING DD 006"
FRAME_GROUP = 0x2005140F  # private functional group of enhanced objects, like a classic instance of the frame
LABELS = ("LABEL", "CONTROL")  # of (2005,1429), arterial spin labelling


def said(elements: Elements, orientation: Orientation | None) -> Said:  # noqa: ARG001  directions are in patient space
    """Diffusion, preparation, component and counts of one Philips instance."""

    def number(element: int) -> int | None:
        return elements.integer(elements.private(IMAGING, 0x2001, element))

    bvalue = elements.number(elements.private(IMAGING, 0x2001, 0x03))
    inverted = elements.text(elements.private(IMAGING, 0x2001, 0x1C)) == "INV"
    delay = elements.number(elements.private(IMAGING, 0x2001, 0x1B))
    return Said(
        bvalue=bvalue,
        gradient_lps=_gradient(elements) if bvalue else None,
        isotropic=elements.text(elements.private(IMAGING, 0x2001, 0x04)) == ISOTROPIC,
        component=COMPONENTS.get(elements.text(elements.private(MR, 0x2005, 0x11)), ""),
        sequence=elements.text(elements.private(IMAGING, 0x2001, 0x20)),
        ti_ms=delay if inverted and delay else None,
        perfusion=elements.text(elements.private(MR_LATER, 0x2005, 0x29)) in LABELS,
        slices=number(0x18),
        echoes=number(0x14),
        volumes=_volumes(elements, number(0x81), number(0x17)),
    )


def volume_number(frame: Elements) -> int:
    """Number of a diffusion volume in the order of acquisition, by an enhanced object's frame; 0 = not said."""
    own = frame.item(FRAME_GROUP)
    return own.integer(own.private(MR_LATEST, 0x2005, 0x96)) or 0


def _gradient(elements: Elements) -> Vector | None:
    parts = [elements.number(elements.private(MR, 0x2005, element)) for element in (0xB0, 0xB1, 0xB2)]
    if parts[0] is None or parts[1] is None or parts[2] is None:
        return None
    return unit((parts[0], parts[1], parts[2]))


def _volumes(elements: Elements, dynamics: int | None, phases: int | None) -> int | None:
    """Volumes of one echo and one component: dynamics x cardiac phases, or b = 0 and directions.

    With two b-values, (2005,1415) counts b = 0 and every direction, not the trace image; with more it does not tell.
    """
    bvalues = elements.integer(elements.private(MR_LATER, 0x2005, 0x14))
    orientations = elements.integer(elements.private(MR_LATER, 0x2005, 0x15))
    repeats = (dynamics or 1) * (phases or 1) if dynamics else None
    if bvalues is None or bvalues < 2:
        return repeats
    return orientations * repeats if bvalues == 2 and orientations and repeats else None
