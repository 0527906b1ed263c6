"""The head as layers painted over one another: air, scalp, face, skull, fluid, cortex, white matter, nuclei, a lesion.

All distances are signed, mm, negative inside; a layer covers a voxel by the part of its edge that lies inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from phantom.anatomy.fibres import LOWER_MM as FIBRE_LOWER_MM
from phantom.anatomy.template import Template
from phantom.anatomy.warp import Points, Warp
from phantom.slab import Matrix
from phantom.tissue import Tissue

Fraction = npt.NDArray[np.float32]

# Shells round the brain, mm from its surface.
FLUID_MM, SKULL_MM, SCALP_MM = 2.5, 8.0, 12.0
MARROW_MM = (4.5, 6.8)
SHELL_GRID_MM = 2.0
SHELL_PAD_MM = 40.0
BRAIN_SHARE = 0.3  # grey + white above it is brain; holes (ventricles) are filled
SKIN_FAT_MM = 5.0
INVERSION_STEPS = 20

# Lesion-like marker in the deep white matter of the LEFT frontal lobe (MNI mm): tells left from right in any picture.
LESION_CENTRE_MM = (-27.0, 30.0, 20.0)
LESION_RADIUS_MM = 7.0


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Centre and half-axes, MNI mm."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]

    def distance(self, points: Points) -> Fraction:
        """First-order signed distance (n,): exact on the surface."""
        half = np.array(self.half, np.float32)[:, None]
        scaled = (points - np.array(self.centre, np.float32)[:, None]) / half
        squared = scaled * scaled
        size = np.maximum(np.sqrt(squared[0] + squared[1] + squared[2]), np.float32(1e-3))
        steep = squared / (half * half)
        slope = np.maximum(np.sqrt(steep[0] + steep[1] + steep[2]), np.float32(1e-4))
        return np.asarray(size * (size - 1) / slope, np.float32)


FACE = Ellipsoid((0, 32, -54), (63, 58, 78))
BASE = Ellipsoid((0, -12, -78), (66, 72, 46))
NOSE = Ellipsoid((0, 88, -48), (12, 17, 19))
NECK = Ellipsoid((0, -34, -150), (58, 62, 120))
EYE = Ellipsoid((32, 66, -36), (12, 12, 12))
NASAL_CAVITY = Ellipsoid((0, 66, -50), (12, 26, 20))
MAXILLARY_SINUS = Ellipsoid((26, 60, -62), (12, 14, 13))
MOUTH = Ellipsoid((0, 48, -92), (22, 32, 7))
PHARYNX = Ellipsoid((0, 8, -110), (9, 8, 45))
JAW = Ellipsoid((32, 40, -104), (7, 24, 9))
SPINE = Ellipsoid((0, -26, -130), (15, 12, 50))
CANAL = Ellipsoid((0, -46, -110), (9, 8, 60))
CORD = Ellipsoid((0, -46, -110), (5.5, 4.5, 62))
SKULL_BASE_FLOOR_MM = -62.0  # the shells of skull and scalp end here: face and neck go on

NUCLEI: tuple[tuple[Tissue, Ellipsoid], ...] = (
    (Tissue.THALAMUS, Ellipsoid((11, -18, 7), (9, 12, 8))),
    (Tissue.CAUDATE, Ellipsoid((13, 12, 10), (5, 9, 10))),
    (Tissue.PUTAMEN, Ellipsoid((26, 3, 1), (6, 15, 8))),
    (Tissue.PALLIDUM, Ellipsoid((20, -4, -1), (5, 8, 5))),
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A tissue and how much of each point's voxel it covers, 0...1, over all layers before it."""

    tissue: Tissue
    cover: Fraction


def _covered(distance: Fraction, edge_mm: float) -> Fraction:
    return np.asarray(np.clip(np.float32(0.5) - distance / np.float32(edge_mm), 0, 1))


def _both(shape: Ellipsoid, points: Points) -> Fraction:
    """Distance to a shape of the right side or its mirror image, whichever is nearer."""
    return shape.distance(np.stack([np.abs(points[0]), points[1], points[2]]))


class Head:
    """One person's head in scanner coordinates: template, warp, and how the head lies in the scanner.

    placement: 3x3 rotation, body to scanner (RAS); shift_mm: where the body's origin (anterior commissure) lies.
    """

    def __init__(self, template: Template, warp: Warp, placement: Matrix, shift_mm: tuple[float, float, float]) -> None:
        self._template = template
        self._warp = warp
        self.placement = placement
        self._shift = np.array(shift_mm, np.float32)[:, None]
        self._shell_origin = template.origin_mm - SHELL_PAD_MM
        self._shell = _brain_distance(template)

    @property
    def centre_ras(self) -> npt.NDArray[np.float64]:
        """Where the body's origin lies in the scanner, RAS mm."""
        return self._shift[:, 0].astype(np.float64)

    def scanner(self, body: tuple[float, float, float]) -> npt.NDArray[np.float64]:
        """Scanner point that shows a template point, RAS mm: the pull-back inverted by fixed-point iteration."""
        target = np.array(body, np.float32)[:, None]
        guess = target.copy()
        for _ in range(INVERSION_STEPS):
            guess += target - self._warp.pull(guess)
        return np.asarray(self.placement @ guess[:, 0].astype(np.float64) + self.centre_ras)

    def body(self, scanner: Points) -> Points:
        """Body coordinates (3, n) of scanner points (3, n), RAS mm."""
        return np.asarray(self.placement.T.astype(np.float32) @ (scanner - self._shift), np.float32)

    def template(self, scanner: Points) -> Points:
        """Template points (3, n) that scanner points show."""
        return self._warp.pull(self.body(scanner))

    def turn(self, scanner: Points) -> npt.NDArray[np.float32]:
        """Rotations (n, 3, 3) from template directions to scanner directions (RAS)."""
        return np.asarray(self.placement.astype(np.float32) @ self._warp.turn(self.body(scanner)), np.float32)

    def surface(self, template: Points) -> Fraction:
        """Signed distance (n,) of template points to the brain's surface, mm."""
        index = (template - self._shell_origin[:, None].astype(np.float32)) / np.float32(SHELL_GRID_MM)
        return ndimage.map_coordinates(self._shell, index, order=1, mode="nearest", prefilter=False)

    def skin(self, template: Points) -> Fraction:
        """Signed distance (n,) to the skin, mm."""
        vault = np.maximum(self.surface(template) - np.float32(SCALP_MM), SKULL_BASE_FLOOR_MM - template[2])
        parts = [shape.distance(template) for shape in (FACE, BASE, NOSE, NECK)]
        return np.asarray(np.minimum.reduce([vault, *parts]))

    def layers(self, template: Points, edge_mm: float) -> Iterator[Layer]:
        """Layers from the outside in at template points (3, n), for voxels of `edge_mm`."""
        yield from self._outside(template, edge_mm)
        yield from self._brain(template, edge_mm)

    def _outside(self, at: Points, edge: float) -> Iterator[Layer]:
        skin, brain = self.skin(at), self.surface(at)
        yield Layer(Tissue.FAT, _covered(skin, edge))
        soft = np.minimum.reduce([shape.distance(at) for shape in (FACE, BASE, NECK)]) + np.float32(SKIN_FAT_MM)
        yield Layer(Tissue.MUSCLE, _covered(np.maximum(soft, skin + np.float32(SKIN_FAT_MM)), edge))
        for tissue, distance in (
            (Tissue.MARROW, _both(JAW, at)),
            (Tissue.MARROW, SPINE.distance(at)),
            (Tissue.VITREOUS, _both(EYE, at)),
            (Tissue.AIR, NASAL_CAVITY.distance(at)),
            (Tissue.AIR, _both(MAXILLARY_SINUS, at)),
            (Tissue.AIR, MOUTH.distance(at)),
            (Tissue.AIR, PHARYNX.distance(at)),
        ):
            yield Layer(tissue, _covered(distance, edge))
        bone = np.maximum(brain - np.float32(SKULL_MM), SKULL_BASE_FLOOR_MM - at[2])
        yield Layer(Tissue.BONE, _covered(bone, edge))
        inner, outer = MARROW_MM
        diploe = np.maximum.reduce([brain - np.float32(outer), np.float32(inner) - brain, -at[2] - np.float32(40)])
        yield Layer(Tissue.MARROW, _covered(diploe, edge))
        fluid = np.maximum(brain - np.float32(FLUID_MM), SKULL_BASE_FLOOR_MM - np.float32(10) - at[2])
        yield Layer(Tissue.CSF, _covered(np.minimum(fluid, CANAL.distance(at)), edge))
        yield Layer(Tissue.WHITE, _covered(CORD.distance(at), edge))

    def _maps(self, at: Points) -> tuple[Fraction, Fraction]:
        index = at - self._template.origin_mm[:, None].astype(np.float32)
        grey, white = (
            ndimage.map_coordinates(part, index, order=1, mode="constant", prefilter=False)
            for part in (self._template.grey, self._template.white)
        )
        return np.clip(grey, 0, 1), np.clip(white, 0, 1)

    def _brain(self, at: Points, edge: float) -> Iterator[Layer]:
        grey, white = self._maps(at)
        rest = np.maximum(1 - white, np.float32(1e-6))
        yield Layer(Tissue.CORTEX, np.minimum(grey / rest, 1))
        yield Layer(Tissue.WHITE, white)
        solid = np.minimum(grey + white, 1)
        for tissue, shape in NUCLEI:
            yield Layer(tissue, _covered(_both(shape, at), edge) * solid)
        lesion = Ellipsoid(LESION_CENTRE_MM, (LESION_RADIUS_MM,) * 3)
        yield Layer(Tissue.LESION, _covered(lesion.distance(at), edge) * solid)


@lru_cache(maxsize=1)
def _brain_distance(template: Template) -> Fraction:
    """Signed distance to the brain's surface on a padded grid of `SHELL_GRID_MM`, mm."""
    step = int(SHELL_GRID_MM)
    pad = int(SHELL_PAD_MM / SHELL_GRID_MM)
    grey, white = (part[::step, ::step, ::step] for part in (template.grey, template.white))
    solid = grey + white > BRAIN_SHARE
    brain = np.pad(ndimage.binary_fill_holes(ndimage.binary_opening(solid)), pad)
    outside = ndimage.distance_transform_edt(~brain) - ndimage.distance_transform_edt(brain)
    half_voxel = 0.5 * np.sign(outside)
    return np.asarray(ndimage.gaussian_filter((outside - half_voxel) * SHELL_GRID_MM, 1.0), np.float32)


def fibre_index(template: Points, grid_mm: float) -> Points:
    """Index of template points on the grid of the fibre tensor."""
    return np.asarray((template - FIBRE_LOWER_MM[:, None].astype(np.float32)) / np.float32(grid_mm), np.float32)
