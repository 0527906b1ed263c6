"""The diffusion tensor of every voxel of a mask and its scalars: FA, MD, AD, RD.

In: signals (x, y, z, volume), b-values, vectors along array axes. Out: `TensorField`.
Basser & Pierpaoli 1996, 10.1006/jmrb.1996.0086.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyses.dti import _kernels
from analyses.shared.gradients import TENSOR_UNKNOWNS, design

WLS_PASSES = 2  # weighted passes after OLS; MRtrix3 `dwi2tensor -ols -iter 2` is the same estimator
VOXELS_A_BLOCK = 16384  # keeps a thread's share in its cache and the threads even


@dataclass(frozen=True, slots=True)
class TensorField:
    """Tensors of the voxels of `mask` (x, y, z), first array axis fastest; diffusivities in um2/ms along array axes.

    tensor (voxel, 7): Dxx Dyy Dzz Dxy Dxz Dyz ln S0. fa, md, ad, rd, lowest (raw smallest eigenvalue), sigma (standard
    deviation of the residual, in units of signal): (voxel,) float32. direction (voxel, 3): V1, unit, sign arbitrary.
    floored: number of samples raised to `floor`.
    """

    mask: npt.NDArray[np.bool_]
    tensor: npt.NDArray[np.float64]
    fa: npt.NDArray[np.float32]
    md: npt.NDArray[np.float32]
    ad: npt.NDArray[np.float32]
    rd: npt.NDArray[np.float32]
    direction: npt.NDArray[np.float32]
    lowest: npt.NDArray[np.float32]
    sigma: npt.NDArray[np.float32]
    floor: float
    floored: int

    def volume(self, values: npt.NDArray[np.float32], outside: float = float("nan")) -> npt.NDArray[np.float32]:
        """Lay per-voxel `values` (voxel, ...) back on the grid (x, y, z, ...), `outside` the mask."""
        flat = np.full((self.mask.size, *values.shape[1:]), outside, dtype=np.float32)
        flat[self.mask.ravel(order="F")] = values
        return flat.reshape(self.mask.shape + values.shape[1:], order="F")

    def voxels(self, region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Say which voxels of the field lie in `region` (x, y, z); (voxel,)."""
        return region.ravel(order="F")[self.mask.ravel(order="F")]

    def with_part(self, part: TensorField) -> TensorField:
        """This field with the voxels of `part`, fitted on a part of its mask, in place of its own."""
        where = self.voxels(part.mask)
        names = ("tensor", "fa", "md", "ad", "rd", "direction", "lowest", "sigma")
        changed = {name: getattr(self, name).copy() for name in names}
        for name, values in changed.items():
            values[where] = getattr(part, name)
        return replace(self, **changed)


def voxel_signals(data: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Signals (voxel, volume) of `mask` in the order of `TensorField`, NIfTI's own and so faster."""
    return np.ascontiguousarray(data.reshape(-1, data.shape[3], order="F")[mask.ravel(order="F")])


def fit_tensor(
    data: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    bvals: npt.NDArray[np.float64],
    bvecs: npt.NDArray[np.float64],
    *,
    passes: int = WLS_PASSES,
    threads: int = 1,
) -> TensorField:
    """Fit the tensor in `mask`; `data` (x, y, z, volume), `passes` of WLS after OLS (0 = OLS only).

    ln of a sample that is zero or less does not exist: such samples count as the smallest positive sample of the mask.
    """
    signal = voxel_signals(data, mask)
    positive = signal > 0
    floor = float(signal.min(where=positive, initial=np.inf)) if positive.any() else 1.0
    matrix = design(bvals, bvecs)
    packed = np.stack([matrix[:, i] * matrix[:, j] for i in range(TENSOR_UNKNOWNS) for j in range(i + 1)], axis=1)
    inverse = np.ascontiguousarray(np.linalg.pinv(matrix))
    voxels = len(signal)
    tensor = np.empty((voxels, TENSOR_UNKNOWNS))
    out = np.empty((voxels, 4), dtype=np.float32)
    direction = np.empty((voxels, 3), dtype=np.float32)
    lowest, sigma = np.empty(voxels, dtype=np.float32), np.empty(voxels, dtype=np.float32)

    def fit_block(start: int) -> None:
        block = slice(start, start + VOXELS_A_BLOCK)
        _kernels.fit(signal[block], matrix, packed, inverse, passes, floor, tensor[block], sigma[block])
        _kernels.scalars(tensor[block], out[block], direction[block], lowest[block])

    with ThreadPoolExecutor(max_workers=max(threads, 1)) as pool:
        list(pool.map(fit_block, range(0, voxels, VOXELS_A_BLOCK)))
    fa, md, ad, rd = (np.ascontiguousarray(column) for column in out.T)
    floored = int(np.count_nonzero(~positive))
    return TensorField(mask, tensor, fa, md, ad, rd, direction, lowest, sigma, floor, floored)
