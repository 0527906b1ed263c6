"""Where DTI is measured: the brain, and cerebral white matter as diffusion itself shows it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyses.dti.mask import eroded
from analyses.dti.tensor import TensorField

RIM_MM = 6.0  # cortex and the fluid around it; uncorrected movement makes a false anisotropy there
# FA of cortex stays under 0.2 (Smith 2006, 10.1016/j.neuroimage.2006.02.024); 0.25 keeps noise out.
WHITE_MATTER_FA = (0.25, 0.99)
WHITE_MATTER_MD = (0.3, 1.0)  # um2/ms; healthy white matter has 0.6 to 0.9, what is above is partly fluid


def white_matter(field: TensorField, voxel_mm: tuple[float, float, float]) -> npt.NDArray[np.bool_]:
    """Say which voxels of the field are white matter: 6 mm under the rim, FA above 0.25, MD 0.3 to 1.0 um2/ms."""
    deep = field.voxels(eroded(field.mask, RIM_MM, voxel_mm))
    anisotropic = (field.fa > WHITE_MATTER_FA[0]) & (field.fa < WHITE_MATTER_FA[1])
    tissue = (field.md > WHITE_MATTER_MD[0]) & (field.md < WHITE_MATTER_MD[1])
    return np.asarray(deep & anisotropic & tissue)
