"""What lies under the cortex: nuclei, ventricles, callosum, brain stem, cerebellum. Body coordinates, estimates.

Places and sizes follow the template and the JHU-MNI deep grey matter atlas (10.1016/j.neuroimage.2009.01.002); the same
solids paint a structure and label its parcel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from phantom.anatomy.folds import tentorium_mm
from phantom.anatomy.parcels import LABEL, MIDLINE, Parcel, Side, Structure
from phantom.anatomy.shapes import Cone, Ellipsoid, Shapes, Solid, tube
from phantom.anatomy.template import Template
from phantom.tissue import Tissue

# Lesion-like marker in the deep white matter of the LEFT frontal lobe: tells left from right in any picture.
LESION_CENTRE_MM = (-27.0, 30.0, 20.0)
LESION_RADIUS_MM = 7.0

NUCLEI: tuple[Solid, ...] = (
    Solid("accumbens", Tissue.CAUDATE, (Ellipsoid((10.5, 10, -7.5), (5.5, 6, 4)),), mirrored=True),
    Solid(
        "caudate",
        Tissue.CAUDATE,
        (
            Ellipsoid((12, 13, 7), (5.8, 10.5, 10), (0, 0, 10)),
            *tube(((14, 6, 15), (16, -4, 19), (18.5, -14, 21), (21, -24, 19)), (4.4, 3.8, 3.1, 2.2)),
        ),
        3.0,
        True,
    ),
    Solid("putamen", Tissue.PUTAMEN, (Ellipsoid((25.7, 2.5, 1.5), (5.9, 18, 11.2), (0, 0, 15)),), mirrored=True),
    Solid("pallidum", Tissue.PALLIDUM, (Ellipsoid((19.5, -3, 0), (4.9, 10.2, 6.9), (0, 0, 24)),), mirrored=True),
    Solid(
        "thalamus",
        Tissue.THALAMUS,
        (Ellipsoid((11.5, -18, 7), (9.0, 16.5, 10.2), (0, 0, 20)), Ellipsoid((15, -29, 4.5), (6.5, 5.5, 6.5))),
        5.0,
        True,
    ),
    Solid(
        "hippocampus",
        Tissue.HIPPOCAMPUS,
        tube(
            ((24.5, -11, -20), (28, -20, -16), (30, -29, -9.5), (26, -37, -2), (19, -40, 4)), (6.3, 5.7, 5.0, 4.0, 2.3)
        ),
        2.0,
        True,
    ),
    Solid("amygdala", Tissue.AMYGDALA, (Ellipsoid((23.5, -3.5, -19), (7.4, 7.0, 8.0)),), mirrored=True),
    Solid("nigra", Tissue.IRON, (Ellipsoid((9.5, -17.5, -12), (2.4, 6.2, 2.0), (0, 20, 30)),), mirrored=True),
    Solid("red nucleus", Tissue.IRON, (Ellipsoid((4.8, -20, -8.5), (2.5, 2.8, 2.8)),), mirrored=True),
    Solid("dentate", Tissue.IRON, (Ellipsoid((14.5, -57, -35), (2.6, 8.5, 4.8), (0, 25, -25)),), mirrored=True),
)
# Where the template's fluid is ventricle; the fluid itself is the template's.
VENTRICLES = Solid(
    "lateral ventricle",
    Tissue.CSF,
    (
        Ellipsoid((10, 18, 8), (11, 20, 16)),
        *tube(
            ((9, 8, 18), (10, -10, 23), (16, -28, 20), (26, -42, 12), (27, -58, 8), (26, -72, 6)), (9, 9, 9, 9, 7, 5)
        ),
        *tube(((27, -40, 8), (33, -33, -4), (34, -20, -13), (31, -9, -17)), (8, 6.5, 6, 5)),
    ),
    mirrored=True,
)
MIDDLE_VENTRICLES = Solid(
    "third and fourth ventricle",
    Tissue.CSF,
    (
        Ellipsoid((0, -14, 2), (6, 20, 11)),
        Cone((0, -30, -4), (0, -36, -18), 4, 5),
        Ellipsoid((0, -43, -33), (13, 10, 15)),
    ),
)
# Drawn at its true width, which the template's average has lost.
AQUEDUCT = Solid("aqueduct", Tissue.CSF, (Cone((0, -28.5, -4), (0, -36, -18), 1.1, 1.3),))
LESION = Solid("lesion", Tissue.LESION, (Ellipsoid(LESION_CENTRE_MM, (LESION_RADIUS_MM,) * 3),))

STEM = Solid(
    "brain stem",
    Tissue.WHITE,
    (
        Ellipsoid((0, -25, -12), (18.5, 16.5, 11)),
        Ellipsoid((0, -25, -33), (19, 16, 15)),
        Cone((0, -33, -46), (0, -47, -74), 11, 9.5),
    ),
    4.0,
)
# From the cerebral peduncle to the internal capsule, across the seam between brain stem and cerebrum.
CRUS = Solid("crus cerebri", Tissue.WHITE, (Cone((11.5, -20.5, -21), (18, -17, -7), 7.5, 8.5),), mirrored=True)
NUCLEI_SHAPES = Shapes(NUCLEI)
REGIONS = Shapes((VENTRICLES, MIDDLE_VENTRICLES, AQUEDUCT, LESION, STEM, CRUS))

_SIDES = (Side.LEFT, Side.RIGHT)
# Numbers of parcels (row, side): cerebellum, brain stem, ventricle, callosum; nuclei in the order of NUCLEI.
REGION_LABELS: npt.NDArray[np.uint8] = np.array(
    [
        [LABEL[Parcel(structure, Side.BOTH if structure in MIDLINE else side)] for side in _SIDES]
        for structure in (Structure.CEREBELLUM, Structure.BRAINSTEM, Structure.VENTRICLE, Structure.CALLOSUM)
    ],
    np.uint8,
)
NUCLEI_LABELS: npt.NDArray[np.uint8] = np.array(
    [
        [LABEL[Parcel(Structure(solid.name), side)] if solid.name in set(Structure) else 0 for side in _SIDES]
        for solid in NUCLEI
    ],
    np.uint8,
)

# Callosum: this far under its outer border and from the midline.
CALLOSUM_THICK_MM = 9.0
CALLOSUM_HALF_MM = 7.0

# Below the tentorium: what of the template is cerebellum or brain stem.
STEM_X_MM, STEM_TOP_MM, STEM_BACK_MM, STEM_FRONT_MM = 20.0, 1.0, -48.0, 9.0
CEREBELLUM_FRONT_MM = -33.0
PEDUNCLE_X_MM, PEDUNCLE_TOP_MM = 30.0, -18.0
TEMPLATE_FLOOR_MM = -62.0  # the cord goes on below

HIND_LOWER_MM = np.array([-66.0, -108.0, -72.0])
HIND_UPPER_MM = np.array([66.0, 14.0, 10.0])
HIND_SMOOTH_MM = 1.2


@dataclass(frozen=True, slots=True, eq=False)
class Hindbrain:
    """Signed distance to the surface of cerebellum and brain stem, positive inside, and their share of a place.

    grid (x, y, z, 2): 1 mm lattice from HIND_LOWER_MM.
    """

    grid: npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def hindbrain(template: Template) -> Hindbrain:
    """Cerebellum and brain stem of a template."""
    first = np.rint(HIND_LOWER_MM - template.origin_mm).astype(int)
    last = np.rint(HIND_UPPER_MM - template.origin_mm).astype(int) + 1
    part = tuple(slice(int(i), int(j)) for i, j in zip(first, last, strict=True))
    x, y, z = (
        np.arange(low, high + 1, dtype=np.float32) for low, high in zip(HIND_LOWER_MM, HIND_UPPER_MM, strict=True)
    )
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    share = np.asarray(template.grey[part] + template.white[part])
    region = np.asarray(_below(x, y, z), np.float32)
    solid = ndimage.gaussian_filter(share * region, HIND_SMOOTH_MM) > 0.5
    solid = ndimage.binary_opening(solid)
    distance = ndimage.distance_transform_edt(solid) - ndimage.distance_transform_edt(~solid)
    distance = ndimage.gaussian_filter(distance - 0.5 * np.sign(distance), 0.7)
    region = ndimage.gaussian_filter(region, 0.6)
    return Hindbrain(np.ascontiguousarray(np.stack([distance, region], axis=-1), dtype=np.float32))


def _below(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], z: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    roof = tentorium_mm(x[:, :, 0], y[:, :, 0])[:, :, None]
    behind = (z < roof) & (y < CEREBELLUM_FRONT_MM)
    peduncle = (np.abs(x) < PEDUNCLE_X_MM) & (z < PEDUNCLE_TOP_MM) & (y < -24)
    stem = (np.abs(x) < STEM_X_MM) & (z < STEM_TOP_MM) & (y > STEM_BACK_MM) & (y < STEM_FRONT_MM)
    return np.asarray(behind | peduncle | stem)
