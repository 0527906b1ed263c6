"""True thickness of the cortex of each parcel: the length of rays from the white surface to the pia, not a parameter.

Rays start evenly over the white surface, follow the slope of the distance to the pia and are then turned to where
they are shortest (from an edge of the white surface the slope alone would lean); so a mean over rays is a mean
over the surface, as surface-based methods take it (10.1073/pnas.200033797), not over voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from phantom.anatomy.body import Labels, Points
from phantom.anatomy.cortex import Cortex, Values
from phantom.anatomy.folds import LOWER_MM, SHAPE
from phantom.anatomy.parcellation import CORTICAL
from phantom.anatomy.parcels import LABEL, PARCELS, Parcel

SPACING_MM = 1.7  # of the grid whose points near the white surface start a ray; no multiple of the folds' lattice
NEAR_MM = 0.4  # half the layer round the white surface from which they are taken: as many rays from everywhere
SLOPE_STEP_MM = 0.1
STEPS = 8
SLIDES = 2
ARRIVED_MM = 0.003
ROOM_MM = 0.05  # off the white surface, into the cortex, to ask for its parcel


@dataclass(frozen=True, slots=True, eq=False)
class Rays:
    """Where each ray starts on the white surface and ends on the pia, (3, n) body mm; its length; its parcel."""

    start: Points
    end: Points
    length_mm: Values
    parcel: Labels


def _slope(cortex: Cortex, at: Points) -> npt.NDArray[np.float32]:
    """Direction (3, n) into the depth, unit."""
    step = np.float32(SLOPE_STEP_MM)
    slope = np.empty_like(at)
    for axis in range(3):
        off = np.zeros((3, 1), np.float32)
        off[axis] = step
        slope[axis] = cortex.depth(at + off) - cortex.depth(at - off)
    return np.asarray(slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-6), np.float32)


def _grid(spacing_mm: float) -> Points:
    axes = [low + np.arange(0, n, spacing_mm) for low, n in zip(LOWER_MM, SHAPE, strict=True)]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]).astype(np.float32)


def rays(cortex: Cortex, spacing_mm: float = SPACING_MM) -> Rays:
    """Cast rays from the white surface of all cortical parcels to the pia."""
    cortical = np.array([LABEL[parcel] for parcel in PARCELS if parcel.structure in CORTICAL], np.uint8)
    at = _grid(spacing_mm)
    near = np.abs(cortex.depth(at) - cortex.thickness_mm(at)) < NEAR_MM
    at = at[:, near]
    for _ in range(3):
        at = at - (cortex.depth(at) - cortex.thickness_mm(at)) * _slope(cortex, at)
    parcel = cortex.parcels(at - ROOM_MM * _slope(cortex, at))
    landed = np.abs(cortex.depth(at) - cortex.thickness_mm(at)) < ARRIVED_MM
    keep = landed & np.isin(parcel, cortical)
    start, parcel = at[:, keep], parcel[keep]
    head = start.copy()
    left = cortex.depth(head)
    for _ in range(STEPS):
        head -= left * _slope(cortex, head)
        left = cortex.depth(head)
    for _ in range(SLIDES):
        slope = _slope(cortex, head)
        across = start - head
        turned = head + across - (across * slope).sum(axis=0) * slope
        for _ in range(2):
            turned -= cortex.depth(turned) * _slope(cortex, turned)
        shorter = np.linalg.norm(turned - start, axis=0) < np.linalg.norm(across, axis=0)
        shorter &= np.abs(cortex.depth(turned)) < ARRIVED_MM
        head[:, shorter] = turned[:, shorter]
    arrived = np.abs(cortex.depth(head)) < ARRIVED_MM
    length = np.linalg.norm(head - start, axis=0)
    return Rays(start[:, arrived], head[:, arrived], length[arrived], parcel[arrived])


def mean_thickness_mm(cortex: Cortex, spacing_mm: float = SPACING_MM) -> dict[Parcel, float]:
    """Mean length of the rays of every cortical parcel, mm."""
    cast = rays(cortex, spacing_mm)
    return {
        parcel: float(cast.length_mm[cast.parcel == LABEL[parcel]].mean())
        for parcel in PARCELS
        if parcel.structure in CORTICAL
    }
