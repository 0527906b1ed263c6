"""The one figure style: dark ground, panels in true proportion with sides lettered, colour bars with unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing

from analyses.shared.sections import Plane

GROUND = "#101418"
TEXT = "#e8e6e3"
QUIET = "#9aa3ab"
DPI = 100
LETTER_PT, TITLE_PT, SMALL_PT = 18.0, 18.0, 16.0  # 25, 25 and 22 pixels
GREY, SEQUENTIAL = "gray", "viridis"


@dataclass(frozen=True, slots=True)
class Scale:
    """How values become colour: colour map, range, label with unit."""

    colours: str
    low: float
    high: float
    label: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One section: `pixels` (row, column) values or (row, column, 3) colours in 0..1; what is `inside` is shown."""

    plane: Plane
    at_mm: float
    pixels: npt.NDArray[np.float32]
    inside: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Row:
    """Panels of one map side by side, its title, and its scale; scale None = colours stand for directions."""

    title: str
    panels: Sequence[Panel]
    scale: Scale | None


def draw(rows: Sequence[Row], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Draw rows of panels under one another: (height, width, 3) uint8."""
    drawing = Drawing(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=GROUND)
    canvas = FigureCanvasAgg(drawing)
    widths = [max(row.panels[n].pixels.shape[1] for row in rows) for n in range(len(rows[0].panels))]
    heights = [max(panel.pixels.shape[0] for panel in row.panels) for row in rows]
    grid = drawing.add_gridspec(
        len(rows), len(widths) + 1, width_ratios=[*widths, 0.16 * sum(widths)], height_ratios=heights,
        left=0.01, right=0.99, top=0.955, bottom=0.035, wspace=0.03, hspace=0.26,
    )  # fmt: skip
    for r, row in enumerate(rows):
        for c, panel in enumerate(row.panels):
            axes = drawing.add_subplot(grid[r, c])
            draw_panel(axes, panel, row.scale)
            if c == 0:
                axes.set_title(row.title, loc="left", color=TEXT, fontsize=TITLE_PT, pad=8)
        if row.scale is not None:
            draw_scale(drawing, grid[r, len(widths)], row.scale)
        else:
            draw_direction_key(drawing.add_subplot(grid[r, len(widths)]))
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(
        np.asarray(
            canvas.buffer_rgba()  # type: ignore[no-untyped-call]
        )[..., :3]
    )


def draw_panel(axes: Any, panel: Panel, scale: Scale | None) -> None:
    """Draw one section in true proportion with its sides and its place."""
    colours = panel.pixels if scale is None else colormaps[scale.colours](
        Normalize(scale.low, scale.high, clip=True)(panel.pixels)
    )[..., :3]  # fmt: skip
    shown = np.concatenate([np.clip(colours, 0, 1), panel.inside[..., None].astype(np.float64)], axis=2)
    axes.imshow(shown, interpolation="bilinear", aspect="equal")
    axes.set_axis_off()
    left, right, top, bottom = panel.plane.letters()
    for x, y, letter, across, along in (
        (0.02, 0.5, left, "left", "center"),
        (0.98, 0.5, right, "right", "center"),
        (0.5, 0.985, top, "center", "top"),
        (0.5, 0.015, bottom, "center", "bottom"),
    ):
        axes.text(
            x, y, letter, transform=axes.transAxes, ha=across, va=along, color=TEXT, fontsize=LETTER_PT, weight="bold"
        )
    axes.text(
        1.0, -0.01, panel.plane.place(panel.at_mm), transform=axes.transAxes, ha="right", va="top", color=QUIET,
        fontsize=SMALL_PT,
    )  # fmt: skip


def draw_scale(drawing: Drawing, cell: Any, scale: Scale) -> None:
    """Draw a colour bar with its range and unit."""
    inner = cell.subgridspec(3, 5, height_ratios=[1, 8, 1])
    axes = drawing.add_subplot(inner[1, 1])
    bar = drawing.colorbar(ScalarMappable(Normalize(scale.low, scale.high), scale.colours), cax=axes)
    bar.set_label(scale.label, color=TEXT, fontsize=SMALL_PT)
    bar.ax.tick_params(colors=TEXT, labelsize=SMALL_PT)
    bar.outline.set_edgecolor(QUIET)


def draw_direction_key(axes: Any) -> None:
    """Draw what the three direction colours mean."""
    axes.set_axis_off()
    for n, (colour, words) in enumerate(
        (("#ff5a5a", "left–right"), ("#5aff5a", "front–back"), ("#7d9bff", "head–foot"))
    ):
        axes.text(
            0.05, 0.62 - 0.12 * n, words, transform=axes.transAxes, color=colour, fontsize=SMALL_PT, weight="bold"
        )
