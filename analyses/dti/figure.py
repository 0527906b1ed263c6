"""The picture of the technique: colour FA, FA and MD in three planes through the brain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyses.contract import Figure
from analyses.dti.tensor import TensorField
from analyses.shared.figures import GREY, SEQUENTIAL, Panel, Row, Scale, draw
from analyses.shared.orientation import axis_directions
from analyses.shared.sections import Box, Plane, box_around, section

WIDTH, ROW_HEIGHT = 1240, 400
FA_SCALE = Scale(GREY, 0.0, 1.0, "FA")
MD_SCALE = Scale(SEQUENTIAL, 0.0, 3.0, "MD (µm²/ms)")
COLOUR_GAIN = 1.25  # FA of 0.8 shows in full colour
ABOVE_TOP_MM = 72.0  # an axial section this far under the vertex passes the internal capsule
LEFT_OF_MIDDLE_MM = 3.0  # a sagittal section just beside the fissure shows the corpus callosum


def draw_maps(field: TensorField, affine: npt.NDArray[np.float64], *, with_colour: bool) -> tuple[Figure, ...]:
    """Draw the maps; colour FA (red left-right, green front-back, blue head-foot) when allowed."""
    box = box_around(field.mask, affine)
    places = section_places(field.mask, affine)
    inside = {
        plane: section(field.mask.astype(np.float32), affine, plane, at, box, order=0) > 0.5
        for plane, at in places.items()
    }

    def cut(values: npt.NDArray[np.float32], title: str, scale: Scale) -> Row:
        panels = [Panel(p, at, section(values, affine, p, at, box), inside[p]) for p, at in places.items()]
        return Row(title, panels, scale)

    fa, md = field.volume(field.fa, 0.0), field.volume(field.md, 0.0)
    rows = [cut(fa, "Fractional anisotropy", FA_SCALE), cut(md, "Mean diffusivity", MD_SCALE)]
    caption = "FA and MD in axial, coronal and sagittal sections. The patient's right is on the left of the picture."
    if with_colour:
        rows.insert(0, colour_row(field, affine, places, box, inside))
        caption = (
            f"Main diffusion direction weighted by FA (red left–right, green front–back, blue head–foot), {caption}"
        )
    return (Figure("maps", caption, draw(rows, WIDTH, ROW_HEIGHT * len(rows))),)


def colour_row(
    field: TensorField,
    affine: npt.NDArray[np.float64],
    places: dict[Plane, float],
    box: Box,
    inside: dict[Plane, npt.NDArray[np.bool_]],
) -> Row:
    """Cut colour FA: |V1| in patient axes times FA; Pajevic & Pierpaoli 1999, Magn Reson Med 42:526."""
    patient = np.abs(field.direction @ axis_directions(affine).T.astype(np.float32)) * field.fa[:, None] * COLOUR_GAIN
    colours = field.volume(patient, 0.0)
    panels = [
        Panel(p, at, np.stack([section(colours[..., c], affine, p, at, box) for c in range(3)], axis=2), inside[p])
        for p, at in places.items()
    ]
    return Row("Direction of fibres", panels, None)


def section_places(mask: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]) -> dict[Plane, float]:
    """Where to cut, RAS mm: through the internal capsule, the middle of the brain, and beside the midline."""
    points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    middle = points.mean(axis=0)
    low, high = points.min(axis=0), points.max(axis=0)
    axial = float(np.clip(high[2] - ABOVE_TOP_MM, low[2] + 0.3 * (high[2] - low[2]), high[2]))
    return {Plane.AXIAL: axial, Plane.CORONAL: float(middle[1]), Plane.SAGITTAL: float(middle[0] - LEFT_OF_MIDDLE_MM)}
