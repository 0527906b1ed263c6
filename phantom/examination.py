"""What is asked of the digital patient: who, how ill, which scanner, which series, spoilt how."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from phantom.disease import EARLY, Condition
from phantom.sequences.artefacts import Artefacts
from phantom.sequences.dwi import Protocol


class Dialect(StrEnum):
    """How a maker's scanner writes its series."""

    PHILIPS = "philips"
    PHILIPS_ENHANCED = "philips-enhanced"
    SIEMENS = "siemens"
    SIEMENS_XA = "siemens-xa"
    GE = "ge"


class Technique(StrEnum):
    """A part of the examination; each adds its series."""

    T1 = "t1"
    DWI = "dwi"


RESOLUTIONS_MM = (1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class Examination:
    """One visit of one digital patient; the same examination gives the same bytes and the same UIDs.

    resolution_mm: voxel of the diffusion series; the T1 has half of it, not less than 1 mm. snr: white matter at b = 0;
    0 = no noise. visit: 0 = first; years_between: from one visit to the next. breakages: names of `breakages`.
    """

    disease: Condition = EARLY
    seed: int = 7
    dialect: Dialect = Dialect.PHILIPS
    resolution_mm: float = 2.0
    snr: float = 30.0
    visit: int = 0
    years_between: float = 0.5
    techniques: tuple[Technique, ...] = tuple(Technique)
    diffusion: Protocol = field(default_factory=Protocol)
    artefacts: Artefacts = field(default_factory=Artefacts)
    breakages: tuple[str, ...] = ()
