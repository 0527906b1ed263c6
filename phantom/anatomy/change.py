"""How a body changes between two time points: a smooth pull-back in the person's own space, its Jacobian known.

A bump draws the body towards its centre (or away from it): the image at y shows the body at c + (y - c) f,
f = 1 + a e, e = exp(-r^2 / 2 s^2), r = |y - c|. Its determinant is f^2 (f - a e r^2 / s^2): no lattice, no error.
A bump has a ring that grows as its middle shrinks: far outside nothing moves, so the mean of a region is far smaller
than the change at the centre, and is had by quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numba
import numpy as np
import numpy.typing as npt

from phantom.anatomy.body import Labels, Points

Numbers = npt.NDArray[np.float32]
Table = npt.NDArray[np.float64]

FAR_SIGMA = 7.0  # beyond it e is under 3e-11: nothing moves
NEWTON_STEPS = 12  # |a| is a few hundredths: three are enough
NEWTON_END = 1e-12
BLOCK_POINTS = 500_000


class Change(Protocol):
    """The image of a time point at `person` shows the body at `pull(person)`; person space: RAS mm, head upright."""

    def pull(self, person: Points) -> Points:
        """Points (3, n) of the unchanged person."""

    def push(self, unchanged: Points) -> Points:
        """Points (3, n) of the image that show points of the unchanged person: the way back."""

    def jacobian(self, person: Points) -> Numbers:
        """Determinant (n,) of the derivative of `pull`: under 1 where the body grew, over 1 where it shrank."""


class Unchanged:
    """No change."""

    def pull(self, person: Points) -> Points:
        """Return the points."""
        return person

    def push(self, unchanged: Points) -> Points:
        """Return the points."""
        return unchanged

    def jacobian(self, person: Points) -> Numbers:
        """Return 1 everywhere."""
        return np.ones(person.shape[1], np.float32)


@dataclass(frozen=True, slots=True)
class Bump:
    """A place that shrinks (`amount` > 0) or grows (< 0): centre and reach (s) in mm; `amount` is a.

    A sphere of radius R about the centre shows what filled a sphere of R f(R).
    """

    centre_mm: tuple[float, float, float]
    sigma_mm: float
    amount: float


@dataclass(frozen=True, slots=True)
class Bumps:
    """Bumps one after the other: the first acts on the image's points, each next one on what that gave."""

    bumps: tuple[Bump, ...]
    _rows: Table = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Lay the bumps out as rows: centre, 1 / sigma^2, amount."""
        rows = [(*one.centre_mm, one.sigma_mm**-2, one.amount) for one in self.bumps]
        object.__setattr__(self, "_rows", np.array(rows, np.float64).reshape(-1, 5))

    def pull(self, person: Points) -> Points:
        """Points (3, n) of the unchanged person."""
        return np.asarray(_pull(self._rows, person))

    def push(self, unchanged: Points) -> Points:
        """Points (3, n) of the image that show points of the unchanged person."""
        return np.asarray(_push(self._rows[::-1].copy(), unchanged))

    def jacobian(self, person: Points) -> Numbers:
        """Determinant (n,) of the derivative of `pull`."""
        return np.asarray(_jacobian(self._rows, person))


@numba.njit(cache=True, inline="always")
def _drawn(rows: Table, k: int, x: float, y: float, z: float) -> tuple[float, float]:
    """The a e and (r / s)^2 of bump k at a point relative to its centre; nought where nothing moves any more."""
    squared = (x * x + y * y + z * z) * rows[k, 3]
    if squared > FAR_SIGMA * FAR_SIGMA:
        return 0.0, 0.0
    return rows[k, 4] * np.exp(-squared / 2), squared


@numba.njit(cache=True, nogil=True)
def _pull(rows: Table, points: Points) -> Points:
    result = np.empty_like(points)
    for n in range(points.shape[1]):
        x, y, z = np.float64(points[0, n]), np.float64(points[1, n]), np.float64(points[2, n])
        for k in range(rows.shape[0]):
            dx, dy, dz = x - rows[k, 0], y - rows[k, 1], z - rows[k, 2]
            drawn, _ = _drawn(rows, k, dx, dy, dz)
            x, y, z = x + dx * drawn, y + dy * drawn, z + dz * drawn
        result[0, n], result[1, n], result[2, n] = x, y, z
    return result


@numba.njit(cache=True, nogil=True)
def _jacobian(rows: Table, points: Points) -> Numbers:
    result: Numbers = np.ones_like(points[0])
    for n in range(points.shape[1]):
        x, y, z = np.float64(points[0, n]), np.float64(points[1, n]), np.float64(points[2, n])
        whole = 1.0
        for k in range(rows.shape[0]):
            dx, dy, dz = x - rows[k, 0], y - rows[k, 1], z - rows[k, 2]
            drawn, squared = _drawn(rows, k, dx, dy, dz)
            whole *= (1 + drawn) ** 2 * (1 + drawn - drawn * squared)
            x, y, z = x + dx * drawn, y + dy * drawn, z + dz * drawn
        result[n] = whole
    return result


@numba.njit(cache=True, nogil=True)
def _push(reversed_rows: Table, points: Points) -> Points:
    """Undo the last bump first; each moves points along its own radius, so one number is sought: t of c + (p - c) t."""
    rows = reversed_rows
    result = np.empty_like(points)
    for n in range(points.shape[1]):
        x, y, z = np.float64(points[0, n]), np.float64(points[1, n]), np.float64(points[2, n])
        for k in range(rows.shape[0]):
            dx, dy, dz = x - rows[k, 0], y - rows[k, 1], z - rows[k, 2]
            t, step = 1.0, 1.0
            for _ in range(NEWTON_STEPS):
                if abs(step) < NEWTON_END:
                    break
                drawn, squared = _drawn(rows, k, dx * t, dy * t, dz * t)
                step = (t * (1 + drawn) - 1) / (1 + drawn - drawn * squared)
                t -= step
            x, y, z = rows[k, 0] + dx * t, rows[k, 1] + dy * t, rows[k, 2] + dz * t
        result[0, n], result[1, n], result[2, n] = x, y, z
    return result


def relative_volume(change: Change, unchanged: Points) -> Numbers:
    """Volume (n,) that a time point gives to each point of the unchanged person, 1 = as it was."""
    return np.asarray(1 / change.jacobian(change.push(unchanged)))


def growth(before: Change, after: Change, unchanged: Points) -> Numbers:
    """Jacobian (n,) from one time point to the other at points of the unchanged person: under 1 is loss."""
    return np.asarray(relative_volume(after, unchanged) / relative_volume(before, unchanged))


def growth_seen(before: Change, after: Change, person: Points) -> Numbers:
    """The same Jacobian (n,) at points of the second time point's image."""
    now = after.jacobian(person)
    return np.asarray(1 / (now * relative_volume(before, after.pull(person))))


def growth_by_label(before: Change, after: Change, unchanged: Points, labels: Labels) -> dict[int, float]:
    """Volume of each label at the second time point over that at the first, less 1; `unchanged`: an even lattice.

    labels (n,): what each point belongs to; 0 is left out.
    """
    volumes = np.zeros((2, int(labels.max(initial=0)) + 1))
    for first in range(0, len(labels), BLOCK_POINTS):
        part = slice(first, first + BLOCK_POINTS)
        for row, change in zip(volumes, (before, after), strict=True):
            row += np.bincount(labels[part], relative_volume(change, unchanged[:, part]), len(row))
    return {label: float(volumes[1, label] / volumes[0, label] - 1) for label in np.unique(labels).tolist() if label}
