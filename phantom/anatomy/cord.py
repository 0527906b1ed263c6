"""The cervical cord in its canal: curved centre line, areas by level, grey butterfly, corticospinal tract.

Body coordinates (MNI mm) to cord coordinates: u to the right, v to the front, s along the centre line down from the
foramen magnum, mm. The cross-section at s lies in the plane perpendicular to the line, so its area is exact there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline, PchipInterpolator

from phantom.anatomy import _spine
from phantom.anatomy.body import Fractions, Labels, Points, Steps
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure
from phantom.anatomy.shapes import Triple

Floats = npt.NDArray[np.float64]

SAMPLE_MM = 0.5
CORD_REACH_MM = 20.0  # from the line: more than the cord is wide

# The centre line from the foramen magnum down to T1/T2: on from the template's medulla, lordosis of radius > 60 mm.
LINE_MM: tuple[Triple, ...] = (
    (0.0, -42.6, -62.0),
    (0.0, -46.5, -72.0),
    (0.0, -50.6, -88.0),
    (0.0, -53.0, -106.0),
    (0.0, -54.6, -126.0),
    (0.0, -57.6, -146.0),
    (0.0, -63.0, -166.0),
    (0.0, -70.5, -186.0),
    (0.0, -79.5, -206.0),
    (0.0, -89.0, -226.0),
)


@dataclass(frozen=True, slots=True)
class Level:
    """A vertebral level: s at its upper and lower end (disc to disc), area of cord and of its grey matter, its shape.

    flatness: depth over width. process_mm: length of the spinous process behind the canal.
    """

    upper_mm: float
    lower_mm: float
    area_mm2: float
    grey_mm2: float
    flatness: float
    process_mm: float


# Areas: adult means by level of the PAM50 template, whole voxels (10.1016/j.neuroimage.2017.10.041); C2/3 lies 64 mm
# below the pontomedullary junction (10.1038/s41598-023-40731-3); lengths, flatness and processes: estimates.
LEVELS: Mapping[Structure, Level] = MappingProxyType(
    {
        Structure.CORD_C1: Level(8.0, 22.0, 63.0, 11.6, 0.72, 5.0),
        Structure.CORD_C2: Level(22.0, 47.0, 64.0, 12.3, 0.68, 26.0),
        Structure.CORD_C3: Level(47.0, 64.5, 66.0, 13.8, 0.63, 18.0),
        Structure.CORD_C4: Level(64.5, 82.0, 73.0, 15.4, 0.58, 18.0),
        Structure.CORD_C5: Level(82.0, 99.0, 72.0, 14.2, 0.56, 20.0),
        Structure.CORD_C6: Level(99.0, 116.0, 64.0, 13.5, 0.57, 26.0),
        Structure.CORD_C7: Level(116.0, 134.0, 51.0, 9.8, 0.61, 34.0),
    }
)
T1 = Level(134.0, 155.0, 44.0, 7.7, 0.70, 34.0)
FORAMEN = Level(-4.0, 4.0, 118.0, 14.0, 0.90, 0.0)  # the medulla's lower end

# Half-width and half-depth of the dural sac at s, mm: wide in the foramen magnum (estimate).
SAC_MM: tuple[Triple, ...] = (
    (0.0, 13.5, 11.5),
    (15.0, 12.0, 9.5),
    (40.0, 10.5, 7.5),
    (130.0, 10.0, 6.8),
    (155.0, 9.0, 6.8),
)

# Lateral corticospinal tract: centre and half-axes in units of the cord's half-width and half-depth, 4 mm2 a side
# (10.1016/j.neuroimage.2017.10.041 measured on its template: |u| 0.63...0.67, v -0.28...-0.33).
TRACT_CENTRE = (0.65, -0.30)
TRACT_HALF = (0.19, 0.30)


class Cord:
    """A cord on a line of points (from above, mm), with a level for each vertebra."""

    def __init__(self, line_mm: Sequence[Triple] = LINE_MM, levels: Mapping[Structure, Level] = LEVELS) -> None:
        self.levels = dict(levels)
        self._points, self._tangents = _resampled(np.array(line_mm, float))
        self.length_mm = (len(self._points) - 1) * SAMPLE_MM
        ordered = [FORAMEN, *self.levels.values(), T1]
        middle = [(level.upper_mm + level.lower_mm) / 2 for level in ordered]
        self._area = PchipInterpolator(middle, [level.area_mm2 for level in ordered])
        self._grey = PchipInterpolator(middle, [level.grey_mm2 for level in ordered])
        self._flat = PchipInterpolator(middle, [level.flatness for level in ordered])
        self._limits = middle[0], middle[-1]
        self.table = self._tabulated(ordered)

    def _at(self, curve: PchipInterpolator, s_mm: npt.ArrayLike) -> Floats:
        return np.asarray(curve(np.clip(s_mm, *self._limits)), float)

    def area_mm2(self, s_mm: npt.ArrayLike) -> Floats:
        """Area of the cord's section perpendicular to its line."""
        return self._at(self._area, s_mm)

    def grey_mm2(self, s_mm: npt.ArrayLike) -> Floats:
        """Area of the butterfly in that section."""
        return self._at(self._grey, s_mm)

    def mean_area_mm2(self, level: Structure) -> float:
        """Mean area over a level: what an analysis of that level should find."""
        part = self.levels[level]
        return float(self._area.integrate(part.upper_mm, part.lower_mm)) / (part.lower_mm - part.upper_mm)

    def half_axes_mm(self, s_mm: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Half-width and half-depth: area = pi · a · b."""
        area, flat = self.area_mm2(s_mm), self._at(self._flat, s_mm)
        return np.sqrt(area / (np.pi * flat)), np.sqrt(area * flat / np.pi)

    def body(self, u_mm: float, v_mm: float, s_mm: float) -> npt.NDArray[np.float32]:
        """Body point (3,) of cord coordinates."""
        at = s_mm / SAMPLE_MM
        point, tangent = (
            np.array([np.interp(at, np.arange(len(field)), axis) for axis in field.T])
            for field in (self._points, self._tangents)
        )
        right, front = _frame(tangent[None])
        return np.asarray(point + u_mm * right[0] + v_mm * front[0], np.float32)

    def coordinates(self, at: Points) -> Points:
        """Cord coordinates (u, v, s) of body points (3, n); s is below 0 above the foramen magnum."""
        out = np.empty(at.shape, np.float32)
        _spine.coordinates(self.table, np.ascontiguousarray(at), out)
        return out

    def parcels(self, at: Points) -> Labels:
        """Number of the cord level (n,) inside the cord, 0 elsewhere."""
        labels = np.zeros(at.shape[1], np.uint8)
        left, right = self._points[:, 0].min() - CORD_REACH_MM, self._points[:, 0].max() + CORD_REACH_MM
        near = np.flatnonzero((at[2] < self._points[0, 2]) & (at[0] > left) & (at[0] < right))
        u, v, s = self.coordinates(at[:, near])
        a, b = self.half_axes_mm(s)
        inside = np.hypot(u / a, v / b) < _spine.contours(np.arctan2(v / b, u / a))
        for structure, level in self.levels.items():
            labels[near[inside & (s >= level.upper_mm) & (s < level.lower_mm)]] = LABEL[Parcel(structure, Side.BOTH)]
        return labels

    def corticospinal(self, at: Points, side: Side) -> npt.NDArray[np.bool_]:
        """Points (n,) in the lateral corticospinal tract of a side of the patient."""
        u, v, s = self.coordinates(at)
        a, b = self.half_axes_mm(s)
        sign = 1.0 if side is Side.RIGHT else -1.0
        along = (sign * u / a - TRACT_CENTRE[0]) / TRACT_HALF[0], (v / b - TRACT_CENTRE[1]) / TRACT_HALF[1]
        return np.asarray((along[0] ** 2 + along[1] ** 2 < 1) & (s > 0) & (s < self.length_mm))

    def paint(self, fractions: Fractions, at: Points, steps: Steps) -> None:
        """Paint spine, canal and cord over `fractions` (tissue, n)."""
        _spine.paint_spine(self.table, np.ascontiguousarray(at), spread(steps), fractions)

    def _tabulated(self, ordered: Sequence[Level]) -> npt.NDArray[np.float32]:
        s = np.arange(len(self._points)) * SAMPLE_MM
        table = np.zeros((len(s), _spine.COLUMNS))
        right, front = _frame(self._tangents)
        table[:, 0:3], table[:, 3:6] = self._points, self._tangents
        table[:, 6:9], table[:, 9:12] = right, front
        half = self.half_axes_mm(s)
        table[:, _spine.HALF_WIDTH], table[:, _spine.HALF_DEPTH] = half
        table[:, _spine.GREY_SCALE] = np.sqrt(self.grey_mm2(s) / (half[0] * half[1] * _spine.butterfly_area()))
        sac = np.array(SAC_MM)
        table[:, _spine.SAC_WIDTH], table[:, _spine.SAC_DEPTH] = (np.interp(s, sac[:, 0], sac[:, n]) for n in (1, 2))
        bones = [level for level in ordered if level.lower_mm > self.levels[Structure.CORD_C2].upper_mm]
        discs = np.array([level.lower_mm for level in bones])
        table[:, _spine.TO_DISC] = np.abs(s[:, None] - discs).min(axis=1)
        arches = np.array([0.3 * level.upper_mm + 0.7 * level.lower_mm for level in [*self.levels.values(), T1]])
        nearest = np.abs(s[:, None] - arches).argmin(axis=1)
        table[:, _spine.TO_ARCH] = s - arches[nearest]
        table[:, _spine.PROCESS] = np.array([level.process_mm for level in [*self.levels.values(), T1]])[nearest]
        table[:, _spine.DENS] = s - self.levels[Structure.CORD_C1].upper_mm
        return np.asarray(table, np.float32)


def spread(steps: Steps) -> npt.NDArray[np.float32]:
    """steps·stepsᵀ as xx yy zz xy xz yz: how far a voxel reaches along any normal, squared."""
    square = steps @ steps.T
    return np.array([*np.diag(square), square[0, 1], square[0, 2], square[1, 2]], np.float32)


def _frame(tangents: Floats) -> tuple[Floats, Floats]:
    """Right and front, each (n, 3), perpendicular to tangents that run down."""
    right = np.array([1.0, 0.0, 0.0]) - tangents * tangents[:, :1]
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return right, np.cross(right, tangents)


def _resampled(line: Floats) -> tuple[Floats, Floats]:
    """Points and unit tangents (n, 3) each SAMPLE_MM of arc along a smooth curve through `line`."""
    chord = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    curve = CubicSpline(chord, line)
    fine = np.linspace(0, chord[-1], int(chord[-1] / 0.01))
    speed = np.linalg.norm(curve(fine, 1), axis=1)
    arc = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(fine))])
    even = np.interp(np.arange(0, arc[-1], SAMPLE_MM), arc, fine)
    tangents = curve(even, 1)
    return curve(even), tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
