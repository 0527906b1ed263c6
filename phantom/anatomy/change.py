"""How a body changes between two time points: a smooth pull-back in the person's own space, its Jacobian known.

A bump draws the body towards its centre (or away from it): the image at y shows the body at c + (y - c) f,
f = 1 + a e, e = exp(-r^2 / 2 s^2), r = |y - c|. Its determinant is f^2 (f - a e r^2 / s^2): no lattice, no error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from phantom.anatomy.body import Points


class Change(Protocol):
    """The image of a time point at `person` shows the body at `pull(person)`; person space: RAS mm, head upright."""

    def pull(self, person: Points) -> Points:
        """Points (3, n) of the unchanged person."""

    def jacobian(self, person: Points) -> npt.NDArray[np.float32]:
        """Determinant (n,) of the derivative of `pull`: under 1 where the body grew, over 1 where it shrank."""


class Unchanged:
    """No change."""

    def pull(self, person: Points) -> Points:
        """Return the points."""
        return person

    def jacobian(self, person: Points) -> npt.NDArray[np.float32]:
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
