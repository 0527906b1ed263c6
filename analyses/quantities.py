"""Every quantity and every site, once: name, meaning, unit (UCUM), DICOM code, plausible range.

SR, maps, JSON, page, docs and truth files read here. Codes: DICOM PS3.16 context groups 7263, 7140, 7153; `99BETZ` is
private.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept: value, coding scheme designator, meaning (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str


class Concern(StrEnum):
    """In which direction damage moves a quantity."""

    LOW = "low"
    HIGH = "high"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measurable thing. `plausible`: outside it a value is a fault of units or data, not of the patient."""

    name: str
    meaning: str
    unit: str  # UCUM
    code: Code
    plausible: tuple[float, float]
    concern: Concern = Concern.NONE
    decimals: int = 3
    scale: int = 1  # integer scale of the classic MR copy, written in its description


FA = Quantity(
    "FA", "Fractional anisotropy", "1", Code("110808", "DCM", "Fractional Anisotropy"), (0.0, 1.0), Concern.LOW, 3, 1000
)
MD = Quantity(
    "MD", "Mean diffusivity", "um2/ms", Code("113202", "DCM", "Mean Diffusivity"), (0.0, 4.0), Concern.HIGH, 3, 1000
)
AD = Quantity(
    "AD", "Axial diffusivity", "um2/ms", Code("113204", "DCM", "Axial Diffusivity"), (0.0, 5.0), Concern.NONE, 3, 1000
)
RD = Quantity(
    "RD", "Radial diffusivity", "um2/ms", Code("113203", "DCM", "Radial Diffusivity"), (0.0, 4.0), Concern.HIGH, 3, 1000
)
VOLUME = Quantity("volume", "Volume", "ml", Code("118565006", "SCT", "Volume"), (0.0, 3000.0), Concern.NONE, 0)

QUANTITIES: dict[str, Quantity] = {q.name: q for q in (FA, MD, AD, RD, VOLUME)}

BRAIN = "brain"
WHITE_MATTER = "cerebral white matter"

SITES: dict[str, Code] = {
    BRAIN: Code("12738006", "SCT", "Brain"),
    WHITE_MATTER: Code("68523003", "SCT", "Cerebral White Matter"),
}
