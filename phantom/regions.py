"""The regions over which diffusion truth is taken: what was put in, and what the analysis' own definition finds.

"Brain" and "cerebral white matter" are those of `analyses.dti`, applied to noise-free images and a fit to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyses.dti.acceptance import tensor_shell
from analyses.dti.mask import brain_mask, without_neck
from analyses.dti.regions import white_matter
from analyses.dti.tensor import TensorField, fit_tensor
from analyses.quantities import BRAIN, WHITE_MATTER
from phantom.diffusion import DiffusionBody
from phantom.painting import THREADS, Image
from phantom.sequences import dwi

Region = npt.NDArray[np.bool_]
Maps = Mapping[str, Image]

# A share from which a voxel counts as one tissue: below it partial volume, not method, decides the value.
PURE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What a perfect measurement finds: FA, MD, AD, RD (x, y, z), 0 outside the brain, and the regions' voxels."""

    maps: Maps
    regions: Mapping[str, Region]


def put_in(body: DiffusionBody) -> Expected:
    """The same of the body: scalars of the mean tensor, regions by what fills the voxels."""
    brain = body.brain >= 0.5
    found = {BRAIN: brain, WHITE_MATTER: np.asarray((body.white >= PURE) & brain)}
    return Expected(dwi.scalars(body.tensor), found)


def expected(body: DiffusionBody, series: Image, b: dwi.Floats, g_ras: dwi.Floats) -> Expected | None:
    """What `analyses.dti` finds in noise-free volumes (x, y, z, volume); None when no shell carries a tensor."""
    shell = tensor_shell(b, g_ras)
    plain = b == 0
    if shell is None or not plain.any():
        return None
    kept = np.sort(np.r_[np.flatnonzero(plain), shell.volumes])
    used = series if len(kept) == len(b) else series[..., kept]
    weighted = ~plain[kept]
    voxel_mm = body.slab.voxel_mm
    mask = brain_mask(used[..., ~weighted].mean(axis=3), used[..., weighted].mean(axis=3), voxel_mm)
    mask = without_neck(mask, body.slab.affine)
    field: TensorField = fit_tensor(used, mask, b[kept], g_ras[kept], threads=THREADS)
    scalars = {"FA": field.fa, "MD": field.md, "AD": field.ad, "RD": field.rd}
    maps = {name: field.volume(values, outside=0.0) for name, values in scalars.items()}
    inside = field.volume(white_matter(field, voxel_mm).astype(np.float32), outside=0.0) > 0
    return Expected(maps, {BRAIN: mask, WHITE_MATTER: inside})
