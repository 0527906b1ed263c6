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
from phantom.anatomy.folds import LOWER_MM, Field, fold
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

# Sulci: wide at the mouth, closed below; radius of a gyrus' crown (no more than the thinnest cortex, so that the layer
# under it stays exact: offsets of a rounded edge at a depth beyond its radius are those of the sharp one).
FLOOR_GAP_MM, MOUTH_GAP_MM, MOUTH_DEPTH_MM = 0.5, 1.5, 6.0
CROWN_MM = 1.9

SUB_SAMPLE_MM = 0.45  # at least this fine where a surface is near
LEAST_SAMPLES = 3
# A sub-sample is a small cube, not a point: its share on one side of a plane, averaged over directions, is nearly
# linear over this many of its edges.
RAMP = 1.15
SLACK_MM = 0.15  # a distance between nodes of the lattice is right to this
DEEP_MOTOR_MM = 28.0  # white matter of the precentral gyrus reaches this far under the hull

_WHITE, _MOTOR_WHITE = (
    np.array([LABEL[Parcel(structure, side)] for side in (Side.LEFT, Side.RIGHT)], np.uint8)
    for structure in (Structure.WHITE, Structure.MOTOR_WHITE)
)


@njit(cache=True, nogil=True, inline="always", fastmath=True)
def _fields(fields: Field, x: float, y: float, z: float, out: Values) -> bool:
    """All fields at a body point by trilinear interpolation; False outside the lattice."""
    u, v, w = x - LOWER_MM[0], y - LOWER_MM[1], z - LOWER_MM[2]
    if u < 0 or v < 0 or w < 0 or u >= fields.shape[0] - 1 or v >= fields.shape[1] - 1 or w >= fields.shape[2] - 1:
        return False
    i, j, k = int(u), int(v), int(w)
    a, b, c = np.float32(u - i), np.float32(v - j), np.float32(w - k)
    for n in range(8):
        p = fields[i, j, k, n] + c * (fields[i, j, k + 1, n] - fields[i, j, k, n])
        q = fields[i, j + 1, k, n] + c * (fields[i, j + 1, k + 1, n] - fields[i, j + 1, k, n])
        r = fields[i + 1, j, k, n] + c * (fields[i + 1, j, k + 1, n] - fields[i + 1, j, k, n])
        s = fields[i + 1, j + 1, k, n] + c * (fields[i + 1, j + 1, k + 1, n] - fields[i + 1, j + 1, k, n])
        p += b * (q - p)
        r += b * (s - r)
        out[n] = p + a * (r - p)
    return True


@njit(cache=True, nogil=True, inline="always", fastmath=True)
def _to_sheet(across: float, past: float, gap: float) -> float:
    """Distance to the bank of a sulcus."""
    if past <= 0:
        return abs(across) - gap
    return math.sqrt(across * across + past * past) - gap


@njit(cache=True, nogil=True, inline="always", fastmath=True)
def _rounded(a: float, b: float) -> float:
    """The smaller of two distances that grow at a right angle, its edge rounded by `CROWN_MM`: still a distance."""
    p, q = CROWN_MM - a, CROWN_MM - b
    if p > 0 and q > 0:
        return CROWN_MM - math.sqrt(p * p + q * q)
    return min(a, b)


@njit(cache=True, nogil=True, inline="always", fastmath=True)
def _below_pia(f: Values) -> float:
    """Distance to the healthy pia from the fields of a point, positive in tissue."""
    hull = f[0]
    gap = (FLOOR_GAP_MM + MOUTH_GAP_MM * math.exp(-max(hull, 0.0) / MOUTH_DEPTH_MM)) / 2
    depth = _rounded(hull, _to_sheet(f[1], f[2], gap))
    depth = min(depth, _rounded(hull, _to_sheet(f[3], f[4], gap)))
    return min(depth, _rounded(hull, _to_sheet(f[5], f[6], gap)))


@njit(cache=True, nogil=True, inline="always", fastmath=True)
def _cover(distance: float, edge: float) -> float:
    return min(max(0.5 + distance / edge, 0.0), 1.0)


@njit(cache=True, nogil=True, fastmath=True)
def _shares(fields: Field, at: Points, steps: Steps, thick: Values, lost: Values, out: Values) -> None:
    """Shares of grey, white and fluid (3, n); thick, lost: mm by structure (row) and side (column)."""
    edges = np.sqrt((steps * steps).sum(axis=0))
    count = np.empty(3, np.int64)
    for n in range(3):
        count[n] = max(LEAST_SAMPLES, math.ceil(edges[n] / SUB_SAMPLE_MM))
    half = 0.5 * math.sqrt((edges * edges).sum())
    ramp = RAMP * (edges[0] / count[0] * edges[1] / count[1] * edges[2] / count[2]) ** (1 / 3)
    weight = 1.0 / (count[0] * count[1] * count[2])
    f = np.empty(8, np.float32)
    for n in range(at.shape[1]):
        x, y, z = float(at[0, n]), float(at[1, n]), float(at[2, n])
        if not _fields(fields, x, y, z, f) or f[0] < -half - 1:
            continue
        depth = _below_pia(f)
        if depth > half + 4 or f[7] > half + 1:
            out[1, n] = 1
            continue
        kind = place.structure_at(x, y, z)
        side = 1 if x > 0 else 0
        inner, outer = float(thick[kind, side]), float(lost[kind, side])
        if depth > inner + half + SLACK_MM:
            out[1, n] = 1
            continue
        if outer + half + SLACK_MM < depth < inner - half - SLACK_MM:
            out[0, n] = 1
            continue
        grey, white, fluid = 0.0, 0.0, 0.0
        for i in range(count[0]):
            p = (i + 0.5) / count[0] - 0.5
            for j in range(count[1]):
                q = (j + 0.5) / count[1] - 0.5
                for k in range(count[2]):
                    r = (k + 0.5) / count[2] - 0.5
                    if not _fields(
                        fields,
                        x + p * steps[0, 0] + q * steps[0, 1] + r * steps[0, 2],
                        y + p * steps[1, 0] + q * steps[1, 1] + r * steps[1, 2],
                        z + p * steps[2, 0] + q * steps[2, 1] + r * steps[2, 2],
                        f,
                    ):
                        continue
                    hull = _cover(f[0], ramp)
                    if hull <= 0:
                        continue
                    depth = _below_pia(f)
                    tissue = min(_cover(depth - outer, ramp), hull)
                    deep = min(_cover(depth - inner, ramp), tissue)
                    core = _cover(f[7], ramp)
                    deep += core * (hull - deep)
                    tissue += core * (hull - tissue)
                    white += deep
                    grey += tissue - deep
                    fluid += hull - tissue
        out[0, n], out[1, n], out[2, n] = grey * weight, white * weight, fluid * weight


@njit(cache=True, nogil=True, fastmath=True)
def _depths(fields: Field, at: Points, lost: Values, out: Values) -> None:
    f = np.empty(8, np.float32)
    for n in range(at.shape[1]):
        x, y, z = float(at[0, n]), float(at[1, n]), float(at[2, n])
        out[n] = -1e3
        if _fields(fields, x, y, z, f):
            out[n] = _below_pia(f) - lost[place.structure_at(x, y, z), 1 if x > 0 else 0]


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
        if not _fields(fields, x, y, z, f) or f[0] <= 0:
            continue
        side = 1 if x > 0 else 0
        kind = place.structure_at(x, y, z)
        if f[7] > 0 or _below_pia(f) > thick[kind, side]:
            motor_part = kind == place.LEG or kind == place.HAND or kind == place.BULBAR
            out[n] = motor[side] if motor_part and f[7] <= 0 and f[0] < DEEP_MOTOR_MM else white[side]
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
