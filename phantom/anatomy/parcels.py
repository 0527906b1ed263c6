"""Regions of the body whose truth is known, in body coordinates (MNI mm): name, side, number in label maps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Side of the patient; what lies across the midline has neither."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"


class Structure(StrEnum):
    """A named part of the body."""

    PRECENTRAL_LEG = "precentral gyrus, leg"
    PRECENTRAL_HAND = "precentral gyrus, hand"
    PRECENTRAL_BULBAR = "precentral gyrus, bulbar"
    POSTCENTRAL = "postcentral gyrus"
    PREMOTOR = "premotor cortex"
    SMA = "supplementary motor area"
    FRONTAL = "frontal lobe"
    TEMPORAL = "temporal lobe"
    PARIETAL = "parietal lobe"
    OCCIPITAL = "occipital lobe"
    THALAMUS = "thalamus"
    CAUDATE = "caudate"
    PUTAMEN = "putamen"
    PALLIDUM = "pallidum"
    HIPPOCAMPUS = "hippocampus"
    AMYGDALA = "amygdala"
    MOTOR_WHITE = "motor white matter"
    WHITE = "cerebral white matter"
    CALLOSUM = "corpus callosum"
    VENTRICLE = "lateral ventricle"
    CEREBELLUM = "cerebellum"
    BRAINSTEM = "brain stem"
    CORD_C1 = "spinal cord, C1"
    CORD_C2 = "spinal cord, C2"
    CORD_C3 = "spinal cord, C3"
    CORD_C4 = "spinal cord, C4"
    CORD_C5 = "spinal cord, C5"
    CORD_C6 = "spinal cord, C6"
    CORD_C7 = "spinal cord, C7"


MIDLINE = frozenset(
    {Structure.CALLOSUM, Structure.BRAINSTEM} | {s for s in Structure if s.value.startswith("spinal cord")}
)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A structure on a side of the patient."""

    structure: Structure
    side: Side


# The number of a parcel in a label map is its place here, from 1; 0 is none of them.
PARCELS: tuple[Parcel, ...] = tuple(
    Parcel(structure, side)
    for structure in Structure
    for side in ((Side.BOTH,) if structure in MIDLINE else (Side.LEFT, Side.RIGHT))
)
LABEL: dict[Parcel, int] = {parcel: number for number, parcel in enumerate(PARCELS, start=1)}
