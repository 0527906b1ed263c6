"""How a body changes between two time points: a smooth pull-back in the person's own space, its Jacobian known."""

from __future__ import annotations

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
