"""A small head of known tensors for tests: ellipsoid brain, arched fibre systems in white matter, cortex, ventricle."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from analyses.contract import Body, RoleKind, SeriesFacts, Volume

VOXEL_MM = 3.0
SHAPE = (52, 62, 46)
FIBRE = (1.4, 0.4, 0.4)  # um2/ms
FIBRE_FA = float(np.sqrt(0.5 * ((1.4 - 0.4) ** 2 * 2) / (1.4**2 + 2 * 0.4**2)))
FIBRE_MD = 2.2 / 3.0
CORTEX_MD, FLUID_MD = 0.8, 3.0
S0 = 1000.0


def facts(**changes: object) -> SeriesFacts:
    """Facts of a good DWI series, with changes."""
    good = SeriesFacts(
        series_uid="1.2.3",
        number=1,
        description="synthetic",
        role=RoleKind.DWI,
        body=Body.BRAIN,
        complete=True,
        completeness="32 of 32 volumes",
        original=True,
        three_d=False,
        tr_ms=8000.0,
        te_ms=(80.0,),
        ti_ms=None,
        flip_deg=90.0,
        field_t=3.0,
        volumes=32,
        slices=SHAPE[2],
        voxel_mm=(VOXEL_MM, VOXEL_MM, VOXEL_MM),
        coverage_mm=VOXEL_MM * SHAPE[2],
        bvals=(0.0, 0.0, *(1000.0,) * 30),
        directions=30,
        has_phase=False,
        acquired="20260101120000",
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def sphere(count: int) -> npt.NDArray[np.float64]:
    """Unit vectors spread over a half sphere (Fibonacci lattice), (count, 3)."""
    n = np.arange(count) + 0.5
    z = n / count
    turn = np.pi * (1 + 5**0.5) * n
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)


@cache
def tensors() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Tensor (x, y, z, 3, 3) in RAS, brain, white matter, affine of the head."""
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = -VOXEL_MM * (np.array(SHAPE) - 1) / 2 + (2.0, -15.0, 10.0)
    centre = np.array([2.0, -15.0, 10.0])
    index = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(index @ affine[:3, :3].T + affine[:3, 3] - centre, -1, 0)
    radius = np.sqrt((x / 66) ** 2 + (y / 80) ** 2 + (z / 58) ** 2)
    brain = radius < 1
    white = radius < 0.82
    fluid = (x / 10) ** 2 + (y / 25) ** 2 + (z / 8) ** 2 < 1
    # arches over the ventricle in front, along the side behind, and around the vertical axis at the bottom
    over = np.stack([-(z + 30), np.zeros_like(x), x], axis=-1)
    along = np.stack([np.zeros_like(x), -(z + 20), y + 10], axis=-1)
    around = np.stack([-(y - 5), x + 8, 0.3 * np.ones_like(x) * 30], axis=-1)
    direction = np.where((y > 5)[..., None], over, along)
    direction = np.where((z < -15)[..., None], around, direction)
    # fibres run in sheets with cortex between, or a wrong direction would find fibres everywhere to go on in
    distance = np.where(y > 5, np.hypot(x, z + 30), np.hypot(y + 10, z + 20))
    distance = np.where(z < -15, np.hypot(x + 8, y - 5), distance)
    white &= distance % 18 < 12
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True) + 1e-12
    eye = np.eye(3)
    dyad = direction[..., :, None] * direction[..., None, :]
    tensor = np.where(white[..., None, None], FIBRE[1] * eye + (FIBRE[0] - FIBRE[1]) * dyad, CORTEX_MD * eye)
    tensor = np.where(fluid[..., None, None], FLUID_MD * eye, tensor)
    return tensor, brain, white & ~fluid, affine


@cache
def head(
    *, directions: int = 30, b: float = 1000.0, snr: float = 40.0, seed: int = 3, tensor_scale: float = 1.0
) -> Volume:
    """A diffusion series of the head, magnitude with Rician noise (snr = 0: none); array axes along RAS."""
    tensor, brain, _, affine = tensors()
    bvals = np.array([0.0, 0.0, *(b,) * directions])
    bvecs = np.concatenate([np.zeros((2, 3)), sphere(directions)])
    decay = np.einsum("ni,xyzij,nj->xyzn", bvecs, tensor * tensor_scale, bvecs, optimize=True)
    signal = np.where(brain[..., None], S0 * np.exp(-bvals / 1000.0 * decay), 0.0)
    if snr:
        random = np.random.default_rng(seed)
        noise = random.normal(0, S0 / snr, (2, *signal.shape))
        signal = np.hypot(signal + noise[0], noise[1])
    made = facts(volumes=len(bvals), bvals=tuple(bvals), directions=directions)
    data = signal.astype(np.float32)
    data.flags.writeable = False  # shared between tests: copy before changing it
    return Volume(data, affine, made, bvals=bvals, bvecs=bvecs)


def reoriented(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same head stored with its array axes permuted, then flipped: data, affine and vectors follow."""
    matrix, origin = volume.affine[:3, :3][:, list(order)].copy(), volume.affine[:3, 3].copy()
    data = np.transpose(volume.data, (*order, 3))
    bvecs = np.asarray(volume.bvecs)[:, list(order)].copy()
    for axis, flip in enumerate(flips):
        if flip:
            origin = origin + matrix[:, axis] * (data.shape[axis] - 1)
            matrix[:, axis] *= -1
            data = np.flip(data, axis)
            bvecs[:, axis] *= -1
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, origin
    return replace(volume, data=data.copy(), affine=affine, bvecs=bvecs)
