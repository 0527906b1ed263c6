"""What was put into a person, by region: thickness of the cortex, volumes, and what they lost since the first visit.

No analysis measures these yet; its own issue adds what a perfect method would give.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from analyses.contract import Statistic
from analyses.quantities import THICKNESS, VOLUME, VOLUME_CHANGE
from phantom import tolerances
from phantom.anatomy.body import Points
from phantom.anatomy.change import Change, growth_seen
from phantom.anatomy.cortex import Cortex
from phantom.anatomy.parcellation import CORTICAL
from phantom.anatomy.parcels import LABEL, PARCELS, Parcel, Structure
from phantom.anatomy.person import Person
from phantom.anatomy.thickness import Rays, rays
from phantom.anatomy.warp import Warp
from phantom.slab import Slab
from phantom.t1 import T1Body
from phantom.truth import TrueMeasurement, of_parcels

RAYS_MM = 2.6  # between the grid's points that start a ray: some 8000 rays, a hundred in the smallest region
UNWARP_STEPS = 16
WHITE = frozenset({Structure.MOTOR_WHITE, Structure.WHITE})
SLICES_AT_ONCE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Growth:
    """Since the first visit: Jacobian (x, y, z) on the grid of the scan, 1 where no region is; share by parcel."""

    jacobian: npt.NDArray[np.float32]
    share: dict[Parcel, float]


def unwarped(warp: Warp, body: Points) -> Points:
    """Points (3, n) of the unchanged person that show points of the body, by fixed-point iteration."""
    guess = body.copy()
    for _ in range(UNWARP_STEPS):
        guess += body - warp.pull(guess)
    return guess


def thickness_mm(person: Person, cast: Rays) -> dict[Parcel, float]:
    """Mean thickness of the cortex of the person as it is now: rays of the body, carried to the person with both ends.

    A ray counts by the area of the person's white surface that it stands for: the body's, stretched by the warp.
    """
    start, end = (unwarped(person.warp, at) for at in (cast.start, cast.end))
    inverse = np.linalg.inv(person.warp.derivative(start).astype(np.float64))
    along = ((cast.end - cast.start) / cast.length_mm).T[:, :, None].astype(np.float64)
    # An area with normal n becomes det(A) A^-T n (Nanson); A = inverse of the pull-back's derivative.
    normal = np.linalg.solve(inverse.transpose(0, 2, 1), along)[:, :, 0]
    area = np.linalg.det(inverse) * np.linalg.norm(normal, axis=1)
    length = np.linalg.norm(person.change.push(end) - person.change.push(start), axis=0)
    weight = np.bincount(cast.parcel, area, len(PARCELS) + 1)
    total = np.bincount(cast.parcel, area * length, len(PARCELS) + 1)
    return {parcel: float(total[n] / weight[n]) for parcel, n in LABEL.items() if weight[n] > 0}


def volumes_ml(body: T1Body, slab: Slab) -> dict[Parcel, float]:
    """Grey matter of parcels of the cortex, white matter of those of white matter, and the others whole, ml."""
    labels = body.parcels.ravel()
    voxel_ml = float(np.prod(slab.voxel_mm)) / 1000
    grey, white, whole = (
        np.bincount(labels, weights, len(PARCELS) + 1) * voxel_ml
        for weights in (body.grey.ravel(), body.white.ravel(), None)
    )
    found = {}
    for parcel, n in LABEL.items():
        counted = grey if parcel.structure in CORTICAL else white if parcel.structure in WHITE else whole
        if whole[n] > 0:
            found[parcel] = float(counted[n])
    return found


def grown(person: Person, first: Change, body: T1Body, slab: Slab) -> Growth:
    """What became of each region from the first visit to this one, by quadrature over the voxels of the scan."""
    jacobian = np.ones(body.parcels.shape, np.float32)
    now, then = np.zeros(len(PARCELS) + 1), np.zeros(len(PARCELS) + 1)
    for start in range(0, slab.shape[2], SLICES_AT_ONCE):
        part = body.parcels[:, :, start : start + SLICES_AT_ONCE]
        inside = part > 0
        if not inside.any():
            continue
        seen = person.person(slab.points_ras(start, SLICES_AT_ONCE)[:, inside.ravel()])
        grew = growth_seen(first, person.change, np.ascontiguousarray(seen))
        jacobian[:, :, start : start + SLICES_AT_ONCE][inside] = grew
        now += np.bincount(part[inside], None, len(now))
        then += np.bincount(part[inside], 1 / grew, len(then))
    return Growth(jacobian, {parcel: float(now[n] / then[n] - 1) for parcel, n in LABEL.items() if now[n] > 0})


def measurements(
    person: Person, cortex: Cortex, body: T1Body, slab: Slab, growth: Growth | None, years: float
) -> tuple[TrueMeasurement, ...]:
    """All of it as truth; growth: since the first visit, `years` ago, None at the first visit itself."""
    told = [
        *of_parcels(THICKNESS, thickness_mm(person, rays(cortex, RAYS_MM)), tolerances.thickness),
        *of_parcels(VOLUME, volumes_ml(body, slab), tolerances.parcel_volume, Statistic.TOTAL),
    ]
    if growth is not None:
        percent = {parcel: 100 * share / years for parcel, share in growth.share.items()}
        told += of_parcels(VOLUME_CHANGE, percent, partial(tolerances.volume_change, years=years))
    return tuple(told)
