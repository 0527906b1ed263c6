"""One person in the scanner: a body, the warp that makes it this person's, what time changed, and how the head lies."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from phantom.anatomy.body import Body, Points, Steps
from phantom.anatomy.change import Change, Unchanged
from phantom.anatomy.warp import Warp
from phantom.slab import LPS_TO_RAS, Matrix, Slab

INVERSION_STEPS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Scanner points (RAS mm) --pose--> person --change--> unchanged person --warp--> body (MNI mm).

    placement: 3x3 rotation, person to scanner. shift_mm: where the person's origin (anterior commissure) lies in the
    scanner, RAS mm.
    """

    body: Body
    warp: Warp
    placement: Matrix
    shift_mm: tuple[float, float, float]
    change: Change = field(default_factory=Unchanged)

    @property
    def centre_ras(self) -> npt.NDArray[np.float64]:
        """Where the person's origin lies in the scanner, RAS mm."""
        return np.array(self.shift_mm)

    def person(self, scanner: Points) -> Points:
        """Person coordinates (3, n) of scanner points (3, n)."""
        away = scanner - self.centre_ras.astype(np.float32)[:, None]
        # einsum: the matrix product of numpy goes to all threads of the machine, which is slower for so small a matrix.
        return np.asarray(np.einsum("ji,jn->in", self.placement.astype(np.float32), away), np.float32)

    def template(self, scanner: Points) -> Points:
        """Body points (3, n) that scanner points show."""
        return self.warp.pull(self.change.pull(self.person(scanner)))

    def turn(self, scanner: Points) -> npt.NDArray[np.float32]:
        """Rotations (n, 3, 3) from body directions to scanner directions (RAS); what time turns is left out."""
        return np.asarray(self.placement.astype(np.float32) @ self.warp.turn(self.change.pull(self.person(scanner))))

    def carry(self, scanner: Points) -> npt.NDArray[np.float32]:
        """Matrices (n, 3, 3) that carry the tangent of a curve in the body to the scanner (RAS), not of unit length."""
        slope = self.warp.derivative(self.change.pull(self.person(scanner)))
        return np.asarray(self.placement.astype(np.float32) @ np.linalg.inv(slope), np.float32)

    def steps(self, slab: Slab) -> Steps:
        """One voxel step along x, y, z of a slab as columns, mm, along the body axes (no stretch by the warp)."""
        return np.asarray(self.placement.T @ (LPS_TO_RAS[:, None] * slab.steps_lps))

    def unwarped(self, body: tuple[float, float, float]) -> npt.NDArray[np.float64]:
        """Point of the unchanged person that shows a body point: the warp inverted by fixed-point iteration, mm."""
        target = np.array(body, np.float32)[:, None]
        guess = target.copy()
        for _ in range(INVERSION_STEPS):
            guess += target - self.warp.pull(guess)
        return guess[:, 0].astype(np.float64)

    def scanner(self, body: tuple[float, float, float]) -> npt.NDArray[np.float64]:
        """Scanner point that shows a body point, RAS mm (inverted by fixed-point iteration, change included)."""
        target = np.array(body, np.float32)[:, None]
        guess = target.copy()
        for _ in range(INVERSION_STEPS):
            guess += target - self.warp.pull(self.change.pull(guess))
        return np.asarray(self.placement @ guess[:, 0].astype(np.float64) + self.centre_ras)
