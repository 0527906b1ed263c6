"""Kernel of the diffusion signal: the fibres of every white voxel, and what lies between them, for one volume."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]


@numba.njit(cache=True, nogil=True, fastmath=True)
def add_fibres(
    signal: Field,
    index: npt.NDArray[np.int64],
    weight: Field,
    radial: Field,
    direction: Field,
    rest: Field,
    between: Field,
    axial: float,
    b: float,
    g: Field,
) -> None:
    """Add to `signal` (flat) at `index` (m,): sum over fibres of weight exp(-b (r + (axial - r)(g.d)^2)) + the rest.

    weight, radial (fibre, m); direction (fibre, 3, m), unit; rest (m,) with tensor between (6, m); b in ms/um2.
    """
    xx, yy, zz = g[0] * g[0], g[1] * g[1], g[2] * g[2]
    xy, xz, yz = 2 * g[0] * g[1], 2 * g[0] * g[2], 2 * g[1] * g[2]
    for n in range(index.shape[0]):
        d = xx * between[0, n] + xy * between[1, n] + xz * between[2, n]
        d += yy * between[3, n] + yz * between[4, n] + zz * between[5, n]
        total = rest[n] * np.exp(np.float32(-b * d))
        for k in range(weight.shape[0]):
            if weight[k, n] > 0:
                along = g[0] * direction[k, 0, n] + g[1] * direction[k, 1, n] + g[2] * direction[k, 2, n]
                d = radial[k, n] + (axial - radial[k, n]) * along * along
                total += weight[k, n] * np.exp(np.float32(-b * d))
        signal[index[n]] += total
