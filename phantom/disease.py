"""What the disease does to the body: one table, each effect at severity 1 with its source, and the patients made of it.

value = healthy + severity x effect. Severity, 0...1, belongs to a part of the motor cortex in a hemisphere: weak left
limbs are a struck right hemisphere. Papers give means of groups; severity 1 is a late patient, half again as far
(estimate).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy.optimize import brentq

from phantom.anatomy import bundles
from phantom.anatomy.change import Bump
from phantom.anatomy.parcels import MIDLINE, Parcel, Side, Structure
from phantom.tissue import BUNDLE, BUNDLE_SHARE, HINDERED_MD, PROPERTIES, Tissue

HEMISPHERES = (Side.LEFT, Side.RIGHT)


class Part(StrEnum):
    """Part of the body whose motor neurons are struck."""

    LEG = "leg"
    HAND = "hand"
    BULBAR = "bulbar"


class Tract(StrEnum):
    """Bundles that the disease strikes; the value is the bundle's name."""

    LEG = bundles.LEG
    HAND = bundles.HAND
    BULBAR = bundles.BULBAR
    CALLOSUM_MOTOR = bundles.CALLOSUM_MOTOR


class Network(StrEnum):
    """Pairs of places whose activity goes together."""

    PREMOTOR_SENSORIMOTOR = "premotor cortex and sensorimotor network"
    PRECENTRAL_CEREBELLUM = "precentral gyrus and cerebellum VI"


class Parameter(StrEnum):
    """What an effect moves."""

    THICKNESS = "cortical thickness"
    ATROPHY = "change of volume"
    FA = "fractional anisotropy"
    DIFFUSIVITY = "mean diffusivity"
    DENSITY = "fibre density"
    MTR = "magnetisation transfer ratio"
    SUSCEPTIBILITY = "susceptibility of the deep layer"
    T2 = "T2 and T2* of the deep layer"
    FLAIR = "FLAIR signal"
    ACTIVATION = "activation in a motor task"
    CONNECTIVITY = "correlation at rest"
    NAA_CR = "tNAA / tCr"
    INOSITOL_CR = "mI / tCr"
    NAA_CHO = "tNAA / tCho"
    NAA_CHO_RATE = "change of tNAA / tCho"
    CORD_NAA_CR = "NAA / Cr of the cord"
    CORD_AREA = "cross-sectional area of the cord"
    CORD_AREA_RATE = "change of the cord's area"
    CORD_FA = "fractional anisotropy of the cord's lateral columns"


class Unit(StrEnum):
    """Unit of an effect; per cent are of the healthy value, a rate is a year's."""

    MM = "mm"
    PERCENT = "%"
    PERCENT_YEAR = "%/a"
    POINT = "percentage point"
    PPB = "ppb"
    CORRELATION = "1"


@dataclass(frozen=True, slots=True)
class Effect:
    """One row: what changes where, by how much at a severity, and who says so.

    course: (severity, change), straight lines between. The sites are Structures, Tracts or Networks.
    """

    parameter: Parameter
    sites: tuple[str, ...]
    unit: Unit
    course: tuple[tuple[float, float], ...]
    source: str


def _to(change: float) -> tuple[tuple[float, float], ...]:
    """From nothing to `change` at severity 1."""
    return (0.0, 0.0), (1.0, change)


EARLY_SEVERITY = 0.35
PRECENTRAL = (Structure.PRECENTRAL_LEG, Structure.PRECENTRAL_HAND, Structure.PRECENTRAL_BULBAR)
UPPER_CORD = (Structure.CORD_C1, Structure.CORD_C2, Structure.CORD_C3)
LOWER_CORD = (Structure.CORD_C4, Structure.CORD_C5, Structure.CORD_C6, Structure.CORD_C7)
CORD = UPPER_CORD + LOWER_CORD

# "Direction" and "size": which of the two the paper gives; the other is an estimate.
EFFECTS: tuple[Effect, ...] = (
    # Loss of grey matter is this thinning: 8 per cent of a precentral cortex of 2.5 mm, half as much about it.
    Effect(
        Parameter.THICKNESS,
        PRECENTRAL,
        Unit.MM,
        _to(-0.20),
        "10.1136/jnnp-2013-306839, 10.1136/jnnp-2012-302674; size: estimate from group means of 0.1 to 0.2 mm",
    ),
    Effect(
        Parameter.THICKNESS,
        (Structure.PREMOTOR, Structure.SMA, Structure.FRONTAL, Structure.TEMPORAL),
        Unit.MM,
        _to(-0.10),
        "10.3109/17482968.2010.516265 (direction); size: estimate, 4 per cent of the volume",
    ),
    Effect(
        Parameter.ATROPHY,
        (*PRECENTRAL, Structure.MOTOR_WHITE),
        Unit.PERCENT_YEAR,
        _to(-1.5),
        "10.1080/17482960802603841 (direction); size: estimate",
    ),
    Effect(
        Parameter.ATROPHY,
        (Structure.BRAINSTEM,),
        Unit.PERCENT_YEAR,
        _to(-1.0),
        "10.1080/17482960802603841 (direction); size: estimate",
    ),
    # What a voxel full of the tract loses in all, with the fibres of the next row. The axial diffusivity of the fibres
    # stays; their radial one takes what the loss of fibres leaves to explain (`radial_factor`).
    Effect(
        Parameter.FA, tuple(Tract), Unit.PERCENT, _to(-10.0), "10.1016/j.acra.2013.03.017, 10.1212/WNL.0b013e3181fb84d1"
    ),
    Effect(
        Parameter.DENSITY,
        tuple(Tract),
        Unit.PERCENT,
        _to(-6.0),
        "10.1007/s00415-013-7144-3 (direction); size: estimate",
    ),
    Effect(
        Parameter.DIFFUSIVITY,
        (Structure.THALAMUS, Structure.HIPPOCAMPUS, Structure.AMYGDALA),
        Unit.PERCENT,
        _to(5.0),
        "10.1007/s10072-013-1626-z",
    ),
    Effect(Parameter.MTR, PRECENTRAL, Unit.POINT, _to(-1.5), "10.3174/ajnr.A2356 (direction); size: estimate"),
    Effect(
        Parameter.MTR,
        (Tract.LEG, Tract.HAND, Tract.BULBAR),
        Unit.POINT,
        _to(-1.0),
        "10.1371/journal.pone.0178371 (direction); size: estimate",
    ),
    Effect(
        Parameter.SUSCEPTIBILITY,
        (Structure.PRECENTRAL_LEG, Structure.PRECENTRAL_HAND),
        Unit.PPB,
        _to(11.0),
        "10.2214/AJR.14.13459",
    ),
    Effect(
        Parameter.T2,
        PRECENTRAL,
        Unit.PERCENT,
        _to(-12.0),
        "10.1148/radiology.189.3.8234713 (direction); size: estimate",
    ),
    Effect(
        Parameter.FLAIR,
        (Tract.LEG, Tract.HAND, Tract.BULBAR),
        Unit.PERCENT,
        _to(15.0),
        "10.1007/s002340050836 (direction, on T2); size: estimate",
    ),
    Effect(
        Parameter.ACTIVATION,
        (*PRECENTRAL, Structure.SMA, Structure.PREMOTOR),
        Unit.PERCENT,
        ((0.0, 0.0), (EARLY_SEVERITY, 30.0), (1.0, -20.0)),
        "10.1007/s00415-005-0787-y, 10.1002/hbm.21064; size: estimate",
    ),
    Effect(
        Parameter.CONNECTIVITY,
        (Network.PREMOTOR_SENSORIMOTOR,),
        Unit.CORRELATION,
        _to(-0.10),
        "10.1016/j.expneurol.2009.01.025; size: estimate",
    ),
    Effect(
        Parameter.CONNECTIVITY,
        (Network.PRECENTRAL_CEREBELLUM,),
        Unit.CORRELATION,
        _to(-0.10),
        "10.1101/2020.12.02.408278; size: estimate",
    ),
    Effect(Parameter.NAA_CR, PRECENTRAL, Unit.PERCENT, _to(-10.0), "10.1001/archneur.63.8.1144"),
    Effect(Parameter.INOSITOL_CR, PRECENTRAL, Unit.PERCENT, _to(18.0), "10.1001/archneur.63.8.1144"),
    Effect(Parameter.NAA_CHO, PRECENTRAL, Unit.PERCENT, _to(-14.0), "10.1001/archneur.63.8.1144"),
    Effect(Parameter.NAA_CHO_RATE, PRECENTRAL, Unit.PERCENT_YEAR, _to(-9.0), "10.1001/archneur.58.5.729"),
    Effect(Parameter.CORD_NAA_CR, CORD[:6], Unit.PERCENT, _to(-41.0), "10.1212/WNL.0b013e318231526a"),
    Effect(Parameter.CORD_AREA, UPPER_CORD, Unit.PERCENT, _to(-5.0), "Sci Rep 2020;10:1783 (63.8 to 60.8 mm2)"),
    Effect(Parameter.CORD_AREA, LOWER_CORD, Unit.PERCENT, _to(-8.0), "estimate"),
    Effect(Parameter.CORD_AREA_RATE, CORD, Unit.PERCENT_YEAR, _to(-1.5), "estimate"),
    Effect(
        Parameter.CORD_FA, CORD[1:6], Unit.PERCENT, _to(-8.0), "10.1136/jnnp.2006.100032 (direction); size: estimate"
    ),
)

LIMBS = (Part.LEG, Part.HAND)
# Whose severity a site follows, as a mean; all three parts where it is not said.
FOLLOWS: dict[str, tuple[Part, ...]] = {
    Structure.PRECENTRAL_LEG: (Part.LEG,),
    Structure.PRECENTRAL_HAND: (Part.HAND,),
    Structure.PRECENTRAL_BULBAR: (Part.BULBAR,),
    Tract.LEG: (Part.LEG,),
    Tract.HAND: (Part.HAND,),
    Tract.BULBAR: (Part.BULBAR,),
    **dict.fromkeys(CORD, LIMBS),
}


@dataclass(frozen=True, slots=True)
class BundleChange:
    """What happened to a bundle, as factors: radial diffusivity of its fibres, and the share of the voxel they fill."""

    radial: float = 1.0
    share: float = 1.0


# What takes the place of lost fibres: free water this much of it, hindered water the rest (estimate).
FREE_WATER_FOR_FIBRES = 0.1


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """Where atrophy is centred: body coordinates (MNI mm) on the right, reach (one sigma), mm.

    amount: of the bump, for a region that loses all of itself: solved so that the mean of each region is the table's.
    """

    structure: Structure
    centre_mm: tuple[float, float, float]
    sigma_mm: float
    amount: float


# Centres and reach follow the regions. The amounts solve five equations, one a region, over a 2 mm lattice of the body
# (the white matter loses most of its share to the bumps of the cortex over it); the middle of a region loses three
# times its mean, and what lies round it grows by under 1 per cent.
SHRINKAGE: tuple[Shrinkage, ...] = (
    Shrinkage(Structure.PRECENTRAL_LEG, (10.0, -26.0, 57.0), 13.0, 0.987),
    Shrinkage(Structure.PRECENTRAL_HAND, (39.0, -15.0, 57.0), 14.0, 0.960),
    Shrinkage(Structure.PRECENTRAL_BULBAR, (53.0, 1.0, 16.0), 15.0, 0.880),
    Shrinkage(Structure.MOTOR_WHITE, (32.0, -13.0, 32.0), 16.0, 0.260),
    Shrinkage(Structure.BRAINSTEM, (0.0, -28.0, -32.0), 13.0, 1.120),
)


class Condition(Protocol):
    """What makes a body other than the healthy one of 50 years: a disease, or the age of a control."""

    @property
    def name(self) -> str:
        """What it is called in the truth."""

    @property
    def severity(self) -> Mapping[tuple[Part, Side], float]:
        """Severity, 0...1, by part and hemisphere."""

    def thinning_mm(self) -> dict[Parcel, float]:
        """How much thinner (thicker, when negative) the cortex of a parcel is, mm."""

    def diffusivity(self) -> dict[Parcel, float]:
        """Factor on the mean diffusivity of a grey structure."""

    def bundles(self) -> dict[tuple[str, Side], BundleChange]:
        """What happened to a bundle, by its name and side."""

    def atrophy(self, years: float) -> tuple[Bump, ...]:
        """The body after `years` (before, when negative), in body coordinates (MNI mm)."""


def _nothing() -> dict[tuple[Part, Side], float]:
    return {}


@dataclass(frozen=True, slots=True)
class Disease:
    """Severity, 0...1, of each part in each HEMISPHERE; what is not named is healthy.

    only: the parameters that it moves; None = all. (No set: the text of a disease is part of a study's UIDs.)
    """

    name: str = "healthy"
    severity: Mapping[tuple[Part, Side], float] = field(default_factory=_nothing)
    only: tuple[Parameter, ...] | None = None

    def at(self, site: str, side: Side) -> float:
        """Severity at a site; across the midline, the mean of both hemispheres."""
        parts = FOLLOWS.get(site, tuple(Part))
        sides = HEMISPHERES if side is Side.BOTH else (side,)
        return sum(self.severity.get((part, one), 0.0) for part in parts for one in sides) / (len(parts) * len(sides))

    def effect(self, parameter: Parameter, site: str, side: Side) -> float:
        """Change of a parameter at a site, in the unit of its row; 0 where no row is."""
        if self.only is not None and parameter not in self.only:
            return 0.0
        for row in EFFECTS:
            if row.parameter is parameter and site in row.sites:
                severities, changes = zip(*row.course, strict=True)
                return float(np.interp(self.at(site, side), severities, changes))
        return 0.0

    def thinning_mm(self) -> dict[Parcel, float]:
        """How much thinner the cortex is, mm, of every parcel that lost some."""
        lost = {parcel: -self.effect(Parameter.THICKNESS, *_place(parcel)) for parcel in _parcels(Parameter.THICKNESS)}
        return {parcel: mm for parcel, mm in lost.items() if mm > 0}

    def diffusivity(self) -> dict[Parcel, float]:
        """Factor on the mean diffusivity of every grey structure where it rose."""
        risen = {
            parcel: 1 + self.effect(Parameter.DIFFUSIVITY, *_place(parcel)) / 100
            for parcel in _parcels(Parameter.DIFFUSIVITY)
        }
        return {parcel: factor for parcel, factor in risen.items() if factor > 1}

    def bundles(self) -> dict[tuple[str, Side], BundleChange]:
        """What happened to every bundle that changed, by its name and side."""
        changes = {
            (str(tract), side): self._bundle(tract, side)
            for tract in Tract
            for side in ((Side.BOTH,) if tract is Tract.CALLOSUM_MOTOR else HEMISPHERES)
        }
        return {key: change for key, change in changes.items() if change != BundleChange()}

    def _bundle(self, tract: Tract, side: Side) -> BundleChange:
        share = 1 + self.effect(Parameter.DENSITY, tract, side) / 100
        fa = 1 + self.effect(Parameter.FA, tract, side) / 100
        return BundleChange(radial_factor(fa, share) if fa < 1 else 1.0, share)

    def atrophy(self, years: float) -> tuple[Bump, ...]:
        """The body after `years` (before, when negative): where it shrinks, in body coordinates (MNI mm)."""
        found = []
        for place in SHRINKAGE:
            for side in (Side.BOTH,) if place.structure in MIDLINE else HEMISPHERES:
                rate = self.effect(Parameter.ATROPHY, place.structure, side) / 100
                x, y, z = place.centre_mm
                centre = (-x if side is Side.LEFT else x, y, z)
                if rate * years != 0:
                    found.append(Bump(centre, place.sigma_mm, -rate * years * place.amount))
        return tuple(found)


def _place(parcel: Parcel) -> tuple[str, Side]:
    return parcel.structure, parcel.side


def _parcels(parameter: Parameter) -> list[Parcel]:
    """Every parcel that a parameter's rows speak of."""
    sites = [site for row in EFFECTS if row.parameter is parameter for site in row.sites]
    return [Parcel(Structure(site), side) for site in sites for side in HEMISPHERES]


def tract_fa(radial: float, share: float = 1.0) -> float:
    """FA of a voxel full of a tract: radial diffusivity and share of its fibres are these times the healthy ones.

    Water takes the place of what is lost, as `FREE_WATER_FOR_FIBRES` says.
    """
    axial_um2_ms, radial_um2_ms = BUNDLE
    fibres, hindered, lost = BUNDLE_SHARE * share, (1 - BUNDLE_SHARE) * share, 1 - share
    free = FREE_WATER_FOR_FIBRES * lost
    rest = (hindered + lost - free) * HINDERED_MD + free * PROPERTIES[Tissue.CSF].md
    along, across = fibres * axial_um2_ms + rest, fibres * radial_um2_ms * radial + rest
    return (along - across) / float(np.sqrt(along**2 + 2 * across**2))


@lru_cache(maxsize=64)
def radial_factor(fa: float, share: float = 1.0) -> float:
    """Factor on the radial diffusivity of a tract's fibres that takes its FA to `fa` times the healthy one.

    share: of its fibres that are left.
    """
    if fa == 1 and share == 1:
        return 1.0
    axial_um2_ms, radial_um2_ms = BUNDLE
    wanted = fa * tract_fa(1.0)
    return float(brentq(lambda factor: tract_fa(factor, share) - wanted, 0.0, axial_um2_ms / radial_um2_ms))


def _everywhere(leg: float, hand: float, bulbar: float, *sides: Side) -> dict[tuple[Part, Side], float]:
    one = {Part.LEG: leg, Part.HAND: hand, Part.BULBAR: bulbar}
    return {(part, side): value for side in sides for part, value in one.items() if value > 0}


HEALTHY = Disease()
# One side, tract before cortex: what a first examination may find.
EARLY = Disease(
    "early",
    _everywhere(EARLY_SEVERITY, EARLY_SEVERITY, 0, Side.RIGHT),
    (Parameter.FA, Parameter.ACTIVATION),
)
LATE = Disease("late", _everywhere(1, 1, 1, *HEMISPHERES))
BULBAR = Disease("bulbar", _everywhere(0.2, 0.2, 1, *HEMISPHERES))
LIMB_LEFT = Disease("limb-left", _everywhere(1, 1, 0, Side.RIGHT))
LIMB_RIGHT = Disease("limb-right", _everywhere(1, 1, 0, Side.LEFT))
PRESETS: dict[str, Disease] = {one.name: one for one in (HEALTHY, EARLY, LATE, BULBAR, LIMB_LEFT, LIMB_RIGHT)}
