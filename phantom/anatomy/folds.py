"""The folded surface of the cerebrum: hull, interhemispheric and Sylvian fissure, insula, sulci as upright sheets.

The hull comes from the template; sulci are sheets: of a band-limited random field that is constant along the way from
a hemisphere's axis outwards (so they stand upright), and by definition the central, pre- and postcentral and cingulate
sulcus. The distance to the pia follows from the distances to hull and sheets, each smooth and finer than the lattice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import ndimage

from phantom.anatomy import parcellation as place
from phantom.anatomy.levelset import NONE, signed_distance, sweep
from phantom.anatomy.template import Template

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

LOWER_MM = np.array([-75.0, -110.0, -54.0])
SHAPE = (151, 190, 140)  # nodes of the 1 mm lattice

BRAIN_SHARE = 0.3  # grey + white above it is brain
COARSE = 2  # mm: the outer hull is smooth
HULL_SMOOTH_MM = 3.5
FISSURE_HALF_MM = 1.2  # interhemispheric
SYLVIAN_HALF_MM = 1.3
HULL_REACH_MM = 30.0
SHEET_REACH_MM = 6.0  # more than the thickest cortex and a voxel

# Height of the tentorium by |x| (columns) and y (rows), read off the template.
TENTORIUM_X_MM = np.array([0.0, 15.0, 30.0, 45.0, 58.0])
TENTORIUM_Y_MM = np.array([-95.0, -85.0, -75.0, -65.0, -55.0, -45.0, -38.0])
TENTORIUM_Z_MM = np.array(
    [
        [-22.0, -22.0, -22.0, -22.0, -22.0],
        [-21.0, -19.5, -21.0, -23.0, -24.0],
        [-13.0, -15.0, -20.0, -21.5, -24.0],
        [-6.0, -12.0, -19.0, -22.0, -25.0],
        [1.0, -10.0, -19.5, -25.0, -28.0],
        [1.0, -11.0, -22.0, -30.0, -33.0],
        [0.0, -15.0, -26.0, -32.0, -36.0],
    ]
)
STEM_X_MM, STEM_Z_MM, STEM_Y_MM = 17.0, -11.0, -4.0  # brain stem: below, behind and between

# Sheets of the random field.
SEED = 4
NOISE_MM = 2.5  # lattice of the field
BAND_MM = (4.0, 6.0)  # difference of Gaussians: half a wavelength of 11 mm
AXIS_RADIUS_MM = 38.0  # radius at which the field is read, round a hemisphere's axis
TEMPORAL_RADIUS_MM = 24.0
NARROWEST = 0.47  # nearer to the axis than this share of that radius the gyri would be too narrow: sheets end
BEND_MM = 2.6  # sheets wave on their way down
UPPER_AXIS_MM = np.array([[30.0, 40.0, 16.0], [30.0, -5.0, 28.0], [30.0, -62.0, 24.0]])
TEMPORAL_AXIS_MM = np.array([[36.0, 6.0, -27.0], [36.0, -25.0, -20.0], [32.0, -62.0, -2.0]])
DEPTH_MM, DEPTH_SPREAD_MM, DEPTH_SMOOTH_MM = 16.0, 3.5, 13.0
LEAST_DEPTH_MM = 4.0
STRIP_MARGIN_MM = 6.0  # no random sheet this near to the outer sulci of the motor strip

# Sulci: wide at the mouth, closed below; radius of a gyrus' crown (no more than the thinnest cortex, so that the layer
# under it stays exact: offsets of a rounded edge at a depth beyond its radius are those of the sharp one).
FLOOR_GAP_MM, MOUTH_GAP_MM, MOUTH_DEPTH_MM = 0.4, 1.5, 8.0
CROWN_MM = 1.9

FIRST_MM = 1.3  # nodes this near to the pia look for their foot on it themselves
EXACT_MM = 4.5  # the distance to the pia is exact up to here, more than the thickest cortex and a voxel
PIAL_STEP_MM = 0.2  # for slopes of the distance to the pia
LANDED_MM = 0.02
AGREES_MM = 0.01

MOTOR_DEPTH_MM = 17.0
CINGULATE_DEPTH_MM = 11.0
CINGULATE_BACK_Y_MM, CINGULATE_FLOOR_Z_MM = -30.0, -6.0
CORE_MARGIN_MM = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Fields (x, y, z, 8) on a 1 mm lattice from `LOWER_MM`, mm; read by `FIELDS`."""

    fields: Field


# Distance into the hull; each family of sheets: distance to it with a side, and how far outside its domain; what is to
# be added to the distance to the pia that these give.
FIELDS = ("hull", "random", "random_end", "motor", "motor_end", "cingulate", "cingulate_end", "more")


def _axes() -> tuple[Field, Field, Field]:
    x, y, z = (np.arange(n, dtype=np.float32) + np.float32(low) for n, low in zip(SHAPE, LOWER_MM, strict=True))
    return x, y, z


def tentorium_mm(x: Field, y: Field) -> Field:
    """Height z of the tentorium (roof of the cerebellum) over points; broadcasts."""
    row = np.interp(y, TENTORIUM_Y_MM, np.arange(TENTORIUM_Y_MM.size))
    column = np.interp(np.abs(x), TENTORIUM_X_MM, np.arange(TENTORIUM_X_MM.size))
    row, column = np.broadcast_arrays(row, column)
    height = ndimage.map_coordinates(TENTORIUM_Z_MM, np.stack([row, column]), order=1, mode="nearest")
    return np.asarray(height, np.float32)


def _cerebrum(template: Template) -> tuple[Mask, Field]:
    """Cerebrum without fissures (x, y, z) on a lattice of `COARSE` mm, and its lower corner."""
    lower = LOWER_MM - 4
    count = [(n + 8) // COARSE for n in SHAPE]
    first = np.rint(lower - template.origin_mm).astype(int)
    part = tuple(slice(int(i), int(i) + COARSE * n, COARSE) for i, n in zip(first, count, strict=True))
    mask = template.grey[part] + template.white[part] > BRAIN_SHARE
    x, y, z = np.meshgrid(
        *[low + COARSE * np.arange(n) for low, n in zip(lower, count, strict=True)], indexing="ij", sparse=True
    )
    below = z < tentorium_mm(x, y)
    behind = (y < TENTORIUM_Y_MM[-1]) | ((y < -28) & (np.abs(x) < 26) & (z < -20))
    stem = (np.abs(x) < STEM_X_MM) & (z < STEM_Z_MM) & (y < STEM_Y_MM) & (y > -50)
    core = _core(x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)) > 0
    mask = (mask | core) & ~(below & behind) & ~(stem & ~core)
    return np.asarray(ndimage.binary_fill_holes(mask)), lower.astype(np.float32)


@njit(cache=True, nogil=True)
def _core(x: Field, y: Field, z: Field) -> Field:
    out = np.empty((x.size, y.size, z.size), np.float32)
    for i in range(x.size):
        for j in range(y.size):
            for k in range(z.size):
                out[i, j, k] = place.core_mm(float(x.flat[i]), float(y.flat[j]), float(z.flat[k]))
    return out


def _outer(template: Template) -> Field:
    """Distance into the cerebrum without its fissures (x, y, z) on the lattice, mm."""
    mask, lower = _cerebrum(template)
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), HULL_SMOOTH_MM / COARSE, truncate=3) - np.float32(0.5)
    coarse = signed_distance(smooth, HULL_REACH_MM / COARSE) * np.float32(COARSE)
    # Every node of the coarse lattice lies on one of the fine: the rest by linear interpolation.
    index = [((axis - low) / COARSE).astype(np.float32) for axis, low in zip(_axes(), lower, strict=True)]
    return _linear(coarse, *index)


@njit(cache=True, nogil=True)
def _linear(coarse: Field, i: Field, j: Field, k: Field) -> Field:
    """Trilinear values at the grid of three index axes."""
    out = np.empty((i.size, j.size, k.size), np.float32)
    for a in range(i.size):
        p = int(i[a])
        u = i[a] - p
        for b in range(j.size):
            q = int(j[b])
            v = j[b] - q
            for c in range(k.size):
                r = int(k[c])
                w = k[c] - r
                near = (1 - u) * (1 - v) * coarse[p, q, r] + (1 - u) * v * coarse[p, q + 1, r]
                near += u * (1 - v) * coarse[p + 1, q, r] + u * v * coarse[p + 1, q + 1, r]
                far = (1 - u) * (1 - v) * coarse[p, q, r + 1] + (1 - u) * v * coarse[p, q + 1, r + 1]
                far += u * (1 - v) * coarse[p + 1, q, r + 1] + u * v * coarse[p + 1, q + 1, r + 1]
                out[a, b, c] = (1 - w) * near + w * far
    return out


@njit(cache=True, nogil=True)
def _carved(outer: Field, x: Field, y: Field, z: Field) -> Field:
    """Field whose zero is the hull: the outer surface, carved by the interhemispheric and the Sylvian fissure."""
    out = np.empty(outer.shape, np.float32)
    for i in range(x.size):
        aside = abs(x[i])
        for j in range(y.size):
            for k in range(z.size):
                value = outer[i, j, k]
                if value > -3:
                    value = min(value, max(aside - FISSURE_HALF_MM, place.core_mm(x[i], y[j], z[k])))
                    if aside > place.INSULA_X_MM - 8:
                        slope = place.SYLVIAN_FRONT if y[j] > 0 else place.SYLVIAN_BACK
                        away = place.sylvian_mm(x[i], y[j], z[k]) / math.sqrt(1 + slope * slope)
                        past = max(place.INSULA_X_MM - aside, place.SYLVIAN_END_Y_MM - y[j], y[j] - 26, 0.0)
                        value = min(value, math.sqrt(away * away + past * past) - SYLVIAN_HALF_MM)
                        away = aside - place.insula_x(y[j], z[k])
                        past = max(-place.insula_mm(y[j], z[k]), 0.0)
                        value = min(value, math.sqrt(away * away + past * past) - SYLVIAN_HALF_MM)
                out[i, j, k] = value
    return out


def _noise(random: np.random.Generator, sigma_mm: float, less_mm: float = 0.0) -> Field:
    """Smooth random field of unit variance on a lattice of `NOISE_MM` round all axes."""
    shape = tuple(int(n) for n in np.ceil((2 * 60 + np.array(SHAPE)) / NOISE_MM))
    white = random.standard_normal(shape, dtype=np.float32)
    field = ndimage.gaussian_filter(white, sigma_mm / NOISE_MM, truncate=3)
    if less_mm:
        field -= ndimage.gaussian_filter(white, less_mm / NOISE_MM, truncate=3)
    return np.asarray(field / field.std(), np.float32)


@njit(cache=True, nogil=True, inline="always")
def _cubic(t: float) -> tuple[float, float, float, float]:
    """Weights of the uniform cubic B-spline: twice smooth, so are the sheets."""
    s = 1 - t
    return s * s * s / 6, (4 - 6 * t * t + 3 * t * t * t) / 6, (4 - 6 * s * s + 3 * s * s * s) / 6, t * t * t / 6


@njit(cache=True, nogil=True)
def _read(noise: Field, x: float, y: float, z: float) -> float:
    """Value of a random field at body mm."""
    u = (x - LOWER_MM[0] + 60) / NOISE_MM
    v = (y - LOWER_MM[1] + 60) / NOISE_MM
    w = (z - LOWER_MM[2] + 60) / NOISE_MM
    i, j, k = int(u), int(v), int(w)
    a, b, c = _cubic(u - i), _cubic(v - j), _cubic(w - k)
    total = 0.0
    for p in range(4):
        for q in range(4):
            row = noise[i + p - 1, j + q - 1]
            line = c[0] * row[k - 1] + c[1] * row[k] + c[2] * row[k + 1] + c[3] * row[k + 2]
            total += a[p] * b[q] * line
    return total


@njit(cache=True, nogil=True)
def _outwards(
    axis: npt.NDArray[np.float64], radius: float, x: float, y: float, z: float
) -> tuple[float, float, float, float]:
    """Point at `radius` from a hemisphere's axis (a polyline, given on the right), on the way through a point; how
    far that lies from the axis.
    """
    side = 1.0 if x > 0 else -1.0
    aside = abs(x)
    best = 1e9
    cx, cy, cz = 0.0, 0.0, 0.0
    for n in range(axis.shape[0] - 1):
        dx, dy, dz = axis[n + 1, 0] - axis[n, 0], axis[n + 1, 1] - axis[n, 1], axis[n + 1, 2] - axis[n, 2]
        part = (aside - axis[n, 0]) * dx + (y - axis[n, 1]) * dy + (z - axis[n, 2]) * dz
        part = min(max(part / (dx * dx + dy * dy + dz * dz), 0.0), 1.0)
        px, py, pz = axis[n, 0] + part * dx, axis[n, 1] + part * dy, axis[n, 2] + part * dz
        away = (aside - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2
        if away < best:
            best, cx, cy, cz = away, px, py, pz
    away = math.sqrt(best)
    scale = radius / max(away, 1.0)
    return side * (cx + (aside - cx) * scale), cy + (y - cy) * scale, cz + (z - cz) * scale, away


@njit(cache=True, nogil=True)
def _sheets(
    hull: Field, outer: Field, x: Field, y: Field, z: Field, band: Field, slow: Field, out: Field, active: Mask
) -> None:
    """Level functions of the three families of sheets and their ends to `out`; `active`: where they count."""
    deepest = max(DEPTH_MM + 3 * DEPTH_SPREAD_MM, MOTOR_DEPTH_MM) + SHEET_REACH_MM
    for i in range(x.size):
        aside = abs(x[i])
        for j in range(y.size):
            for k in range(z.size):
                depth = min(outer[i, j, k], aside - FISSURE_HALF_MM)
                if hull[i, j, k] < -3 or depth > deepest:
                    continue
                active[i, j, k] = True
                above = place.sylvian_mm(x[i], y[j], z[k])
                width = 0.6 + max(place.SYLVIAN_END_Y_MM - y[j], 0.0)
                upper = min(max(0.5 + above / (2 * width), 0.0), 1.0)
                upper = upper * upper * (3 - 2 * upper)
                level, modulation, narrow = 0.0, 0.0, -100.0
                bx = x[i] + BEND_MM * math.sin(y[j] / 8 + z[k] / 11 + 0.3)
                by = y[j] + BEND_MM * math.sin(x[i] / 8 - z[k] / 9 + 1.1)
                bz = z[k] + BEND_MM * math.sin(x[i] / 10 + y[j] / 9 + 2.0)
                if upper > 0:
                    px, py, pz, away = _outwards(UPPER_AXIS_MM, AXIS_RADIUS_MM, bx, by, bz)
                    narrow = NARROWEST * AXIS_RADIUS_MM - away
                    level += upper * _read(band, px, py, pz)
                    modulation += upper * _read(slow, px, py, pz)
                if upper < 1:
                    px, py, pz, away = _outwards(TEMPORAL_AXIS_MM, TEMPORAL_RADIUS_MM, bx, by, bz)
                    narrower = NARROWEST * TEMPORAL_RADIUS_MM - away
                    narrow = narrower if upper <= 0 else upper * narrow + (1 - upper) * narrower
                    level += (1 - upper) * _read(band, px, py, pz)
                    modulation += (1 - upper) * _read(slow, px, py, pz)
                core = place.core_mm(x[i], y[j], z[k])
                ring = -place.cingulate_mm(x[i], y[j], z[k])
                strip = place.strip_mm(x[i], y[j], z[k])
                # Medial cortex up to the cingulate sulcus, and a gyrus beyond: kept free of all other sheets.
                medial = min(
                    STRIP_MARGIN_MM + ring,
                    place.MEDIAL_MM + 3 - aside,
                    y[j] - CINGULATE_BACK_Y_MM + STRIP_MARGIN_MM,
                    z[k] - CINGULATE_FLOOR_Z_MM + STRIP_MARGIN_MM,
                )
                low = 8 - above if aside > 35 else -100.0  # the strip ends above the Sylvian fissure
                striped = min(
                    strip - place.POSTCENTRAL_MM + STRIP_MARGIN_MM, place.PRECENTRAL_MM + STRIP_MARGIN_MM - strip
                )
                striped = min(striped, -low + 6, z[k] - 10.0)
                random_depth = max(DEPTH_MM + DEPTH_SPREAD_MM * modulation, LEAST_DEPTH_MM)
                out[i, j, k, 1] = level
                out[i, j, k, 2] = max(depth - random_depth, striped, medial, narrow, core + CORE_MARGIN_MM)
                out[i, j, k, 3] = strip * (strip - place.PRECENTRAL_MM) * (strip - place.POSTCENTRAL_MM)
                out[i, j, k, 4] = max(
                    depth - MOTOR_DEPTH_MM, low, medial, 16.0 - z[k], core + CORE_MARGIN_MM, abs(strip) - 20
                )
                out[i, j, k, 5] = ring
                out[i, j, k, 6] = max(
                    aside - FISSURE_HALF_MM - CINGULATE_DEPTH_MM,
                    CINGULATE_BACK_Y_MM - y[j],
                    CINGULATE_FLOOR_Z_MM - z[k],
                )


@njit(cache=True, nogil=True, inline="always", fastmath=True)
def read(fields: Field, x: float, y: float, z: float, out: Field) -> bool:
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
def gap_mm(hull: float) -> float:
    """How far the banks of a sulcus lie apart at a depth under the hull."""
    deeper = 1 + max(hull, 0.0) / MOUTH_DEPTH_MM
    return FLOOR_GAP_MM + MOUTH_GAP_MM / (deeper * deeper)


@njit(cache=True, nogil=True, inline="always", fastmath=True)
def below_pia(f: Field) -> float:
    """Distance to the healthy pia from the fields of a point, positive in tissue."""
    hull, more = float(f[0]), float(f[7])
    gap = gap_mm(hull) / 2
    depth = _rounded(hull, _to_sheet(f[1], f[2], gap))
    depth = min(depth, _rounded(hull, _to_sheet(f[3], f[4], gap)))
    return min(depth, _rounded(hull, _to_sheet(f[5], f[6], gap))) + more


@njit(cache=True, nogil=True, fastmath=True)
def _pia(fields: Field, x: float, y: float, z: float, f: Field) -> float:
    """Distance to the pia at an index."""
    read(fields, x + LOWER_MM[0], y + LOWER_MM[1], z + LOWER_MM[2], f)
    return below_pia(f)


@njit(cache=True, nogil=True, fastmath=True)
def _slope(fields: Field, x: float, y: float, z: float, f: Field) -> tuple[float, float, float, float]:
    h = PIAL_STEP_MM  # less than from the bank to the middle of a closed sulcus
    gx = (_pia(fields, x + h, y, z, f) - _pia(fields, x - h, y, z, f)) / (2 * h)
    gy = (_pia(fields, x, y + h, z, f) - _pia(fields, x, y - h, z, f)) / (2 * h)
    gz = (_pia(fields, x, y, z + h, f) - _pia(fields, x, y, z - h, f)) / (2 * h)
    return gx, gy, gz, gx * gx + gy * gy + gz * gz


@njit(cache=True, nogil=True, fastmath=True)
def _land(fields: Field, x: float, y: float, z: float, steps: int, f: Field) -> tuple[float, float, float, bool]:
    """Newton's way from an index to the pia."""
    value = _pia(fields, x, y, z, f)
    for _ in range(steps):
        gx, gy, gz, g = _slope(fields, x, y, z, f)
        if g < 0.05:
            return x, y, z, False
        part = value / g
        x -= part * gx
        y -= part * gy
        z -= part * gz
        value = _pia(fields, x, y, z, f)
        if abs(value) < LANDED_MM:
            return x, y, z, True
    return x, y, z, False


@njit(cache=True, nogil=True, fastmath=True)
def _first_feet(fields: Field, depth: Field, foot: Field, best: Field) -> None:
    """Distance of nodes to the pia as the fields give it, to `depth`; feet on the pia of the nodes near it."""
    nx, ny, nz = depth.shape
    f = np.empty(8, np.float32)
    for i in range(1, nx - 1):
        for j in range(1, ny - 1):
            for k in range(1, nz - 1):
                depth[i, j, k] = below_pia(fields[i, j, k])
                if not 0 < depth[i, j, k] < FIRST_MM:
                    continue
                x, y, z, good = _land(fields, float(i), float(j), float(k), 5, f)
                away = (x - i) ** 2 + (y - j) ** 2 + (z - k) ** 2
                if good and away < 4 * FIRST_MM**2:
                    foot[i, j, k, 0], foot[i, j, k, 1], foot[i, j, k, 2] = x, y, z
                    best[i, j, k] = away


@njit(cache=True, nogil=True, fastmath=True)
def _correct(fields: Field, active: Mask, depth: Field, foot: Field, best: Field) -> None:
    """What the nodes' distance to the pia lacks of the length to their foot, slid to where it is shortest."""
    nx, ny, nz = depth.shape
    f = np.empty(8, np.float32)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                if not active[i, j, k]:
                    continue
                away = float(best[i, j, k])
                if away < EXACT_MM**2 and abs(math.sqrt(away) - depth[i, j, k]) > AGREES_MM:
                    x, y, z = float(foot[i, j, k, 0]), float(foot[i, j, k, 1]), float(foot[i, j, k, 2])
                    gx, gy, gz, g = _slope(fields, x, y, z, f)
                    if g > 0.05:
                        rx, ry, rz = i - x, j - y, k - z
                        along = (rx * gx + ry * gy + rz * gz) / g
                        x, y, z, good = _land(
                            fields, x + rx - along * gx, y + ry - along * gy, z + rz - along * gz, 3, f
                        )
                        if good:
                            away = min(away, (x - i) ** 2 + (y - j) ** 2 + (z - k) ** 2)
                exact = min(math.sqrt(away), EXACT_MM)
                if exact < EXACT_MM or depth[i, j, k] < EXACT_MM:
                    fields[i, j, k, 7] = exact - depth[i, j, k]


def _make_exact(fields: Field) -> None:
    """Make the distance to the pia one: where sheets end, cross or lean, that of the fields is only near to it."""
    foot = np.full((*SHAPE, 3), NONE, np.float32)
    best, depth = np.full(SHAPE, NONE, np.float32), np.full(SHAPE, -NONE, np.float32)
    _first_feet(fields, depth, foot, best)
    active = (depth > 0) & (depth < EXACT_MM + 2)
    sweep(active, foot, best)
    _correct(fields, active, depth, foot, best)


@lru_cache(maxsize=1)
def fold(template: Template) -> Folds:
    """Fold the cerebrum of a template: the same for every seed, made once a process."""
    x, y, z = _axes()
    outer = _outer(template)
    hull = _carved(outer, x, y, z)
    random = np.random.default_rng(SEED)
    band, slow = _noise(random, *BAND_MM), _noise(random, DEPTH_SMOOTH_MM)
    fields = np.zeros((*SHAPE, len(FIELDS)), np.float32)
    active = np.zeros(SHAPE, np.bool_)
    fields[..., 1:6:2] = SHEET_REACH_MM
    fields[..., 2:7:2] = SHEET_REACH_MM
    _sheets(hull, outer, x, y, z, band, slow, fields, active)
    fields[..., 0] = hull
    for level in (1, 3, 5):
        near = active & (fields[..., level + 1] < SHEET_REACH_MM)
        fields[..., level] = signed_distance(np.ascontiguousarray(fields[..., level]), SHEET_REACH_MM, near)
    _make_exact(fields)
    return Folds(fields)
