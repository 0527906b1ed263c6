"""Diffusion gradient tables: shells, distinct axes, and how well a table determines a tensor.

In: b-values in s/mm2 and unit vectors along the array axes, as `contract.Volume` carries them.
Basser 1994, 10.1006/jmrb.1994.1037.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]

B0_MAXIMUM = 50.0  # s/mm2; scanners write 0.001 to 5 for volumes without diffusion weighting
SHELL_TOLERANCE = 100.0  # s/mm2; b-values this near the first of a group belong to its shell
DISTINCT_AXES_DEG = 5.0  # two directions nearer than this, sign ignored, are one axis
TENSOR_UNKNOWNS = 7  # six tensor elements and ln S0


@dataclass(frozen=True, slots=True)
class Shell:
    """Volumes of about one b-value: mean `bvalue` in s/mm2 and the indices of its `volumes`."""

    bvalue: float
    volumes: tuple[int, ...]


def unweighted(bvals: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Say which volumes are b = 0; (volume,)."""
    return np.asarray(bvals < B0_MAXIMUM)


def shells(bvals: npt.NDArray[np.float64]) -> tuple[Shell, ...]:
    """Group the diffusion-weighted volumes into shells of ascending b."""
    groups: list[list[int]] = []
    for volume in np.argsort(bvals, kind="stable"):
        if bvals[volume] < B0_MAXIMUM:
            continue
        if groups and bvals[volume] - bvals[groups[-1][0]] <= SHELL_TOLERANCE:
            groups[-1].append(int(volume))
        else:
            groups.append([int(volume)])
    return tuple(Shell(float(bvals[group].mean()), tuple(sorted(group))) for group in groups)


def distinct_axes(vectors: Vectors, apart_deg: float = DISTINCT_AXES_DEG) -> int:
    """Count axes more than `apart_deg` from all others, sign ignored; rows of `vectors` (n, 3) are unit or zero."""
    kept: list[npt.NDArray[np.float64]] = []
    limit = np.cos(np.radians(apart_deg))
    for vector in vectors:
        if np.linalg.norm(vector) > 0 and all(abs(float(vector @ other)) < limit for other in kept):
            kept.append(vector)
    return len(kept)


def design(bvals: npt.NDArray[np.float64], bvecs: Vectors) -> npt.NDArray[np.float64]:
    """Design matrix (volume, 7) of ln S; columns Dxx Dyy Dzz Dxy Dxz Dyz in um2/ms, then ln S0."""
    b = bvals / 1000.0  # s/mm2 to ms/um2
    x, y, z = bvecs.T
    columns = (-b * x * x, -b * y * y, -b * z * z, -2 * b * x * y, -2 * b * x * z, -2 * b * y * z, np.ones_like(b))
    return np.ascontiguousarray(np.stack(columns, axis=1))


def condition_number(vectors: Vectors) -> float:
    """Condition number of the six-column tensor design of one shell; inf when the axes do not determine a tensor."""
    if len(vectors) < TENSOR_UNKNOWNS - 1:
        return float("inf")
    singular = np.linalg.svd(design(np.full(len(vectors), 1000.0), vectors)[:, :6], compute_uv=False)
    return float(singular[0] / singular[-1]) if singular[-1] > 1e-9 * singular[0] else float("inf")
