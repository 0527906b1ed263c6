"""The regions over which diffusion truth is taken: what was put in, and what the analysis' own definition finds.

"Brain" and "cerebral white matter" are those of `analyses.dti`, applied to noise-free images and true maps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from analyses.dti.mask import brain_mask, eroded
from analyses.dti.regions import RIM_MM, WHITE_MATTER_FA, WHITE_MATTER_MD
from analyses.quantities import BRAIN, WHITE_MATTER
from phantom.scan import DiffusionBody
from phantom.sequences import dwi
from phantom.slab import Slab

Region = npt.NDArray[np.bool_]
Maps = Mapping[str, npt.NDArray[np.float32]]

# A share from which a voxel counts as one tissue: below it partial volume, not method, decides the value.
PURE = 0.9


def body_regions(body: DiffusionBody) -> dict[str, Region]:
    """Regions by what fills the voxels."""
    return {BRAIN: body.brain >= 0.5, WHITE_MATTER: body.white * body.brain >= PURE}


def expected_regions(
    body: DiffusionBody, maps: Maps, slab: Slab, b: dwi.Floats, g_ras: dwi.Floats
) -> dict[str, Region]:
    """Regions (x, y, z) that the definition of `analyses.dti` finds without noise; maps: true FA and MD."""
    weighted = np.zeros_like(body.unweighted)
    for value, direction in zip(b, g_ras, strict=True):
        if value > 0:
            weighted += dwi.attenuation(body.tensor, float(value), direction)
    mask = brain_mask(body.unweighted, body.unweighted * weighted / np.float32((b > 0).sum()), slab.voxel_mm)
    fa, md = maps["FA"], maps["MD"]
    anisotropic = (fa > WHITE_MATTER_FA[0]) & (fa < WHITE_MATTER_FA[1])
    tissue = (md > WHITE_MATTER_MD[0]) & (md < WHITE_MATTER_MD[1])
    white = eroded(mask, RIM_MM, slab.voxel_mm) & anisotropic & tissue
    return {BRAIN: mask, WHITE_MATTER: np.asarray(white)}
