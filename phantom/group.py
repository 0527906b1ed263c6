"""Controls: healthy digital patients of all ages and both sexes, with the slopes that norms must find again.

Sizes that follow the norms' own targets: thickness -0.004 mm a year, 0.02 mm between the sexes, 0.12 mm between people;
FA of tracts -0.0008 a year, 0.03 between people; ventricles 1.5 per cent a year. All are estimates of this size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from phantom.anatomy.bundles import tubes
from phantom.anatomy.change import Bump
from phantom.anatomy.parcels import PARCELS, Parcel, Side, Structure
from phantom.disease import BundleChange, Part, radial_factor, tract_fa
from phantom.examination import Examination

REFERENCE_YEARS = 50.0  # the body as it is shipped
AGES_YEARS = (40.0, 75.0)
CORTEX = (
    Structure.PRECENTRAL_LEG,
    Structure.PRECENTRAL_HAND,
    Structure.PRECENTRAL_BULBAR,
    Structure.POSTCENTRAL,
    Structure.PREMOTOR,
    Structure.SMA,
    Structure.FRONTAL,
    Structure.TEMPORAL,
    Structure.PARIETAL,
    Structure.OCCIPITAL,
)
CORTICAL: tuple[Parcel, ...] = tuple(parcel for parcel in PARCELS if parcel.structure in CORTEX)
TRACTS: tuple[tuple[str, Side], ...] = tuple(dict.fromkeys((tube.name, side) for tube, side in tubes()))
COMMON_SHARE = 0.5  # of the variance between people: what all regions of a person have in common
# The sphere that grows as the ventricles do, body coordinates (MNI mm).
VENTRICLES = ((0.0, -10.0, 18.0), 22.0)


class Sex(StrEnum):
    """As DICOM writes it."""

    FEMALE = "F"
    MALE = "M"


@dataclass(frozen=True, slots=True)
class Population:
    """Slopes and spreads of a group: the truth of its norms. women_mm: how much thicker their cortex is."""

    thickness_mm_year: float = -0.004
    women_mm: float = 0.02
    thickness_sd_mm: float = 0.12
    fa_year: float = -0.0008
    fa_sd: float = 0.03
    ventricles_year: float = 0.015

    def thickness_mm(self, age_years: float, sex: Sex) -> float:
        """Mean thickness of people of an age and sex, less that of men of the reference age."""
        return self.thickness_mm_year * (age_years - REFERENCE_YEARS) + self.women_mm * (sex is Sex.FEMALE)


@dataclass(frozen=True, slots=True)
class Control:
    """A healthy person: departures of thickness (mm) and FA from the reference, mean and own part together.

    It can stand where a disease stands in an examination.
    """

    seed: int
    age_years: float
    sex: Sex
    thickness_mm: Mapping[Parcel, float]
    fa: float
    ventricles_year: float
    name: str = "control"
    severity: Mapping[tuple[Part, Side], float] = field(default_factory=dict)

    def thinning_mm(self) -> dict[Parcel, float]:
        """How much thinner (thicker, when negative) the cortex of a parcel is, mm."""
        return {parcel: -mm for parcel, mm in self.thickness_mm.items()}

    def diffusivity(self) -> dict[Parcel, float]:
        """Grey structures are those of the reference."""
        return {}

    def bundles(self) -> dict[tuple[str, Side], BundleChange]:
        """Every tract has the person's FA, through radial diffusivity."""
        change = BundleChange(radial_factor(1 + self.fa / tract_fa(1.0)))
        return dict.fromkeys(TRACTS, change)

    def atrophy(self, years: float) -> tuple[Bump, ...]:
        """The ventricles as they are `years` after (before, when negative) the person's age."""
        centre, sigma = VENTRICLES
        growth = (1 + self.ventricles_year) ** (self.age_years + years - REFERENCE_YEARS) - 1
        return (Bump(centre, sigma, _amount(growth)),)


def _amount(change: float) -> float:
    """Amount of a bump that adds a share `change` to the sphere of one sigma about its centre.

    The sphere that now ends at sigma ended at sigma (1 + a e^-1/2) before: its volume changed by that factor to the -3.
    """
    return float(((1 + change) ** (-1 / 3) - 1) * np.exp(0.5))


def controls(count: int, seed: int, population: Population | None = None) -> tuple[Control, ...]:
    """So many people, women and men by turns, ages even over the range; the same seed gives the same people.

    Person n is the same in a larger group of the seed.
    """
    model = population or Population()
    return tuple(
        _control(np.random.default_rng(own), number, model)
        for number, own in enumerate(np.random.SeedSequence(seed).spawn(count))
    )


def _control(random: np.random.Generator, number: int, model: Population) -> Control:
    age = float(random.uniform(*AGES_YEARS))
    sex = tuple(Sex)[number % 2]
    common = np.sqrt(COMMON_SHARE) * random.standard_normal()
    own = np.sqrt(1 - COMMON_SHARE) * random.standard_normal(len(CORTICAL))
    mean = model.thickness_mm(age, sex)
    thickness = mean + model.thickness_sd_mm * (common + own)
    fa = model.fa_year * (age - REFERENCE_YEARS) + model.fa_sd * random.standard_normal()
    return Control(
        seed=int(random.integers(2**31)),
        age_years=age,
        sex=sex,
        thickness_mm=dict(zip(CORTICAL, thickness.tolist(), strict=True)),
        fa=float(fa),
        ventricles_year=model.ventricles_year,
    )


def examinations(group: tuple[Control, ...], like: Examination) -> tuple[Examination, ...]:
    """One examination of each person of a group, as `like` in all else: each seed is a body and a noise of its own."""
    return tuple(replace(like, disease=control, seed=control.seed) for control in group)
