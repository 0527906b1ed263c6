"""What lies outside the brain: skin, fat, muscles, skull, face, eyes, air, as solids round the template's brain.

The vault follows the brain of the template; face and neck are solids of adult size placed by eye on T1-weighted
images (all coordinates are estimates, MNI mm).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from phantom.anatomy._solid import FAR_MM, read
from phantom.anatomy.body import Distance, Points
from phantom.anatomy.shapes import Cone, Ellipsoid, Shapes, Solid, tube
from phantom.anatomy.template import Template
from phantom.tissue import Tissue

GRID_MM = 2.5
LOWER_MM = np.array([-125.0, -150.0, -260.0])
UPPER_MM = np.array([125.0, 140.0, 120.0])

SKULL_BOX_MM = ((-98.0, 98.0), (-133.0, 100.0), (-100.0, 108.0))  # holds brain, skull and scalp
BRAIN_SHARE = 0.5  # grey + white above it is brain
CLOSING_MM = 10.0  # sulci and cisterns narrower than twice this lie inside the skull
FLUID_MM = 1.5  # from the closed brain to the dura
VAULT_MM = 12.0  # from the dura to the skin, over the vault
VAULT_SMOOTH_MM, VAULT_REACH_MM = 5.0, 40.0  # the skin over the vault is smoother than the dura
VAULT_FLOOR_MM = -58.0  # below it the skin is that of face and neck
SKIN_BLEND_MM = 14.0

SKIN = Solid(
    "skin",
    Tissue.MUSCLE,
    (
        Ellipsoid((0, 22, -52), (62, 60, 62)),  # mid-face
        Ellipsoid((0, 70, -34), (46, 20, 24)),  # brow and bridge
        Ellipsoid((0, 42, -92), (50, 46, 36)),  # jaws
        Ellipsoid((0, 66, -112), (24, 22, 18)),  # chin
        Cone((0, 84, -38), (0, 100, -66), 6.0, 8.5),  # nose
        Ellipsoid((0, 94, -70), (15, 12, 7)),  # wings of the nose
        Ellipsoid((0, 84, -84), (22, 10, 5.5)),  # upper lip
        Ellipsoid((0, 82, -95), (20, 10, 5.5)),  # lower lip
        Ellipsoid((34, 54, -66), (30, 26, 22)),
        Ellipsoid((-34, 54, -66), (30, 26, 22)),  # cheeks
        Ellipsoid((0, -48, -70), (62, 50, 50)),  # nape
        Cone((0, -34, -120), (0, -52, -300), 60.0, 66.0),  # neck
        Ellipsoid((0, 0, -96), (56, 44, 30)),  # floor of the mouth
        Ellipsoid((66, 14, -14), (18, 38, 38)),
        Ellipsoid((-66, 14, -14), (18, 38, 38)),  # temples
        Ellipsoid((0, -18, -60), (70, 42, 32)),  # below the ears
    ),
    blend_mm=SKIN_BLEND_MM,
)

EARS = Solid(
    "ears",
    Tissue.MUSCLE,
    (Ellipsoid((83, -27, -36), (3.2, 14, 26), (0, -10, 28)),),
    mirrored=True,
)

FACE: tuple[Solid, ...] = (
    Solid("ear cartilage", Tissue.MUSCLE, EARS.parts, mirrored=True),
    # Fat and muscles of the face.
    Solid(
        "temporalis",
        Tissue.MUSCLE,
        (Ellipsoid((70, 14, -16), (12, 36, 38), (0, 8, 8)),),
        mirrored=True,
        below_skin_mm=4,
    ),
    Solid("masseter", Tissue.MUSCLE, (Cone((56, 26, -66), (52, 14, -100), 8, 9),), mirrored=True, below_skin_mm=4),
    Solid("buccal fat", Tissue.FAT, (Ellipsoid((43, 43, -78), (7, 11, 13)),), mirrored=True, below_skin_mm=2),
    Solid("parotid", Tissue.FAT, (Ellipsoid((60, -6, -82), (9, 14, 22)),), mirrored=True, below_skin_mm=3),
    Solid("pterygoids", Tissue.MUSCLE, (Ellipsoid((36, 14, -72), (9, 14, 18)),), mirrored=True),
    Solid("parapharyngeal fat", Tissue.FAT, (Ellipsoid((24, 4, -78), (3, 6, 14)),), mirrored=True),
    # Bones of the face: shell, then marrow.
    Solid(
        "maxilla",
        Tissue.BONE,
        (Ellipsoid((0, 58, -78), (29, 23, 13)), Ellipsoid((28, 53, -60), (15, 16, 16))),
        4,
        True,
        below_skin_mm=7,
    ),
    Solid("maxilla marrow", Tissue.MARROW, (Ellipsoid((0, 58, -79), (26, 21, 10)),), below_skin_mm=9),
    Solid(
        "zygoma",
        Tissue.BONE,
        tube(((40, 64, -60), (56, 48, -56), (66, 22, -50), (68, 2, -48)), (7, 5.5, 3.5, 3)),
        mirrored=True,
        below_skin_mm=5,
    ),
    Solid(
        "zygoma marrow",
        Tissue.MARROW,
        tube(((41, 63, -60), (55, 47, -56), (64, 26, -51)), (5, 3.5, 2)),
        mirrored=True,
        below_skin_mm=6,
    ),
    Solid(
        "jaw",
        Tissue.BONE,
        (
            *tube(((0, 80, -112), (20, 72, -111), (40, 40, -107), (49, 12, -100)), (9, 8.5, 8.5, 8.5)),
            *tube(((49, 12, -100), (50, 4, -76), (51, -2, -52)), (8, 6, 5.5)),
        ),
        3,
        True,
        below_skin_mm=5,
    ),
    Solid(
        "jaw marrow",
        Tissue.MARROW,
        (
            *tube(((0, 80, -113), (20, 72, -112), (40, 40, -108), (49, 12, -101)), (6.5, 6, 5.5, 5.5)),
            *tube(((49, 12, -100), (50, 4, -76), (51, -2, -53)), (5, 3.5, 3.2)),
        ),
        3,
        True,
        below_skin_mm=7,
    ),
    # Cavities: mucosa and turbinates stand in the nose's air.
    Solid("nasal walls", Tissue.BONE, (Ellipsoid((0, 56, -56), (18, 36, 20)),), low_mm=-72, below_skin_mm=4),
    Solid("nasal mucosa", Tissue.MUSCLE, (Ellipsoid((0, 58, -56), (16.5, 38, 18.5)),), low_mm=-71, below_skin_mm=3),
    Solid(
        "ethmoid air",
        Tissue.AIR,
        (Ellipsoid((9, 58, -40), (4, 8, 5)), Ellipsoid((9, 44, -41), (4, 6, 5)), Ellipsoid((9, 32, -42), (4, 5, 5))),
        mirrored=True,
    ),
    Solid(
        "nasal air",
        Tissue.AIR,
        (
            Ellipsoid((3.2, 56, -52), (1.3, 28, 12)),
            Ellipsoid((11, 52, -62), (4.5, 26, 3.0)),
            Ellipsoid((7, 58, -68.5), (5, 30, 1.6)),
            Ellipsoid((12.5, 50, -54), (3, 22, 2.4)),
            Cone((6, 78, -70), (6.5, 97, -76), 3.5, 3.0),
        ),
        1.0,
        True,
    ),
    Solid("maxillary sinus", Tissue.AIR, (Ellipsoid((29, 51, -60), (12, 15, 14), (0, 12, 0)),), mirrored=True),
    Solid(
        "orbital fat",
        Tissue.FAT,
        (Ellipsoid((30, 46, -37), (16, 27, 15.5), (0, 0, -18)),),
        mirrored=True,
        below_skin_mm=3,
        barred=True,
    ),
    Solid(
        "eye muscles",
        Tissue.MUSCLE,
        (
            Cone((43, 58, -37), (22, 24, -36), 2.4, 2.0),
            Cone((21, 58, -37), (17, 24, -36), 2.2, 1.8),
            Cone((31, 58, -26.5), (19, 24, -34), 1.8, 1.6),
            Cone((31, 58, -48), (19, 24, -38), 1.8, 1.6),
        ),
        mirrored=True,
    ),
    Solid(
        "optic nerve",
        Tissue.WHITE,
        tube(((32, 50, -38), (24, 32, -35), (14, 14, -29), (4, 4, -21)), (1.8, 1.8, 1.8, 2.0)),
        mirrored=True,
    ),
    Solid("sclera", Tissue.MUSCLE, (Ellipsoid((33, 61, -38), (13, 13, 13)),), mirrored=True),
    Solid(
        "eye",
        Tissue.VITREOUS,
        (Ellipsoid((33, 61, -38), (12, 12, 12)), Ellipsoid((33, 71, -38), (6, 4.5, 6))),
        1.0,
        True,
    ),
    Solid("lens", Tissue.MUSCLE, (Ellipsoid((33, 69.5, -38), (4.6, 1.9, 4.6)),), mirrored=True),
    # Mouth, throat.
    Solid(
        "mouth floor fat",
        Tissue.FAT,
        (Ellipsoid((0, 52, -108), (4, 18, 2.5)), Ellipsoid((17, 40, -110), (2.5, 16, 4))),
        mirrored=True,
        below_skin_mm=4,
    ),
    Solid("submental fat", Tissue.FAT, (Ellipsoid((0, 36, -121), (30, 30, 6), (-14, 0, 0)),), below_skin_mm=2),
    Solid("palate", Tissue.BONE, (Ellipsoid((0, 50, -74), (22, 28, 2.2)),)),
    Solid("soft palate", Tissue.MUSCLE, tube(((0, 26, -75), (0, 12, -79), (0, 5, -88)), (3.5, 4, 3))),
    Solid(
        "throat",
        Tissue.AIR,
        (
            *tube(((0, 2, -64), (0, -3, -74), (0, -7, -86), (0, -11, -102), (0, -12, -118)), (7, 5.5, 5, 5.5, 6)),
            Cone((0, 24, -63), (0, 4, -64), 7, 7),
        ),
        4.0,
    ),
    Solid(
        "mouth",
        Tissue.AIR,
        (
            Ellipsoid((0, 44, -79.5), (20, 30, 1.6)),
            Cone((0, 62, -88), (0, 92, -89.5), 1.0, 0.7),
            Ellipsoid((0, 6, -92), (10, 4.5, 12), (18, 0, 0)),
        ),
        2.0,
    ),
    Solid(
        "tongue fat",
        Tissue.FAT,
        (
            Cone((0, 30, -86), (0, 44, -106), 0.9, 0.9),
            Ellipsoid((5, 34, -96), (0.8, 16, 10)),
            Ellipsoid((10, 32, -92), (0.7, 18, 8)),
        ),
        mirrored=True,
    ),
    Solid(
        "teeth",
        Tissue.BONE,
        (
            *tube(((0, 79, -84), (14, 73, -84), (22, 58, -84), (25, 42, -84)), (3.2, 3.4, 4.2, 4.2)),
            *tube(((0, 77, -95), (13, 71, -95), (20, 57, -95), (24, 42, -95)), (3, 3.2, 4, 4)),
        ),
        1.0,
        True,
    ),
    Solid("epiglottis", Tissue.FAT, tube(((0, 0, -112), (0, -5, -102)), (3.0, 1.0))),
    Solid("larynx", Tissue.MUSCLE, (Ellipsoid((0, 2, -136), (18, 15, 20)),)),
    Solid(
        "windpipe",
        Tissue.AIR,
        tube(((0, -9, -114), (0, -5, -130), (0, -6, -142), (0, -14, -170), (0, -36, -230)), (6, 6.5, 5, 8, 8.5)),
        3.0,
    ),
    # Neck.
    Solid(
        "neck fat",
        Tissue.FAT,
        (Ellipsoid((38, -13, -128), (9, 9, 26)), Ellipsoid((30, -8, -170), (16, 14, 30))),
        8.0,
        True,
        below_skin_mm=4,
    ),
    Solid(
        "sternomastoid",
        Tissue.MUSCLE,
        tube(((60, -36, -62), (53, -22, -100), (38, 2, -150), (20, 6, -190)), (7, 9.5, 9.5, 9)),
        mirrored=True,
        below_skin_mm=4,
    ),
    Solid(
        "neck vessels",
        Tissue.BLOOD,
        (
            *tube(((27, -12, -70), (29, -10, -110), (30, -8, -160), (26, -16, -220)), (3.2, 4, 5.5, 6)),
            *tube(((22, -4, -70), (23, -2, -110), (22, -4, -160), (18, -10, -220)), (2.4, 3, 3.5, 3.5)),
        ),
        mirrored=True,
    ),
    Solid("nape septum", Tissue.FAT, (Ellipsoid((0, -88, -110), (1.0, 20, 48)),), below_skin_mm=2),
)

# Painted after the skull's shells; they give way to what lies inside the dura.
BASE: tuple[Solid, ...] = (
    Solid("clivus", Tissue.BONE, (Cone((0, 5, -42), (0, -23, -64), 11, 7),), barred=True),
    Solid("clivus marrow", Tissue.MARROW, (Cone((0, 4, -43), (0, -22, -63), 9, 5.2),), barred=True),
    Solid(
        "petrous bone",
        Tissue.BONE,
        (*tube(((62, -32, -44), (46, -26, -42), (22, -14, -44)), (9, 8, 6)), Ellipsoid((60, -36, -54), (9, 12, 15))),
        4,
        True,
        barred=True,
        below_skin_mm=8,
    ),
    Solid("petrous marrow", Tissue.MARROW, (Ellipsoid((20, -12, -44), (6, 5, 4)),), mirrored=True, barred=True),
    Solid(
        "mastoid cells",
        Tissue.AIR,
        (
            Ellipsoid((58, -32, -50), (6, 7, 7)),
            Ellipsoid((61, -40, -44), (4, 5, 6)),
            Ellipsoid((62, -28, -58), (4, 5, 6)),
            Ellipsoid((57, -44, -54), (3, 4, 5)),
            Ellipsoid((52, -24, -42), (4, 4, 4)),
        ),
        mirrored=True,
        barred=True,
        below_skin_mm=8,
    ),
    Solid(
        "ear canal",
        Tissue.AIR,
        tube(((81, -20, -42), (68, -20, -43), (54, -20, -42)), (2.2, 2.2, 3)),
        mirrored=True,
        barred=True,
    ),
    Solid("sphenoid bone", Tissue.BONE, (Ellipsoid((0, 20, -42), (15, 16, 12)),), barred=True),
    Solid("sphenoid sinus", Tissue.AIR, (Ellipsoid((7, 20, -43), (6, 13, 9)),), mirrored=True, barred=True),
    Solid("pituitary", Tissue.CORTEX, (Ellipsoid((0, 2, -34), (6, 4.5, 3.2)),)),
    Solid(
        "frontal sinus bone",
        Tissue.BONE,
        (Ellipsoid((8, 76, -22), (13, 8, 14)),),
        mirrored=True,
        barred=True,
        below_skin_mm=4,
    ),
    Solid(
        "frontal sinus",
        Tissue.AIR,
        (Ellipsoid((9, 75.5, -21), (9, 4.5, 11)),),
        mirrored=True,
        barred=True,
        below_skin_mm=6,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Shells:
    """Signed distances to the skin and to the dura (x, y, z, 2) on a lattice of GRID_MM from LOWER_MM, mm."""

    grid: npt.NDArray[np.float32]

    def distance(self, at: Points, channel: int) -> Distance:
        """Distance (n,) to the skin (0) or the dura (1)."""
        out = np.empty(at.shape[1], np.float32)
        read(self.grid, LOWER_MM, GRID_MM, np.ascontiguousarray(at, np.float32), channel, out)
        return out


@lru_cache(maxsize=2)
def shells(template: Template) -> Shells:
    """The lattice of distances; once for a template."""
    axes = [np.arange(low, high, GRID_MM) for low, high in zip(LOWER_MM, UPPER_MM, strict=True)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    dura = _dura(template, lattice)
    skin = Shapes([SKIN]).distance("skin", lattice.reshape(3, -1)).reshape(dura.shape)
    smooth = ndimage.gaussian_filter(
        np.minimum(dura, np.float32(VAULT_REACH_MM)), VAULT_SMOOTH_MM / GRID_MM, truncate=3
    )
    vault = np.maximum(smooth - np.float32(VAULT_MM), np.float32(VAULT_FLOOR_MM) - lattice[2])
    apart = np.clip((SKIN_BLEND_MM - np.abs(vault - skin)) / SKIN_BLEND_MM, 0, 1)
    joined = np.minimum(vault, skin) - apart * apart * np.float32(SKIN_BLEND_MM / 4)
    ears = Shapes([EARS]).distance("ears", lattice.reshape(3, -1)).reshape(dura.shape)
    joined = np.minimum(joined, ears)
    return Shells(np.ascontiguousarray(np.stack([joined, dura], axis=-1), dtype=np.float32))


def _dura(template: Template, lattice: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Distance to the inside of the skull: the template's brain, closed and smoothed, and a little fluid."""
    box = tuple(
        slice(*np.searchsorted(axis, limits))
        for axis, limits in zip((lattice[0, :, 0, 0], lattice[1, 0, :, 0], lattice[2, 0, 0]), SKULL_BOX_MM, strict=True)
    )
    near = lattice[(slice(None), *box)]
    share = ndimage.gaussian_filter(template.grey + template.white, 1.0, truncate=3)
    index = near.reshape(3, -1) - template.origin_mm[:, None].astype(np.float32)
    solid = ndimage.map_coordinates(share, index, order=1, prefilter=False).reshape(near.shape[1:]) > BRAIN_SHARE
    grown = ndimage.distance_transform_edt(~solid) * GRID_MM < CLOSING_MM
    closed = ndimage.distance_transform_edt(grown) * GRID_MM > CLOSING_MM
    closed = ndimage.binary_fill_holes(closed | solid)
    outside = ndimage.distance_transform_edt(~closed) - ndimage.distance_transform_edt(closed)
    distance = (outside - 0.5 * np.sign(outside)) * GRID_MM
    whole = np.full(lattice.shape[1:], FAR_MM, np.float32)
    whole[box] = ndimage.gaussian_filter(distance, 1.0, truncate=3) - FLUID_MM
    return whole


FACE_SHAPES = Shapes(FACE)
BASE_SHAPES = Shapes(BASE)
