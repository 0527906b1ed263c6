"""The pictures of the technique: colour FA in three planes; FA and MD at the same places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analyses.contract import Figure
from analyses.dti.tensor import TensorField
from analyses.shared.figures import GREY, SEQUENTIAL, Block, Panel, Scale, draw
from analyses.shared.orientation import axis_directions
from analyses.shared.sections import Plane, box_around, section, tight

WIDTH = 900  # pixels; the picture column of the page
TALLEST, TALLEST_BESIDE = 290, 205  # pixels of the largest panel: both pictures and their words fit one page
FA_SCALE = Scale(GREY, 0.0, 1.0, "")
MD_SCALE = Scale(SEQUENTIAL, 0.0, 3.0, "µm²/ms")
DIRECTIONS = (("#ff6b6b", "left–right"), ("#6bff6b", "front–back"), ("#8aa4ff", "head–foot"))
CONVENTION = "Radiological convention: the patient's right is on the left of axial and coronal sections."
COLOUR_GAIN = 1.25  # FA of 0.8 shows in full colour
ABOVE_TOP_MM = 72.0  # an axial section this far under the vertex passes the internal capsule
LEFT_OF_MIDDLE_MM = 3.0  # a sagittal section just beside the fissure shows the corpus callosum


def draw_maps(field: TensorField, affine: npt.NDArray[np.float64], *, with_colour: bool) -> tuple[Figure, ...]:
    """Draw the main picture (colour FA when allowed, else FA) and beside it the scalar maps."""
    places = section_places(field.mask, affine)
    every, two = tuple(places), (Plane.AXIAL, Plane.CORONAL)
    fa, md = (panels(field, affine, places, values) for values in (field.fa, field.md))
    if with_colour:
        colour = panels(field, affine, places, colour_fa(field, affine))
        main = Block("Colour FA", [colour[p] for p in every], DIRECTIONS)
        beside = [Block("FA", [fa[p] for p in two], FA_SCALE), Block("MD", [md[p] for p in two], MD_SCALE)]
        captions = (
            f"Main diffusion direction, brighter with fractional anisotropy (FA). {CONVENTION}",
            "Fractional anisotropy (FA) and mean diffusivity (MD) at the same places.",
        )
    else:
        main = Block("FA", [fa[p] for p in every], FA_SCALE)
        beside = [Block("MD", [md[p] for p in every], MD_SCALE)]
        captions = (f"Fractional anisotropy (FA). {CONVENTION}", "Mean diffusivity (MD) at the same places.")
    return (
        Figure("maps", captions[0], draw([main], WIDTH, TALLEST)),
        Figure("scalars", captions[1], draw(beside, WIDTH, TALLEST_BESIDE)),
    )


def panels(
    field: TensorField,
    affine: npt.NDArray[np.float64],
    places: dict[Plane, float],
    values: npt.NDArray[np.float32],
) -> dict[Plane, Panel]:
    """Cut a map of the field, (voxel,) values or (voxel, 3) colours, at every place, close around the brain."""
    box = box_around(field.mask, affine)
    volume, mask = field.volume(values, 0.0), field.mask.astype(np.float32)
    layers: Sequence[npt.NDArray[np.float32]] = [volume] if volume.ndim == 3 else list(np.moveaxis(volume, 3, 0))
    cut = {}
    for plane, at in places.items():
        inside = section(mask, affine, plane, at, box) > 0.5
        pixels = np.stack([section(layer, affine, plane, at, box) for layer in layers], axis=2)
        frame = tight(inside)
        cut[plane] = Panel(plane, at, (pixels if len(layers) > 1 else pixels[..., 0])[frame], inside[frame])
    return cut


def colour_fa(field: TensorField, affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Colour FA (voxel, 3): |V1| in patient axes times FA; Pajevic & Pierpaoli 1999, Magn Reson Med 42:526."""
    patient = np.abs(field.direction @ axis_directions(affine).T.astype(np.float32)) * field.fa[:, None] * COLOUR_GAIN
    return np.asarray(patient, dtype=np.float32)


def section_places(mask: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]) -> dict[Plane, float]:
    """Where to cut, RAS mm: through the internal capsule, the middle of the brain, and beside the midline."""
    points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    middle = points.mean(axis=0)
    low, high = points.min(axis=0), points.max(axis=0)
    axial = float(np.clip(high[2] - ABOVE_TOP_MM, low[2] + 0.3 * (high[2] - low[2]), high[2]))
    return {Plane.AXIAL: axial, Plane.CORONAL: float(middle[1]), Plane.SAGITTAL: float(middle[0] - LEFT_OF_MIDDLE_MM)}
