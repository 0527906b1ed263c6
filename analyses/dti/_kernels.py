"""Numba kernels of the tensor: fit, eigenvalues, and the small tracker of the b-table check.

They release the GIL and keep no state, so that threads may share a volume. Plain numpy versions stand in their tests.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

UNKNOWNS = 7
PACKED = 28  # lower triangle of a 7x7 matrix, row after row
LANES = 128  # voxels that go through the fit together: long enough for vector code, short enough for the first cache

# `_exp` rounds by adding and taking away 1.5 x 2^52, which "reassoc" of full fastmath would cancel.
EXACT_ROUNDING = {"contract", "nnan", "ninf", "nsz", "arcp"}
ROUNDER = 6755399441055744.0
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
EXPONENT_LIMIT = 700.0  # exp() of more overflows
SINGULAR = 1e-14


@njit(cache=True, nogil=True, fastmath=EXACT_ROUNDING, inline="never")
def _exp(x: Float64s, bits: Int64s, out: Float64s) -> None:
    """Exponential of (lane,) to the last bit or two; `bits` is working room. libm's exp would keep the loop scalar."""
    t = bits.view(np.float64)
    for n in range(x.shape[0]):
        t[n] = min(max(x[n], -EXPONENT_LIMIT), EXPONENT_LIMIT) * LOG2_E + ROUNDER
    for n in range(x.shape[0]):
        k = t[n] - ROUNDER
        r = min(max(x[n], -EXPONENT_LIMIT), EXPONENT_LIMIT) - k * LN2_HIGH
        r = r - k * LN2_LOW
        p = 2.08767569878681e-09  # Taylor series, 1/12! first; |r| <= ln 2 / 2
        p = p * r + 2.505210838544172e-08
        p = p * r + 2.755731922398589e-07
        p = p * r + 2.7557319223985893e-06
        p = p * r + 2.48015873015873e-05
        p = p * r + 1.984126984126984e-04
        p = p * r + 1.388888888888889e-03
        p = p * r + 8.333333333333333e-03
        p = p * r + 4.1666666666666664e-02
        p = p * r + 1.6666666666666666e-01
        p = p * r + 0.5
        p = p * r + 1.0
        out[n] = p * r + 1.0
    for n in range(x.shape[0]):
        bits[n] = (bits[n] + 1023) << 52
    for n in range(x.shape[0]):
        out[n] *= t[n]


@njit(cache=True, nogil=True, fastmath=EXACT_ROUNDING)
def _add(factor: float, x: Float64s, y: Float64s) -> None:
    """Add factor * x to y, lane by lane."""
    for n in range(x.shape[0]):
        y[n] += factor * x[n]


@njit(cache=True, nogil=True, fastmath=EXACT_ROUNDING)
def _take(x: Float64s, z: Float64s, y: Float64s) -> None:
    """Take x * z away from y, lane by lane."""
    for n in range(x.shape[0]):
        y[n] -= x[n] * z[n]


@njit(cache=True, nogil=True, fastmath=EXACT_ROUNDING)
def _scale(x: Float64s, y: Float64s) -> None:
    """Multiply y by x, lane by lane."""
    for n in range(x.shape[0]):
        y[n] *= x[n]


@njit(cache=True, nogil=True, fastmath=EXACT_ROUNDING)
def _solve(a: Float64s, x: Float64s, pivot: Float64s) -> None:
    """Solve A x = r by Cholesky in each lane; `a` (28, lane) packed; `x` (7, lane): r, then the answer.

    `a` is overwritten. pivot (lane,) becomes the least pivot: at SINGULAR or under, that lane's answer means nothing.
    """
    unknowns = x.shape[0]
    pivot[:] = np.inf
    for j in range(unknowns):
        row_j = j * (j + 1) // 2
        diagonal = a[row_j + j]
        for k in range(j):
            _take(a[row_j + k], a[row_j + k], diagonal)
        for n in range(pivot.shape[0]):
            pivot[n] = min(pivot[n], diagonal[n])
            diagonal[n] = 1.0 / math.sqrt(max(diagonal[n], SINGULAR))
        for i in range(j + 1, unknowns):
            row_i = i * (i + 1) // 2
            for k in range(j):
                _take(a[row_i + k], a[row_j + k], a[row_i + j])
            _scale(diagonal, a[row_i + j])
    for i in range(unknowns):
        row_i = i * (i + 1) // 2
        for k in range(i):
            _take(a[row_i + k], x[k], x[i])
        _scale(a[row_i + i], x[i])
    for i in range(unknowns - 1, -1, -1):
        for k in range(i + 1, unknowns):
            _take(a[k * (k + 1) // 2 + i], x[k], x[i])
        _scale(a[i * (i + 1) // 2 + i], x[i])


@njit(cache=True, nogil=True, fastmath=EXACT_ROUNDING)
def _weigh(
    y: Float64s,
    x: Float64s,
    design: Float64s,
    products: Float64s,
    a: Float64s,
    r: Float64s,
    work: Float64s,
    bits: Int64s,
) -> None:
    """Fill the weighted normal equations `a` (28, lane), `r` (7, lane) at solution `x` (7, lane); y (volume, lane)."""
    s, w = work[0], work[1]
    a[:] = 0.0
    r[:] = 0.0
    for i in range(y.shape[0]):
        s[:] = 0.0
        for k in range(design.shape[1] - 1):  # (predicted signal / S0)^2: the factor common to all volumes cancels
            _add(2.0 * design[i, k], x[k], s)
        _exp(s, bits, w)
        for k in range(products.shape[1]):
            _add(products[i, k], w, a[k])
        for n in range(s.shape[0]):
            s[n] = w[n] * y[i, n]
        for k in range(design.shape[1]):
            _add(design[i, k], s, r[k])


@njit(cache=True, nogil=True, fastmath=EXACT_ROUNDING)
def fit(
    signal: Float32s,
    design: Float64s,
    products: Float64s,
    inverse: Float64s,
    passes: int,
    floor: float,
    tensor: Float64s,
    sigma: Float32s,
) -> None:
    """Fit ln S by OLS, then `passes` of WLS with weights (predicted signal)^2.

    Veraart 2013, 10.1016/j.neuroimage.2013.05.028. signal (voxel, volume); design (volume, 7); products (volume, 28)
    packed outer products of its rows; inverse (7, volume) its pseudo-inverse. Samples under `floor` count as `floor`.
    Fills tensor (voxel, 7) and sigma (voxel,), the standard deviation of the residual in units of signal. A voxel whose
    weighted system is singular keeps its last solution.
    """
    voxels, volumes = signal.shape
    unknowns = design.shape[1]
    y = np.empty((volumes, LANES))
    a, r, x = np.empty((products.shape[1], LANES)), np.empty((unknowns, LANES)), np.empty((unknowns, LANES))
    work, pivot, bits = np.empty((2, LANES)), np.empty(LANES), np.empty(LANES, dtype=np.int64)
    for first in range(0, voxels, LANES):
        used = min(LANES, voxels - first)
        for n in range(LANES):
            v = first + min(n, used - 1)
            for i in range(volumes):
                y[i, n] = math.log(max(float(signal[v, i]), floor))
        x[:] = 0.0
        for i in range(volumes):
            for k in range(unknowns):
                _add(inverse[k, i], y[i], x[k])
        for _ in range(passes):
            _weigh(y, x, design, products, a, r, work, bits)
            _solve(a, r, pivot)
            for n in range(LANES):
                if pivot[n] > SINGULAR:
                    for k in range(unknowns):
                        x[k, n] = r[k, n]
        for n in range(used):
            for k in range(unknowns):
                tensor[first + n, k] = x[k, n]
        pivot[:] = 0.0  # from here on: the sum of squared residuals
        for i in range(volumes):
            work[0] = 0.0
            for k in range(unknowns):
                _add(design[i, k], x[k], work[0])
            _exp(work[0], bits, work[1])
            for n in range(used):
                residual = signal[first + n, i] - work[1, n]
                pivot[n] += residual * residual
        for n in range(used):
            sigma[first + n] = math.sqrt(pivot[n] / (volumes - unknowns)) if volumes > unknowns else 0.0


@njit(cache=True, nogil=True, fastmath=True)
def _eigenvalues(a: float, b: float, c: float, d: float, e: float, f: float) -> tuple[float, float, float]:
    """Eigenvalues of [[a, d, e], [d, b, f], [e, f, c]], descending; Kopp 2008, 10.1142/S0129183108012303."""
    mean = (a + b + c) / 3.0
    aa, bb, cc = a - mean, b - mean, c - mean
    p = (aa * aa + bb * bb + cc * cc + 2.0 * (d * d + e * e + f * f)) / 6.0
    if p <= 0.0:
        return mean, mean, mean
    p = math.sqrt(p)
    q = (aa * (bb * cc - f * f) - d * (d * cc - f * e) + e * (d * f - bb * e)) / (2.0 * p * p * p)
    phi = math.acos(min(1.0, max(-1.0, q))) / 3.0
    first = mean + 2.0 * p * math.cos(phi)
    third = mean + 2.0 * p * math.cos(phi + 2.0 * math.pi / 3.0)
    return first, 3.0 * mean - first - third, third


@njit(cache=True, nogil=True, fastmath=True)
def _eigenvector(
    a: float, b: float, c: float, d: float, e: float, f: float, value: float
) -> tuple[float, float, float]:
    """Unit eigenvector of `value`: the longest cross product of two rows of (D - value I)."""
    a, b, c = a - value, b - value, c - value
    x0, y0, z0 = d * f - e * b, e * d - a * f, a * b - d * d
    x1, y1, z1 = d * c - e * f, e * e - a * c, a * f - d * e
    x2, y2, z2 = b * c - f * f, f * e - d * c, d * f - b * e
    n0 = x0 * x0 + y0 * y0 + z0 * z0
    n1 = x1 * x1 + y1 * y1 + z1 * z1
    n2 = x2 * x2 + y2 * y2 + z2 * z2
    if n1 > n0 and n1 >= n2:
        x0, y0, z0, n0 = x1, y1, z1, n1
    elif n2 > n0:
        x0, y0, z0, n0 = x2, y2, z2, n2
    if n0 <= 0.0:
        return 1.0, 0.0, 0.0
    n = 1.0 / math.sqrt(n0)
    return x0 * n, y0 * n, z0 * n


@njit(cache=True, nogil=True, fastmath=True)
def scalars(tensor: Float64s, out: Float32s, direction: Float32s, lowest: Float32s) -> None:
    """Fill out (voxel, 4) = FA, MD, AD, RD of `tensor` (voxel, 7), direction (voxel, 3) = V1, lowest (voxel,).

    `lowest` is the raw third eigenvalue. Eigenvalues under zero count as zero in the scalars.
    """
    for v in range(tensor.shape[0]):
        a, b, c, d, e, f = tensor[v, 0], tensor[v, 1], tensor[v, 2], tensor[v, 3], tensor[v, 4], tensor[v, 5]
        one, two, three = _eigenvalues(a, b, c, d, e, f)
        direction[v, 0], direction[v, 1], direction[v, 2] = _eigenvector(a, b, c, d, e, f, one)
        lowest[v] = three
        one, two, three = max(one, 0.0), max(two, 0.0), max(three, 0.0)
        mean = (one + two + three) / 3.0
        size = one * one + two * two + three * three
        spread = (one - mean) * (one - mean) + (two - mean) * (two - mean) + (three - mean) * (three - mean)
        out[v, 0] = math.sqrt(1.5 * spread / size) if size > 0.0 else 0.0
        out[v, 1] = mean
        out[v, 2] = one
        out[v, 3] = 0.5 * (two + three)


@njit(cache=True, nogil=True, fastmath=True)
def _heading(
    axes: Float32s,
    fa: Float32s,
    order: Int64s,
    sign: Float64s,
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
    cosine: float,
    least_fa: float,
) -> tuple[float, float, float, bool]:
    """Direction at voxel position x, y, z nearest the heading d, by vote of eight corners; False where a track ends."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    if i < 0 or j < 0 or k < 0 or i + 1 >= fa.shape[0] or j + 1 >= fa.shape[1] or k + 1 >= fa.shape[2]:
        return 0.0, 0.0, 0.0, False
    fx, fy, fz = x - i, y - j, z - k
    sx = sy = sz = anisotropy = votes = 0.0
    for a in range(2):
        wa = fx if a else 1.0 - fx
        for b in range(2):
            wb = wa * (fy if b else 1.0 - fy)
            for c in range(2):
                w = wb * (fz if c else 1.0 - fz)
                anisotropy += w * fa[i + a, j + b, k + c]
                px = sign[0] * axes[i + a, j + b, k + c, order[0]]
                py = sign[1] * axes[i + a, j + b, k + c, order[1]]
                pz = sign[2] * axes[i + a, j + b, k + c, order[2]]
                along = px * dx + py * dy + pz * dz
                if abs(along) >= cosine:
                    if along < 0.0:
                        w = -w
                    sx += w * px
                    sy += w * py
                    sz += w * pz
                    votes += abs(w)
    length = math.sqrt(sx * sx + sy * sy + sz * sz)
    if anisotropy < least_fa or votes < 0.5 or length < 1e-6:
        return 0.0, 0.0, 0.0, False
    sx, sy, sz = sx / length, sy / length, sz / length
    return sx, sy, sz, sx * dx + sy * dy + sz * dz >= cosine


@njit(cache=True, nogil=True, fastmath=True)
def streamline_steps(
    axes: Float32s,
    fa: Float32s,
    voxel_mm: Float64s,
    seeds: Int64s,
    order: Int64s,
    sign: Float64s,
    step_mm: float,
    cosine: float,
    least_fa: float,
    most: int,
) -> int:
    """Steps that deterministic streamlines of all `seeds` (seed, 3) take both ways, `most` a way; midpoint rule.

    axes (x, y, z, 3) is V1 along array axes; component n is read as sign[n] * axes[..., order[n]].
    """
    total = 0
    half = 0.5 * step_mm
    for s in range(seeds.shape[0]):
        i, j, k = seeds[s, 0], seeds[s, 1], seeds[s, 2]
        for way in (1.0, -1.0):
            x, y, z = float(i), float(j), float(k)
            dx = way * sign[0] * axes[i, j, k, order[0]]
            dy = way * sign[1] * axes[i, j, k, order[1]]
            dz = way * sign[2] * axes[i, j, k, order[2]]
            for _ in range(most):
                ax, ay, az, on = _heading(axes, fa, order, sign, x, y, z, dx, dy, dz, cosine, least_fa)
                if not on:
                    break
                mx, my, mz = x + half * ax / voxel_mm[0], y + half * ay / voxel_mm[1], z + half * az / voxel_mm[2]
                dx, dy, dz, on = _heading(axes, fa, order, sign, mx, my, mz, ax, ay, az, cosine, least_fa)
                if not on:
                    break
                x, y, z = x + step_mm * dx / voxel_mm[0], y + step_mm * dy / voxel_mm[1], z + step_mm * dz / voxel_mm[2]
                total += 1
    return total
