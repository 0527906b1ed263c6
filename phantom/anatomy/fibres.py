"""Which fibres run through a voxel and which way: the tubes of `bundles`, and what lies between; body coordinates.

A tube is the map F(s, u, v) = C(s) + u A(s) + v B(s) of a unit disc along its centre curve C, with A and B the
half-axes of its section, square to the tangent. A point lies in the section whose plane holds it, which gives s, u and
v; the fibre there runs along dF/ds. Nothing is read off a grid, so directions have no stairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.spatial import cKDTree

from phantom.anatomy import _tubes
from phantom.anatomy._tubes import CELL_MM, COLUMNS, FIBRES
from phantom.anatomy.body import Points, Steps
from phantom.anatomy.bundles import Tube, tubes
from phantom.anatomy.parcels import Side
from phantom.tissue import BUNDLE
from phantom.tissue import BUNDLE_SHARE as BUNDLE_SHARE

if TYPE_CHECKING:
    from phantom.disease import BundleChange

Floats = npt.NDArray[np.float64]
Field = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.uint8]

# Positions of xx, xy, xz, yy, yz, zz in a 3x3 matrix; tensors are (6, ...) in this order everywhere in the phantom.
SIX = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
SAMPLE_MM = 0.5  # of the centre curve between rows of its table
SUBSAMPLE_MM = 0.7  # a voxel is looked at on a lattice of about this step
SUBSAMPLES = (3, 8)  # least and most of them along an edge

# Columns of a tube's table: curve, half-axes, and the derivatives of all three by the row.
CURVE, FIRST, SECOND, TANGENT, FIRST_SLOPE, SECOND_SLOPE = (slice(k, k + 3) for k in range(0, 18, 3))

# White matter between the tubes follows its neighbours, and far from them runs out from the core of its lobe.
BETWEEN_GRID_MM = 4.0
BETWEEN_LOWER_MM = np.array([-84.0, -120.0, -84.0])
BETWEEN_SHAPE = (43, 51, 43)
REACH_MM = 6.0  # sigma: how far a tube's direction reaches into the white matter beside it
OUTWARD = 0.004  # weight of the outward direction; a place full of tube has about 1
CORES: tuple[tuple[tuple[float, float, float], ...], ...] = (
    ((22, 42, 4), (24, 22, 14), (25, 0, 20), (26, -20, 20), (28, -45, 16), (22, -74, 8)),
    ((38, 0, -24), (40, -20, -16), (40, -42, -8)),
    ((14, -56, -36), (18, -62, -36)),
)
CORE_STEPS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Compartments:
    """What white matter is made of at each of n points; shares are of the voxel as far as it is white matter.

    share (FIBRES, n): what each fibre fills, largest first, disease not yet taken away. direction (FIBRES, 3, n): unit,
    sign as the tube runs. number (FIBRES, n): place of the tube in `tubes`, from 1; 0 = none. between (6, n): mean
    dyadic of the rest, trace 1, in the order of `SIX`.
    """

    share: Field
    direction: Field
    number: Numbers
    between: Field

    def carried(self, carry: Field) -> Compartments:
        """The same in another frame: tangents go through matrices (n, 3, 3)."""
        carried = np.einsum("nij,fjn->fin", carry, self.direction, optimize=True)
        direction = carried / np.maximum(np.linalg.norm(carried, axis=1, keepdims=True), np.float32(1e-9))
        full = np.empty((self.between.shape[1], 3, 3), np.float32)
        for value, (row, column) in zip(self.between, SIX, strict=True):
            full[:, row, column] = full[:, column, row] = value
        full = np.asarray(carry @ full @ carry.transpose(0, 2, 1))
        full /= np.trace(full, axis1=1, axis2=2)[:, None, None]
        between = np.stack([full[:, row, column] for row, column in SIX])
        return Compartments(self.share, np.asarray(direction, np.float32), self.number, between)


def table(tube: Tube) -> Floats:
    """(row, COLUMNS): a tube sampled every `SAMPLE_MM` or a little less; derivatives are per row."""
    points = np.array(tube.points, float)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    rows = int(np.ceil(length[-1] / SAMPLE_MM)) + 1
    at = np.linspace(0, length[-1], rows)
    curve = CubicSpline(length, points)
    along = curve(at, 1)
    tangent = along / np.linalg.norm(along, axis=1, keepdims=True)
    first = np.array(tube.lean) - tangent * (tangent @ np.array(tube.lean))[:, None]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(tangent, first)
    a, b = (PchipInterpolator(length, half)(at)[:, None] for half in (tube.a, tube.b))
    axes = [CubicSpline(np.arange(rows), axis) for axis in (first * a, second * b)]
    result = np.empty((rows, COLUMNS))
    result[:, CURVE], result[:, TANGENT] = curve(at), along * (at[1] - at[0])
    for place, slope, axis in zip((FIRST, SECOND), (FIRST_SLOPE, SECOND_SLOPE), axes, strict=True):
        result[:, place], result[:, slope] = axis(np.arange(rows)), axis(np.arange(rows), 1)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where to look: cells of `CELL_MM` from `lower`, each with the tubes that come near and the row of each to try.

    rows (row, COLUMNS) of all tubes, tube k from start[k] to start[k + 1]; cell c has entries cells[c] to cells[c + 1]
    of `near` (entry, 2): tube, row.
    """

    rows: Floats
    start: npt.NDArray[np.int64]
    lower: Floats
    shape: tuple[int, int, int]
    cells: npt.NDArray[np.int64]
    near: npt.NDArray[np.int32]


@lru_cache(maxsize=1)
def lattice() -> Lattice:
    """The tubes of the body, ready to be looked up."""
    return laid_out([one for one, _ in tubes()])


def laid_out(bundles: list[Tube]) -> Lattice:
    """Tables of tubes and which of them come near each cell."""
    tables = [table(one) for one in bundles]
    rows = np.concatenate(tables)
    start = np.r_[0, np.cumsum([len(one) for one in tables])]
    reach = np.array([max(*one.a, *one.b) for one in bundles]) + CELL_MM * np.sqrt(3) / 2
    lower = rows[:, CURVE].min(axis=0) - reach.max() - CELL_MM
    nx, ny, nz = (int(n) for n in np.ceil((rows[:, CURVE].max(axis=0) + reach.max() + CELL_MM - lower) / CELL_MM))
    entries = []
    for number, one in enumerate(tables):
        best = np.full(nx * ny * nz, np.inf)
        row = np.zeros(nx * ny * nz, np.int32)
        _tubes.nearest_rows(one[:, CURVE], reach[number], lower, (nx, ny, nz), best, row)
        touched = np.flatnonzero(best < np.inf)
        entries.append(np.stack([touched, np.full(len(touched), number), row[touched]], axis=1))
    listed = np.concatenate(entries)
    listed = listed[np.argsort(listed[:, 0], kind="stable")]
    cells = np.searchsorted(listed[:, 0], np.arange(nx * ny * nz + 1))
    near = np.ascontiguousarray(listed[:, 1:], np.int32)
    return Lattice(rows, start.astype(np.int64), lower, (nx, ny, nz), cells.astype(np.int64), near)


def _offsets(steps: Steps) -> Floats:
    """Places (k, 3) mm inside a voxel of `steps`, spread evenly."""
    edges = np.linalg.norm(steps, axis=0)
    counts = np.clip(np.ceil(edges / SUBSAMPLE_MM), *SUBSAMPLES).astype(int)
    parts = np.meshgrid(*[(np.arange(count) + 0.5) / count - 0.5 for count in counts], indexing="ij")
    return np.asarray(np.stack([part.ravel() for part in parts], axis=1) @ steps.T)


def filled(where: Lattice, at: Points, steps: Steps) -> tuple[Field, Field, Numbers]:
    """Share, direction and number of the fibres in voxels of `steps` at points (3, n), as in `Compartments`."""
    count = at.shape[1]
    share, number = np.zeros((FIBRES, count), np.float32), np.zeros((FIBRES, count), np.uint8)
    direction = np.zeros((FIBRES, 3, count), np.float32)
    _tubes.fill(
        at,
        _offsets(steps),
        where.rows,
        where.start,
        where.lower,
        where.shape,
        where.cells,
        where.near,
        share,
        direction,
        number,
    )
    return share, direction, number


def _outward(points: Floats) -> Floats:
    """Unit vectors (n, 3) away from the nearest core of white matter."""
    lines = []
    for core in CORES:
        way = np.array(core, float)
        line = np.concatenate([np.linspace(a, b, CORE_STEPS, endpoint=False) for a, b in pairwise(way)])
        lines += [line, line * [-1, 1, 1]]
    every = np.concatenate(lines)
    _, nearest = cKDTree(every).query(points)
    away = points - every[nearest]
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6))


@lru_cache(maxsize=1)
def _between() -> Field:
    """Mean dyadic (6, i, j, k), trace 1, of the white matter between the tubes, on a coarse grid."""
    rows = lattice().rows
    area = np.pi * np.linalg.norm(rows[:, FIRST], axis=1) * np.linalg.norm(rows[:, SECOND], axis=1)
    step = np.linalg.norm(rows[:, TANGENT], axis=1)
    tangent = rows[:, TANGENT] / step[:, None]
    index = np.rint((rows[:, CURVE] - BETWEEN_LOWER_MM) / BETWEEN_GRID_MM).astype(int)
    inside = ((index >= 0) & (index < BETWEEN_SHAPE)).all(axis=1)
    flat = np.ravel_multi_index(tuple(index[inside].T), BETWEEN_SHAPE)
    weight = (area * step / BETWEEN_GRID_MM**3)[inside]
    size = int(np.prod(BETWEEN_SHAPE))
    sigma = REACH_MM / BETWEEN_GRID_MM
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in BETWEEN_SHAPE], indexing="ij"), axis=-1).reshape(-1, 3)
    outward = _outward(grid * BETWEEN_GRID_MM + BETWEEN_LOWER_MM)
    dyadic = np.empty((6, *BETWEEN_SHAPE))
    for place, (i, j) in enumerate(SIX):
        laid = np.bincount(flat, weight * tangent[inside, i] * tangent[inside, j], size).reshape(BETWEEN_SHAPE)
        spread = ndimage.gaussian_filter(laid, sigma)
        dyadic[place] = spread + OUTWARD * (outward[:, i] * outward[:, j]).reshape(BETWEEN_SHAPE)
    return np.asarray(dyadic / dyadic[[0, 3, 5]].sum(axis=0), np.float32)


class Fibres:
    """The fibres of a person as disease left them."""

    def __init__(self, changes: Mapping[tuple[str, Side], BundleChange]) -> None:
        """changes: by name of the bundle and side; what is not named is healthy."""
        listed = list(tubes())
        radial, kept = np.ones(len(listed) + 1), np.ones(len(listed) + 1)
        for number, (one, side) in enumerate(listed, start=1):
            change = changes.get((one.name, side))
            if change is not None:
                radial[number], kept[number] = change.radial, change.share
        unknown = set(changes) - {(one.name, side) for one, side in listed}
        if unknown:
            raise ValueError(f"no such bundle: {sorted(unknown)}")
        self.radial = np.asarray(BUNDLE[1] * radial, np.float32)  # um2/ms, by number in Compartments
        self.kept = np.asarray(kept, np.float32)  # share of the fibres that is left, by number

    def at(self, points: Points, steps: Steps) -> Compartments:
        """Fibres in voxels of `steps` at body points (3, n)."""
        share, direction, number = filled(lattice(), np.ascontiguousarray(points, np.float32), steps)
        index = (points - BETWEEN_LOWER_MM[:, None].astype(np.float32)) / np.float32(BETWEEN_GRID_MM)
        parts = [ndimage.map_coordinates(axis, index, order=1, mode="nearest", prefilter=False) for axis in _between()]
        return Compartments(share, direction, number, np.stack(parts))
