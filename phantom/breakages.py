"""Ways to spoil a phantom study on purpose, by name, and what a site's service must make of each.

A breakage changes the protocol, the slab, the b-table as written, or the written files; the truth stays that of the
patient. A name may carry a number: `missing-slice:17`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from phantom import deliveries
from phantom.examination import Dialect
from phantom.sequences import dwi
from phantom.slab import Slab

Floats = npt.NDArray[np.float64]
Table = tuple[Floats, Floats]  # b (volume,) s/mm2, directions (volume, 3) LPS

EVERY = "every analysis"  # of `refuses`
EVERYWHERE = tuple(Dialect)
FEW_DIRECTIONS = 5  # one less than a tensor has unknowns
SQUARE_CM = 100.0  # s/cm2 in one s/mm2


class UnknownBreakage(ValueError):
    """There is no breakage of that name, or it takes no such number; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """A way to spoil a study.

    does: what is changed. expects: what the service must say. refuses: the analysis that must not run, `EVERY` or "";
    only in the dialects of `where`. number: the default of the number that may follow the name; None = takes none,
    0 = any at random.
    """

    name: str
    does: str
    expects: str
    refuses: str = ""
    where: tuple[Dialect, ...] = EVERYWHERE
    number: int | None = None


_WITHHELD = "DTI runs; FA and MD stand, the colour map is withheld: directions and image axes disagree"
_APART = (Dialect.PHILIPS, Dialect.GE)  # one object a slice

BREAKAGES: dict[str, Breakage] = {
    breakage.name: breakage
    for breakage in (
        Breakage("flip-x", "b-table: component along the image rows negated", _WITHHELD),
        Breakage("flip-y", "b-table: component along the image columns negated", _WITHHELD),
        Breakage("flip-z", "b-table: component along the slices negated", _WITHHELD),
        Breakage("swap-xy", "b-table: components along rows and columns exchanged", _WITHHELD),
        Breakage(
            "scanner-axes",
            "b-table: not turned with the slices, so wrong by the tilt of the slab; a straight slab stays right",
            "DTI runs; FA and MD stand. A few degrees are under what fibres can tell",
        ),
        Breakage("upper-half", "b-table: directions that point down turned round", "the same results: no sign counts"),
        Breakage(
            "b-in-s/cm2",
            "b-table: b in s/cm2, a hundred times too large",
            "DTI is refused: no b-value between 600 and 3000 s/mm2",
            refuses="dti",
        ),
        Breakage(
            "few-dirs",
            f"protocol: {FEW_DIRECTIONS} directions",
            "DTI is refused: a tensor needs six directions",
            refuses="dti",
        ),
        Breakage("half-sphere", "protocol: all directions on one half of the sphere", "DTI runs"),
        Breakage("b0-only", "protocol: no diffusion weighting", "DTI is refused", refuses="dti"),
        Breakage(
            "one-shell-gone",
            "protocol: the highest of two or more b-values is not acquired",
            "DTI runs on the shells that are there",
        ),
        Breakage("left-handed", "slab: slices run against row x column", "the same results, sides included"),
        Breakage(
            "missing-slice",
            "files: one slice of one volume of the DWI is missing (:slice, from 1)",
            "incomplete: DTI is refused once the wait is over",
            refuses="dti",
            where=_APART,
            number=0,
        ),
        Breakage(
            "no-slices",
            "files: the last slices of every volume of the DWI are missing (:how many)",
            "incomplete: DTI is refused once the wait is over",
            refuses="dti",
            where=_APART,
            number=3,
        ),
        Breakage(
            "missing-volume",
            "files: one volume of the DWI is missing (:volume, from 1)",
            "incomplete: DTI is refused where headers say how many volumes there should be. Siemens classic with a "
            "free table and Philips classic with two shells do not: it runs on the rest",
            refuses="dti",
            where=(*_APART, Dialect.SIEMENS, Dialect.SIEMENS_XA),
            number=0,
        ),
        Breakage("duplicates", "files: objects sent twice (:per cent of each series)", "the same results", number=3),
        Breakage("shuffled", "files: names and order of sending say nothing", "the same results"),
        Breakage(
            "deidentified",
            "files: every private element removed",
            "DTI is refused where the maker keeps its b-table in private elements: Siemens classic, GE",
            refuses="dti",
            where=(Dialect.SIEMENS, Dialect.GE),
        ),
        Breakage("no-names", "files: series description and protocol name empty", "the same results"),
        Breakage(
            "other-person",
            "files: one series has another birth date and sex under the same patient ID",
            "two patients in one study: nothing is analysed, nothing is sent",
            refuses=EVERY,
        ),
    )
}


def parsed(names: Iterable[str]) -> tuple[tuple[Breakage, int | None], ...]:
    """Breakages by name with their number. Raises `UnknownBreakage`."""
    found = []
    for text in names:
        name, colon, number = text.partition(":")
        breakage = BREAKAGES.get(name)
        if breakage is None:
            raise UnknownBreakage(f"there is no breakage {name}; there are {', '.join(BREAKAGES)}")
        if colon and (breakage.number is None or not number.isdecimal() or int(number) < 1):
            raise UnknownBreakage(f"{text}: " + (f"{name} takes no number" if breakage.number is None else "no number"))
        found.append((breakage, int(number) if colon else breakage.number or None))
    return tuple(found)


def refused(names: Iterable[str], dialect: Dialect, played: dwi.Protocol) -> tuple[str, ...]:
    """Analyses that must not run on a study that is spoilt so, `EVERY` for all of them."""
    found = [one for one, _ in parsed(names) if one.refuses and dialect in one.where]
    if not _says_how_many(dialect, played):
        found = [one for one in found if one.name != "missing-volume"]
    return tuple(dict.fromkeys(one.refuses for one in found))


def _says_how_many(dialect: Dialect, played: dwi.Protocol) -> bool:
    """Whether headers of this protocol tell the number of volumes."""
    one_shell = len(played.b_values) == 2
    if dialect is Dialect.SIEMENS:  # else it is a free table: see dialects.siemens
        return one_shell and played.unweighted == 1
    return one_shell or dialect is not Dialect.PHILIPS


# --- the protocol


def _few_directions(protocol: dwi.Protocol) -> dwi.Protocol:
    first = replace(protocol.shells[0], directions=FEW_DIRECTIONS)
    return replace(protocol, shells=(first,))


def _lower_shells(protocol: dwi.Protocol) -> dwi.Protocol:
    if len(protocol.shells) < 2:
        raise deliveries.CannotSpoil("a shell cannot be gone: the protocol has only one")
    highest = max(protocol.shells, key=lambda shell: shell.b)
    return replace(protocol, shells=tuple(shell for shell in protocol.shells if shell is not highest))


_PROTOCOLS: dict[str, Callable[[dwi.Protocol], dwi.Protocol]] = {
    "few-dirs": _few_directions,
    "half-sphere": lambda protocol: replace(protocol, half_sphere=True),
    "b0-only": lambda protocol: replace(protocol, shells=()),
    "one-shell-gone": _lower_shells,
}


def protocol(names: Iterable[str], asked: dwi.Protocol) -> dwi.Protocol:
    """The diffusion protocol that is played out in place of the one that was asked."""
    for breakage, _ in parsed(names):
        if breakage.name in _PROTOCOLS:
            asked = _PROTOCOLS[breakage.name](asked)
    return asked


# --- the slab


def slab(names: Iterable[str], planned: Slab) -> Slab:
    """The slab that is scanned in place of the planned one; the same voxels."""
    if all(breakage.name != "left-handed" for breakage, _ in parsed(names)):
        return planned
    axes = planned.axes_lps * [1, 1, -1]
    last = planned.origin_lps + planned.steps_lps[:, 2] * (planned.shape[2] - 1)
    return replace(planned, axes_lps=axes, origin_lps=last)


# --- the b-table


def _in_slab(change: Floats) -> Callable[[Floats, Floats, Slab], Table]:
    """Change directions by a matrix (3, 3) on their components along rows, columns and slices."""

    def changed(b: Floats, g_lps: Floats, where: Slab) -> Table:
        return b, g_lps @ where.axes_lps @ change.T @ where.axes_lps.T

    return changed


def _untilted(b: Floats, g_lps: Floats, where: Slab) -> Table:
    straight = np.rint(where.axes_lps)  # the plane before its tilt; tilts stay below 30 degrees
    return b, g_lps @ straight @ where.axes_lps.T


def _upwards(b: Floats, g_lps: Floats, where: Slab) -> Table:  # noqa: ARG001  one signature for all
    return b, np.where(g_lps[:, 2:] < 0, -g_lps, g_lps)


def _per_square_cm(b: Floats, g_lps: Floats, where: Slab) -> Table:  # noqa: ARG001
    return b * SQUARE_CM, g_lps


_TABLES: dict[str, Callable[[Floats, Floats, Slab], Table]] = {
    "flip-x": _in_slab(np.diag([-1.0, 1.0, 1.0])),
    "flip-y": _in_slab(np.diag([1.0, -1.0, 1.0])),
    "flip-z": _in_slab(np.diag([1.0, 1.0, -1.0])),
    "swap-xy": _in_slab(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])),
    "scanner-axes": _untilted,
    "upper-half": _upwards,
    "b-in-s/cm2": _per_square_cm,
}


def table(names: Iterable[str], b: Floats, g_lps: Floats, where: Slab) -> Table:
    """The b-table that is written in place of the true one: b (volume,), directions (volume, 3) LPS."""
    for breakage, _ in parsed(names):
        if breakage.name in _TABLES:
            b, g_lps = _TABLES[breakage.name](b, g_lps, where)
    return b, g_lps


# --- the files

_FILES: dict[str, Callable[[Path, int | None, np.random.Generator], None]] = {
    "missing-slice": deliveries.lose_slice,
    "no-slices": lambda dicom, count, _: deliveries.lose_top_slices(dicom, count or 0),
    "missing-volume": deliveries.lose_volume,
    "deidentified": lambda dicom, *_: deliveries.strip_private(dicom),
    "no-names": lambda dicom, *_: deliveries.blank_names(dicom),
    "other-person": lambda dicom, *_: deliveries.swap_person(dicom),
    "duplicates": lambda dicom, percent, random: deliveries.repeat(dicom, percent or 0, random),
    "shuffled": lambda dicom, _, random: deliveries.shuffle(dicom, random),
}


def files(names: Iterable[str], dicom: Path, random: np.random.Generator) -> None:
    """Spoil the written files below `dicom`, a folder of series folders. Raises `deliveries.CannotSpoil`."""
    asked = {breakage.name: number for breakage, number in parsed(names)}
    for name, spoil in _FILES.items():  # in this order: what is lost is not sent twice
        if name in asked:
            spoil(dicom, asked[name], random)
