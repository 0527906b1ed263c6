"""What the disease does to the body: each effect at severity 1, with its source.

Group means of corticospinal FA are lower by about a tenth in ALS (10.1016/j.acra.2013.03.017,
10.1212/WNL.0b013e3181fb84d1), through a higher radial diffusivity; a single late patient is taken half again as far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phantom.anatomy.fibres import System
from phantom.anatomy.parcels import Side

# Radial diffusivity added inside a bundle at severity 1, um2/ms: FA of a voxel full of the tract falls by 15 per cent.
EXTRA_RADIAL = 0.10


@dataclass(frozen=True, slots=True)
class Disease:
    """Severity, 0...1 each, of what is struck."""

    corticospinal: Mapping[Side, float] = field(default_factory=dict)

    def extra_radial(self) -> dict[tuple[System, Side], float]:
        """Radial diffusivity that is added by system and side, um2/ms."""
        return {(System.CORTICOSPINAL, side): EXTRA_RADIAL * share for side, share in self.corticospinal.items()}


ONE_SIDED = Disease({Side.RIGHT: 1.0})
