"""How an instance was acquired: timing, preparation, coil and spacing, from classic or from enhanced elements.

Enhanced attributes (PS3.3 C.8.13) are told in the classic vocabulary of Scanning Sequence and Sequence Variant
(C.8.3.1.1), so that one set of rules reads both.
"""

from __future__ import annotations

from dataclasses import dataclass

from dicom_io.elements import EMPTY, Elements
from dicom_io.frames import FRAME_GROUPS, SHARED_GROUPS

REPETITION_TIME, FLIP_ANGLE, ECHO_TRAIN, RF_ECHO_TRAIN = 0x00180080, 0x00181314, 0x00180091, 0x00189240
INVERSION_TIME, INVERSION_TIMES, INVERSION_RECOVERY = 0x00180082, 0x00189079, 0x00189009
THICKNESS, SLICE_SPACING, PIXEL_SPACING = 0x00180050, 0x00180088, 0x00280030
COIL_NAME, COIL_SEQUENCE, COIL_ELEMENTS, COIL_ELEMENT = 0x00181250, 0x00189042, 0x00189045, 0x00189047
SCANNING_SEQUENCE, SEQUENCE_VARIANT, ANGIO_FLAG = 0x00180020, 0x00180021, 0x00180025
ECHO_PULSE, ECHO_PLANAR, STEADY_STATE, SEGMENTED = 0x00189008, 0x00189018, 0x00189017, 0x00189033
SPOILING, TRANSFER, TIME_OF_FLIGHT, PHASE_CONTRAST = 0x00189016, 0x00189020, 0x00189015, 0x00189014
TIMING, MODIFIER, IMAGING_MODIFIER, MEASURES = 0x00189112, 0x00189115, 0x00189006, 0x00289110
COIL_NAMES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Timing and geometry that all frames share; None or () = not said.

    sequence_variant holds SK, MTC, SS, SP, MP, OSP of the standard, and TOF and PC for angiography.
    """

    tr_ms: float | None
    ti_ms: float | None
    flip_deg: float | None
    echo_train: int | None
    scanning_sequence: tuple[str, ...]
    sequence_variant: tuple[str, ...]
    coil: str
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None
    slice_spacing_mm: float | None


def acquisition(elements: Elements) -> Acquisition:
    """How the instance was acquired, by the elements of its kind."""
    if SHARED_GROUPS in elements or FRAME_GROUPS in elements:
        return _enhanced(elements)
    return _classic(elements)


def _classic(elements: Elements) -> Acquisition:
    angio = ("TOF",) if elements.text(ANGIO_FLAG) == "Y" else ()
    transfer = ("MTC",) if _is_on(elements.text(TRANSFER)) else ()
    return Acquisition(
        tr_ms=elements.number(REPETITION_TIME),
        ti_ms=elements.number(INVERSION_TIME) or None,
        flip_deg=elements.number(FLIP_ANGLE),
        echo_train=elements.integer(ECHO_TRAIN),
        scanning_sequence=elements.texts(SCANNING_SEQUENCE),
        sequence_variant=elements.texts(SEQUENCE_VARIANT) + angio + transfer,
        coil=elements.text(COIL_NAME),
        pixel_spacing_mm=_spacing(elements),
        slice_thickness_mm=_length(elements, THICKNESS),
        slice_spacing_mm=_length(elements, SLICE_SPACING),
    )


def _enhanced(elements: Elements) -> Acquisition:
    shared, first = elements.item(SHARED_GROUPS), elements.item(FRAME_GROUPS)

    def group(tag: int) -> Elements:
        return first.item(tag) if tag in first else shared.item(tag) if tag in shared else EMPTY

    timing, modifier, measures, coil = group(TIMING), group(MODIFIER), group(MEASURES), group(COIL_SEQUENCE)
    parts = sorted(item.text(COIL_ELEMENT) for item in coil.items(COIL_ELEMENTS))
    return Acquisition(
        tr_ms=timing.number(REPETITION_TIME),
        ti_ms=modifier.number(INVERSION_TIMES) or None,
        flip_deg=timing.number(FLIP_ANGLE),
        echo_train=timing.integer(ECHO_TRAIN) or timing.integer(RF_ECHO_TRAIN),
        scanning_sequence=_sequence(elements, modifier),
        sequence_variant=_variant(elements, modifier, group(IMAGING_MODIFIER)),
        coil=" ".join([coil.text(COIL_NAME), *parts[:COIL_NAMES_SHOWN]]).strip(),
        pixel_spacing_mm=_spacing(measures),
        slice_thickness_mm=_length(measures, THICKNESS),
        slice_spacing_mm=_length(measures, SLICE_SPACING) or _length(elements, SLICE_SPACING),
    )


def _sequence(elements: Elements, modifier: Elements) -> tuple[str, ...]:
    kind = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}.get(elements.text(ECHO_PULSE), ())
    planar = ("EP",) if elements.text(ECHO_PLANAR) == "YES" else ()
    inverted = ("IR",) if modifier.text(INVERSION_RECOVERY) == "YES" else ()
    return (*kind, *planar, *inverted) or elements.texts(SCANNING_SEQUENCE)


def _variant(elements: Elements, modifier: Elements, imaging: Elements) -> tuple[str, ...]:
    said = {
        "SP": _is_on(modifier.text(SPOILING) or elements.text(SPOILING)),
        "SS": _is_on(elements.text(STEADY_STATE)),
        "SK": elements.text(SEGMENTED) not in ("", "SINGLE"),
        "MTC": _is_on(imaging.text(TRANSFER) or elements.text(TRANSFER)),
        "TOF": elements.text(TIME_OF_FLIGHT) == "YES",
        "PC": elements.text(PHASE_CONTRAST) == "YES",
    }
    return tuple(name for name, is_so in said.items() if is_so)


def _is_on(value: str) -> bool:
    return value not in ("", "NONE", "NO", "UNKNOWN")


def _spacing(elements: Elements) -> tuple[float, float] | None:
    values = elements.numbers(PIXEL_SPACING)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _length(elements: Elements, tag: int) -> float | None:
    """A length in mm; GE and others write a negative spacing for the sense of the slices."""
    value = elements.number(tag)
    return abs(value) if value else None
