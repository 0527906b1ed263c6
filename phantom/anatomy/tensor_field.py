"""Fibre bundles as tubes round centre curves, and the diffusion tensor of white matter that follows from them.

Way-points are MNI mm on the right, mirrored to the left; half-axes of the elliptic cross-section in mm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import CubicSpline, PchipInterpolator

from phantom.anatomy.parcels import Side
from phantom.tissue import BETWEEN, BUNDLE, BUNDLE_SHARE, HINDERED_MD

Floats = npt.NDArray[np.float64]
Field = npt.NDArray[np.float32]

GRID_MM = 2.0
LOWER_MM = np.array([-98.0, -134.0, -72.0])
SHAPE = (99, 117, 95)
STEP_MM = 1.0  # of arc length between discs
DISC_POINTS = 400
GOLDEN_ANGLE = 2.399963
EXTENSION_MM = 9.0  # sigma: how far a bundle's direction reaches into the white matter beside it
# Positions of xx, xy, xz, yy, yz, zz in a 3x3 matrix; tensors are (6, ...) in this order everywhere in the phantom.
SIX = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


class System(StrEnum):
    """Bundles that a disease strikes together."""

    CORTICOSPINAL = "corticospinal tract"
    CALLOSAL = "corpus callosum"
    ASSOCIATION = "association"


@dataclass(frozen=True, slots=True)
class Bundle:
    """One tube: centre curve through `points`, half-axes `a` (front-back or up-down) and `b` (across) at each point."""

    name: str
    system: System
    points: tuple[tuple[float, float, float], ...]
    a: tuple[float, ...]
    b: tuple[float, ...]


def _arch(*half: tuple[float, float, float]) -> tuple[tuple[float, float, float], ...]:
    """A commissure from its right half, whose last point lies on the midline."""
    return half + tuple((-x, y, z) for x, y, z in reversed(half[:-1]))


_STEM_A = (2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 6.0)
_STEM_B = (2.0, 2.0, 2.5, 2.5, 2.5, 2.5, 3.0, 3.5, 3.5, 3.5)

PAIRED: tuple[Bundle, ...] = (
    Bundle(
        "corticospinal, hand",
        System.CORTICOSPINAL,
        (
            (5, -28, -48),
            (6, -26, -38),
            (11, -20, -24),
            (15, -18, -14),
            (20, -15, -4),
            (23, -14, 8),
            (26, -17, 22),
            (30, -20, 36),
            (34, -22, 48),
            (37, -22, 58),
        ),
        (3, 3, 4, 4, 3.5, 3.5, 5, 7, 8, 8),
        (2.5, 2.5, 3, 3, 3, 3, 3.5, 3.5, 3.5, 3.5),
    ),
    Bundle(
        "corticospinal, leg",
        System.CORTICOSPINAL,
        (
            (5, -30, -48),
            (6, -28, -38),
            (13, -23, -24),
            (17, -21, -14),
            (21, -19, -4),
            (24, -19, 8),
            (24, -22, 22),
            (20, -25, 38),
            (14, -28, 54),
            (9, -30, 68),
        ),
        _STEM_A,
        _STEM_B,
    ),
    Bundle(
        "corticobulbar",
        System.CORTICOSPINAL,
        (
            (4, -26, -44),
            (6, -24, -36),
            (10, -17, -24),
            (14, -15, -14),
            (19, -11, -4),
            (21, -8, 8),
            (27, -10, 20),
            (38, -11, 28),
            (47, -10, 33),
            (54, -8, 36),
        ),
        _STEM_A,
        _STEM_B,
    ),
    Bundle(
        "superior longitudinal fasciculus",
        System.ASSOCIATION,
        ((40, 34, 24), (38, 18, 28), (36, 0, 30), (36, -18, 32), (38, -36, 32), (46, -48, 20)),
        (5,) * 6,
        (5,) * 6,
    ),
    Bundle(
        "inferior fronto-occipital fasciculus",
        System.ASSOCIATION,
        ((24, 50, 2), (28, 32, -4), (32, 12, -8), (35, -8, -8), (36, -34, 0), (32, -58, 6), (22, -82, 6)),
        (5, 4, 3, 3, 4, 5, 5),
        (4, 4, 3, 3, 4, 4, 4),
    ),
    Bundle(
        "cingulum",
        System.ASSOCIATION,
        ((8, 36, 4), (9, 36, 18), (9, 18, 34), (9, -6, 38), (9, -30, 38), (10, -48, 26), (16, -48, 6)),
        (3,) * 7,
        (2.5,) * 7,
    ),
)

MIDLINE: tuple[Bundle, ...] = (
    Bundle(
        "callosum, genu", System.CALLOSAL, _arch((30, 52, 12), (20, 46, 8), (8, 34, 6), (0, 30, 6)), (6,) * 7, (4,) * 7
    ),
    Bundle(
        "callosum, premotor",
        System.CALLOSAL,
        _arch((30, 12, 58), (22, 10, 46), (12, 6, 32), (0, 4, 27.5)),
        (10,) * 7,
        (2.7,) * 7,
    ),
    Bundle(
        "callosum, motor",
        System.CALLOSAL,
        _arch((40, -20, 56), (32, -20, 50), (22, -18, 38), (12, -15, 29), (0, -14, 26.5)),
        (7, 6, 6, 6, 6, 6, 6, 6, 7),
        (3, 3, 3, 2.7, 2.7, 2.7, 3, 3, 3),
    ),
    Bundle(
        "callosum, splenium",
        System.CALLOSAL,
        _arch((24, -80, 14), (22, -64, 18), (12, -44, 18), (0, -38, 14)),
        (5,) * 7,
        (4,) * 7,
    ),
)


def bundles() -> Iterator[tuple[Bundle, Side]]:
    """Every bundle with its side; a left one is the mirrored right one."""
    for bundle in PAIRED:
        yield bundle, Side.RIGHT
        mirrored = tuple((-x, y, z) for x, y, z in bundle.points)
        yield Bundle(bundle.name, bundle.system, mirrored, bundle.a, bundle.b), Side.LEFT
    for bundle in MIDLINE:
        yield bundle, Side.BOTH


def tube(bundle: Bundle) -> tuple[Floats, Floats, Floats]:
    """Points (n, 3) mm that fill the tube evenly, unit tangents (n, 3) there, and the volume each carries, mm3 (n,)."""
    points = np.array(bundle.points, float)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    curve = CubicSpline(length, points)
    arc = np.arange(0, length[-1], STEP_MM)
    centre, along = curve(arc), curve(arc, 1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    # The first transverse axis leans on the patient axis that the curve follows least: y, or z where it runs along y.
    lean = np.array([0.0, 1.0, 0.0]) if np.abs(along[:, 1]).mean() < 0.7 else np.array([0.0, 0.0, 1.0])
    first = lean - along * (along @ lean)[:, None]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    a, b = PchipInterpolator(length, bundle.a)(arc), PchipInterpolator(length, bundle.b)(arc)
    order = np.arange(DISC_POINTS)
    radius, angle = np.sqrt((order + 0.5) / DISC_POINTS), order * GOLDEN_ANGLE
    across = (radius * np.cos(angle))[None, :, None] * (first * a[:, None])[:, None]
    across = across + (radius * np.sin(angle))[None, :, None] * (second * b[:, None])[:, None]
    filled = centre[:, None] + across
    tangent = np.gradient(filled, STEP_MM, axis=0)
    tangent /= np.linalg.norm(tangent, axis=2, keepdims=True)
    volume = np.repeat(np.pi * a * b * STEP_MM / DISC_POINTS, DISC_POINTS)
    return filled.reshape(-1, 3), tangent.reshape(-1, 3), volume


def _raster(bundle: Bundle) -> tuple[npt.NDArray[np.intp], Field, Field]:
    """Voxels that the tube touches (flat index), the share of each it fills, its mean dyadic there (6, voxel)."""
    points, tangents, volume = tube(bundle)
    index = np.rint((points - LOWER_MM) / GRID_MM).astype(int)
    inside = ((index >= 0) & (index < SHAPE)).all(axis=1)
    flat = np.ravel_multi_index(tuple(index[inside].T), SHAPE)
    voxels, place = np.unique(flat, return_inverse=True)
    weight, t = volume[inside], tangents[inside]
    filled = np.bincount(place, weight)
    dyadic = np.stack([np.bincount(place, weight * t[:, i] * t[:, j]) for i, j in SIX]) / filled
    return voxels, np.minimum(filled / GRID_MM**3, 1.0).astype(np.float32), dyadic.astype(np.float32)


def _between(share: Field, dyadics: Field) -> Field:
    """Tensor of the white matter between the bundles: their directions, extended smoothly, at less anisotropy."""
    sigma = EXTENSION_MM / GRID_MM
    weight = ndimage.gaussian_filter(share.reshape(SHAPE), sigma, truncate=3).ravel()
    extended = np.stack([ndimage.gaussian_filter(d.reshape(SHAPE), sigma, truncate=3).ravel() for d in dyadics])
    extended /= np.maximum(weight, np.float32(1e-6))
    undirected = 1 - extended[[0, 3, 5]].sum(axis=0)  # far from every bundle
    axial, radial = BETWEEN
    tensor = np.float32(axial - radial) * extended
    for row in (0, 3, 5):
        tensor[row] += radial + (axial - radial) * undirected / 3
    return np.asarray(tensor, np.float32)


def white_matter_tensor(extra_radial: Mapping[tuple[System, Side], float]) -> Field:
    """Diffusion tensor of white matter on the whole template: (6, x, y, z) um2/ms, 2 mm grid from `LOWER_MM`.

    extra_radial: radial diffusivity (um2/ms) that disease adds inside the bundles of a system on a side.
    """
    size = int(np.prod(SHAPE))
    share, radial_field = np.zeros(size, np.float32), np.zeros(size, np.float32)
    dyadics, lost = np.zeros((6, size), np.float32), np.zeros((6, size), np.float32)
    axial, radial = BUNDLE
    for bundle, side in bundles():
        voxels, filled, dyadic = _raster(bundle)
        share[voxels] += filled
        dyadics[:, voxels] += filled * dyadic
        extra = extra_radial.get((bundle.system, side), 0.0)
        radial_field[voxels] += filled * (radial + extra)
        lost[:, voxels] += filled * extra * dyadic
    crowd = np.maximum(share, 1.0)  # where bundles cross they share the voxel
    tensor = (np.float32(axial - radial) * dyadics - lost) / crowd
    isotropic = radial_field / crowd
    for row in (0, 3, 5):
        tensor[row] += isotropic
    filled_share = np.minimum(share, 1.0)
    hindered = np.array([HINDERED_MD, 0, 0, HINDERED_MD, 0, HINDERED_MD], np.float32)[:, None]
    bundle_part = np.float32(BUNDLE_SHARE) * tensor + np.float32(1 - BUNDLE_SHARE) * hindered * filled_share
    whole = bundle_part + (1 - filled_share) * _between(share, dyadics)
    return np.asarray(whole.reshape(6, *SHAPE), np.float32)
