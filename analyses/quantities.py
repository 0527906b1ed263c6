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

THICKNESS = Quantity(
    "thickness",
    "Cortical thickness",
    "mm",
    Code("CTH", "99BETZ", "Cortical thickness"),
    (0.0, 8.0),
    Concern.LOW,
    2,
    1000,
)
VOLUME_CHANGE = Quantity(
    "volume change",
    "Change of volume in a year",
    "%/a",
    Code("PCTYR", "99BETZ", "Annualized percent change"),
    (-50.0, 50.0),
    Concern.LOW,
    2,
    100,
)

QUANTITIES: dict[str, Quantity] = {q.name: q for q in (FA, MD, AD, RD, VOLUME, THICKNESS, VOLUME_CHANGE)}

BRAIN = "brain"
WHITE_MATTER = "cerebral white matter"

# Parts of gyri have no code in the context groups of DICOM; `phantom.anatomy.parcels` uses the same names.
SITES: dict[str, Code] = {
    BRAIN: Code("12738006", "SCT", "Brain"),
    WHITE_MATTER: Code("68523003", "SCT", "Cerebral White Matter"),
    "precentral gyrus, leg": Code("PRECENTRAL_LEG", "99BETZ", "Precentral gyrus, leg area"),
    "precentral gyrus, hand": Code("PRECENTRAL_HAND", "99BETZ", "Precentral gyrus, hand area"),
    "precentral gyrus, bulbar": Code("PRECENTRAL_BULB", "99BETZ", "Precentral gyrus, bulbar area"),
    "postcentral gyrus": Code("POSTCENTRAL", "99BETZ", "Postcentral gyrus"),
    "premotor cortex": Code("PREMOTOR", "99BETZ", "Premotor cortex"),
    "supplementary motor area": Code("SMA", "99BETZ", "Supplementary motor area"),
    "frontal lobe": Code("83251001", "SCT", "Frontal lobe"),
    "temporal lobe": Code("78277001", "SCT", "Temporal lobe"),
    "parietal lobe": Code("16630005", "SCT", "Parietal lobe"),
    "occipital lobe": Code("31065004", "SCT", "Occipital lobe"),
    "thalamus": Code("42695009", "SCT", "Thalamus"),
    "caudate": Code("11000004", "SCT", "Caudate Nucleus"),
    "putamen": Code("89278009", "SCT", "Putamen"),
    "pallidum": Code("14738005", "SCT", "Globus Pallidus"),
    "hippocampus": Code("5366008", "SCT", "Hippocampus"),
    "amygdala": Code("4958002", "SCT", "Amygdala"),
    "motor white matter": Code("MOTOR_WM", "99BETZ", "White matter under the motor cortex"),
    "corpus callosum": Code("88442005", "SCT", "Corpus callosum"),
    "lateral ventricle": Code("66720007", "SCT", "Lateral Ventricle"),
    "cerebellum": Code("113305005", "SCT", "Cerebellum"),
    "brain stem": Code("119238007", "SCT", "Brain Stem"),
}
