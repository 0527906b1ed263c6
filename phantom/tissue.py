"""What each tissue is at 3 T: proton density, relaxation, diffusivity. One consistent set, not the best of each paper.

T1, T2, T2* of white matter, cortex and muscle: 10.1007/s10334-008-0104-8, 10.1002/mrm.20605, 10.1016/j.mri.2007.02.014;
fat: 10.1148/radiol.2303021331; the others are estimates of this size. Diffusivities: free water 3.0, grey matter 0.85.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tissue(StrEnum):
    """What fills a place in the head."""

    WHITE = "white matter"
    CORTEX = "cortex"
    CSF = "cerebrospinal fluid"
    THALAMUS = "thalamus"
    CAUDATE = "caudate"
    PUTAMEN = "putamen"
    PALLIDUM = "pallidum"
    HIPPOCAMPUS = "hippocampus"
    AMYGDALA = "amygdala"
    IRON = "substantia nigra, red and dentate nucleus"
    CORD_WHITE = "white matter of the cord"
    CORD_GREY = "grey matter of the cord"
    BLOOD = "venous blood"
    DURA = "dura"
    DISC = "intervertebral disc"
    LESION = "lesion"
    FAT = "fat"
    MUSCLE = "muscle"
    BONE = "cortical bone"
    MARROW = "marrow"
    VITREOUS = "vitreous"
    AIR = "air"


@dataclass(frozen=True, slots=True)
class Properties:
    """Proton density (water = 1), relaxation times (ms), mean diffusivity (um2/ms), susceptibility to fluid (ppm)."""

    pd: float
    t1_ms: float
    t2_ms: float
    t2star_ms: float
    md: float
    chi_ppm: float = 0.0


PROPERTIES: dict[Tissue, Properties] = {
    Tissue.WHITE: Properties(0.70, 838, 69, 53, 0.75, -0.03),  # md: only where no fibre field is known
    Tissue.CORTEX: Properties(0.82, 1607, 99, 66, 0.85, 0.01),
    Tissue.CSF: Properties(1.00, 4300, 2000, 500, 3.00),
    Tissue.THALAMUS: Properties(0.76, 1150, 75, 48, 0.78, 0.01),
    Tissue.CAUDATE: Properties(0.80, 1395, 80, 41, 0.75, 0.045),
    Tissue.PUTAMEN: Properties(0.80, 1332, 75, 32, 0.75, 0.05),
    Tissue.PALLIDUM: Properties(0.72, 950, 55, 20, 0.80, 0.13),
    Tissue.HIPPOCAMPUS: Properties(0.82, 1500, 95, 60, 0.90, 0.01),
    Tissue.AMYGDALA: Properties(0.82, 1500, 95, 60, 0.85, 0.01),
    Tissue.IRON: Properties(0.72, 1000, 55, 22, 0.75, 0.11),
    Tissue.CORD_WHITE: Properties(0.72, 900, 75, 40, 0.80, -0.02),
    Tissue.CORD_GREY: Properties(0.80, 1050, 80, 40, 0.90),
    Tissue.BLOOD: Properties(0.85, 1932, 60, 20, 1.50, 0.22),
    Tissue.DURA: Properties(0.60, 1000, 40, 15, 0.80),
    Tissue.DISC: Properties(0.75, 1100, 90, 40, 1.50),
    Tissue.LESION: Properties(0.85, 2200, 180, 90, 1.60),
    Tissue.FAT: Properties(0.65, 382, 68, 30, 0.10, 0.6),
    Tissue.MUSCLE: Properties(0.75, 1412, 50, 25, 1.50),
    Tissue.BONE: Properties(0.10, 300, 1, 0.5, 0.10, -2.1),
    Tissue.MARROW: Properties(0.45, 420, 60, 15, 0.10, 0.6),
    Tissue.VITREOUS: Properties(1.00, 4000, 1500, 400, 2.80),
    Tissue.AIR: Properties(0.0, 1000, 1, 1, 0.0, 9.4),
}

# Bundles and the white matter between them, um2/ms: axial, radial. A voxel is BUNDLE_SHARE bundle, the rest hindered
# water; so a voxel of one bundle has FA 0.72, MD 0.76, like the corticospinal tract in the internal capsule.
BUNDLE = (1.70, 0.30)
BUNDLE_SHARE = 0.85
HINDERED_MD = 0.75
BETWEEN = (1.20, 0.525)
