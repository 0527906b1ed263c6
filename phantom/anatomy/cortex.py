"""The cortex: a layer of known thickness under the folded pia; what it loses to disease, it loses on its outer side.

With D the distance to the healthy pia, t the thickness and d what is lost: fluid where D < d, grey where d < D < t,
white beyond. D is a distance, so the thickness is t - d everywhere, also in closed sulci, and the fluid fills the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from numba import njit

from phantom.anatomy import parcellation as place
from phantom.anatomy.body import Labels, Points, Steps
from phantom.anatomy.folds import EXACT_MM, Field, below_pia, fold, read
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure
from phantom.anatomy.template import Template

Values = npt.NDArray[np.float32]

# Thickness of a healthy adult, mm: means over the regions of 10.1016/j.neuroimage.2014.05.044 (FreeSurfer), rounded;
# the parts of the precentral gyrus after 10.1073/pnas.200033797 (thick in front of the central sulcus, thin behind).
THICKNESS_MM: dict[Structure, float] = {
    Structure.PRECENTRAL_LEG: 2.5,
    Structure.PRECENTRAL_HAND: 2.6,
    Structure.PRECENTRAL_BULBAR: 2.6,
    Structure.POSTCENTRAL: 2.1,
    Structure.PREMOTOR: 2.6,
    Structure.SMA: 2.7,
    Structure.FRONTAL: 2.6,
    Structure.TEMPORAL: 2.8,
    Structure.PARIETAL: 2.4,
    Structure.OCCIPITAL: 2.0,
}
INSULA_MM = 2.9

THINNED_MM = 0.75  # room for the pia to recede in: sub-samples are the same before and after
SUB_SAMPLE_MM = 0.5  # at least this fine where a surface is near
PIAL_SUB_SAMPLE_MM = 0.4  # and finer where it is the pia: a closed sulcus is as narrow as this
# A sub-sample is a small cube, not a point: its share on one side of a plane, averaged over directions, is nearly
# linear over this many of its edges.
RAMP = 1.15
MIXED_MM = 1.3  # voxels larger than this may hold the cortex of two gyri
SLACK_MM = 0.15  # a distance between nodes of the lattice is right to this
DEEP_MOTOR_MM = 28.0  # white matter of the precentral gyrus reaches this far under the hull

_WHITE, _MOTOR_WHITE = (
    np.array([LABEL[Parcel(structure, side)] for side in (Side.LEFT, Side.RIGHT)], np.uint8)
    for structure in (Structure.WHITE, Structure.MOTOR_WHITE)
)


@njit(cache=True, nogil=True, inline="always", fastmath=True)
def _cover(distance: float, edge: float) -> float:
    return min(max(0.5 + distance / edge, 0.0), 1.0)


@njit(cache=True, nogil=True, fastmath=True)
def _crosses_border(kind: int, x: float, y: float, z: float, steps: Steps) -> bool:
    """Whether a corner of a voxel belongs to other cortex than its centre."""
    for corner in range(8):
        p, q, r = (corner & 1) - 0.5, (corner >> 1 & 1) - 0.5, (corner >> 2) - 0.5
        u = x + p * steps[0, 0] + q * steps[0, 1] + r * steps[0, 2]
        v = y + p * steps[1, 0] + q * steps[1, 1] + r * steps[1, 2]
        w = z + p * steps[2, 0] + q * steps[2, 1] + r * steps[2, 2]
        if place.structure_at(u, v, w) != kind:
            return True
    return False


@njit(cache=True, nogil=True, fastmath=True)
def _sampled(
    fields: Field,
    x: float,
    y: float,
    z: float,
    steps: Steps,
    count: npt.NDArray[np.int64],
    core: float,
    mixed: bool,
    thick: Values,
    lost: Values,
    f: Values,
) -> tuple[float, float, float]:
    """Grey, white and fluid in a voxel by sub-samples; `mixed`: each asks which cortex it belongs to."""
    total = count[0] * count[1] * count[2]
    ramp = RAMP * (abs(np.linalg.det(steps)) / total) ** (1 / 3)
    kind, side = place.structure_at(x, y, z), 1 if x > 0 else 0
    inner, outer = float(thick[kind, side]), float(lost[kind, side])
    grey, white, fluid = 0.0, 0.0, 0.0
    for i in range(count[0]):
        p = (i + 0.5) / count[0] - 0.5
        for j in range(count[1]):
            q = (j + 0.5) / count[1] - 0.5
            for k in range(count[2]):
                r = (k + 0.5) / count[2] - 0.5
                u = x + p * steps[0, 0] + q * steps[0, 1] + r * steps[0, 2]
                v = y + p * steps[1, 0] + q * steps[1, 1] + r * steps[1, 2]
                w = z + p * steps[2, 0] + q * steps[2, 1] + r * steps[2, 2]
                if not read(fields, u, v, w, f):
                    continue
                hull = _cover(f[0], ramp)
                if hull <= 0:
                    continue
                if mixed:
                    kind = place.structure_at(u, v, w)
                    inner, outer = float(thick[kind, side]), float(lost[kind, side])
                depth = below_pia(f)
                tissue = min(_cover(depth - outer, ramp), hull)
                deep = min(_cover(depth - inner, ramp), tissue)
                deep += core * (hull - deep)
                tissue += core * (hull - tissue)
                white += deep
                grey += tissue - deep
                fluid += hull - tissue
    return grey / total, white / total, fluid / total


@njit(cache=True, nogil=True, fastmath=True)
def _shares(fields: Field, at: Points, steps: Steps, thick: Values, lost: Values, out: Values) -> None:
    """Shares of grey, white and fluid (3, n); thick, lost: mm by structure (row) and side (column)."""
    edges = np.sqrt((steps * steps).sum(axis=0))
    few, many = np.empty(3, np.int64), np.empty(3, np.int64)
    for n in range(3):
        few[n], many[n] = math.ceil(edges[n] / SUB_SAMPLE_MM), math.ceil(edges[n] / PIAL_SUB_SAMPLE_MM)
    half = 0.5 * math.sqrt((edges * edges).sum())
    edge = abs(np.linalg.det(steps)) ** (1 / 3)
    f = np.empty(8, np.float32)
    for n in range(at.shape[1]):
        x, y, z = float(at[0, n]), float(at[1, n]), float(at[2, n])
        if not read(fields, x, y, z, f) or f[0] < -half - 1:
            continue
        depth = below_pia(f)
        core = _cover(place.core_mm(x, y, z), edge)
        if depth > half + EXACT_MM - 0.5 or (core >= 1 and f[0] > half):
            out[1, n] = 1
            continue
        kind, side = place.structure_at(x, y, z), 1 if x > 0 else 0
        mixed = edge > MIXED_MM and _crosses_border(kind, x, y, z, steps)
        inner, outer = float(thick[kind, side]), float(lost[kind, side])
        if not mixed:
            if depth > inner + half + SLACK_MM:
                out[1, n] = 1
                continue
            if outer + half + SLACK_MM < depth < inner - half - SLACK_MM and core <= 0:
                out[0, n] = 1
                continue
        count = few if depth > half + THINNED_MM else many
        out[0, n], out[1, n], out[2, n] = _sampled(fields, x, y, z, steps, count, core, mixed, thick, lost, f)


@njit(cache=True, nogil=True, fastmath=True)
def _depths(fields: Field, at: Points, lost: Values, out: Values) -> None:
    f = np.empty(8, np.float32)
    for n in range(at.shape[1]):
        x, y, z = float(at[0, n]), float(at[1, n]), float(at[2, n])
        out[n] = -1e3
        if read(fields, x, y, z, f):
            out[n] = below_pia(f) - lost[place.structure_at(x, y, z), 1 if x > 0 else 0]


@njit(cache=True, nogil=True, fastmath=True)
def _places(at: Points, table: Values, out: Values) -> None:
    for n in range(at.shape[1]):
        x = float(at[0, n])
        out[n] = table[place.structure_at(x, float(at[1, n]), float(at[2, n])), 1 if x > 0 else 0]


@njit(cache=True, nogil=True, fastmath=True)
def _parcels(
    fields: Field, at: Points, thick: Values, cortical: Labels, motor: Labels, white: Labels, out: Labels
) -> None:
    f = np.empty(8, np.float32)
    for n in range(at.shape[1]):
        x, y, z = float(at[0, n]), float(at[1, n]), float(at[2, n])
        if not read(fields, x, y, z, f) or f[0] <= 0:
            continue
        side = 1 if x > 0 else 0
        kind = place.structure_at(x, y, z)
        core = place.core_mm(x, y, z) > 0
        if core or below_pia(f) > thick[kind, side]:
            motor_part = kind == place.LEG or kind == place.HAND or kind == place.BULBAR
            out[n] = motor[side] if motor_part and not core and f[0] < DEEP_MOTOR_MM else white[side]
        else:
            out[n] = cortical[kind, side]


def _contiguous(at: Points) -> Points:
    return np.ascontiguousarray(at, np.float32)


class Cortex:
    """Cortex and white matter of a cerebrum folded from a template, thinned by so many mm in each parcel."""

    def __init__(self, template: Template, thinning_mm: Mapping[Parcel, float]) -> None:
        self._fields = fold(template).fields
        self._thick = np.zeros(place.LABELS.shape, np.float32)
        self._lost = np.zeros(place.LABELS.shape, np.float32)
        self._thick[place.INSULA] = INSULA_MM
        for row, structure in place.STRUCTURES.items():
            self._thick[row] = THICKNESS_MM[structure]
        rows = {structure: row for row, structure in place.STRUCTURES.items()}
        for parcel, lost in thinning_mm.items():
            if parcel.structure not in rows or parcel.side is Side.BOTH:
                raise ValueError(f"{parcel.structure}, {parcel.side}: only cortex of one side can be thinned")
            if not 0 <= lost < THICKNESS_MM[parcel.structure]:
                raise ValueError(
                    f"{parcel.structure}: a loss of {lost} mm is outside 0...{THICKNESS_MM[parcel.structure]} mm"
                )
            self._lost[rows[parcel.structure], int(parcel.side is Side.RIGHT)] = lost

    def shares(self, at: Points, steps: Steps) -> Values:
        """Shares (3, n) of grey, white and fluid in the voxels round `at`: their sum is the part inside the hull."""
        out = np.zeros((3, at.shape[1]), np.float32)
        _shares(self._fields, _contiguous(at), np.asarray(steps, np.float64), self._thick, self._lost, out)
        return out

    def depth(self, at: Points) -> Values:
        """Distance (n,) below the pia, mm: positive in tissue, negative in fluid and outside."""
        out = np.empty(at.shape[1], np.float32)
        _depths(self._fields, _contiguous(at), self._lost, out)
        return out

    def thickness_mm(self, at: Points) -> Values:
        """Thickness (n,) of the cortex to which points of the cerebrum belong, what is lost taken off."""
        out = np.empty(at.shape[1], np.float32)
        _places(_contiguous(at), self._thick - self._lost, out)
        return out

    def parcels(self, at: Points) -> Labels:
        """Parcel (n,): cortex with the fluid of its sulci, white matter beneath; 0 outside and in the insula."""
        out = np.zeros(at.shape[1], np.uint8)
        _parcels(self._fields, _contiguous(at), self._thick, place.LABELS, _MOTOR_WHITE, _WHITE, out)
        return out
