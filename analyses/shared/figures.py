"""The one figure style: dark ground, panels in true proportion with sides and place outside them, scales with unit.

A figure is drawn for the page pixel by pixel (its width is the page's column), so that no lettering shrinks under 22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing

from analyses.shared.sections import Plane

GROUND = "#101418"
TEXT = "#ece9e2"
QUIET = "#9ea9b4"
LINE = "#7a858f"
DPI = 72  # a point is a pixel
LETTERING = 22  # pixels; the smallest of the page
GREY, SEQUENTIAL = "gray", "viridis"

TITLE_LINE, PLACE_LINE, LETTER_LINE = 38, 30, 28  # heights above and below the panels
LETTER_ROOM = 27  # beside a panel
PANEL_GAP, BLOCK_GAP = 10, 34
BAR_HEIGHT, BAR_WIDTH = 18, 130
SPACE = 8  # between words and a bar


@dataclass(frozen=True, slots=True)
class Scale:
    """How values become colour: colour map, range, unit ("" for none)."""

    colours: str
    low: float
    high: float
    unit: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One section, 1 mm a pixel: `pixels` (row, column) values or (row, column, 3) colours; `inside` is shown."""

    plane: Plane
    at_mm: float
    pixels: npt.NDArray[np.float32]
    inside: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Block:
    """Panels of one map side by side under its title; a `Scale`, or the (colour, word) that colours stand for."""

    title: str
    panels: Sequence[Panel]
    key: Scale | Sequence[tuple[str, str]]


def draw(blocks: Sequence[Block], width: int, tallest: int) -> npt.NDArray[np.uint8]:
    """Draw blocks side by side, their panels in one scale that fills `width` pixels: (row, column, 3) uint8.

    tallest: pixels that the tallest panel may have.
    """
    panels = [panel for block in blocks for panel in block.panels]
    fixed = 2 * LETTER_ROOM * len(panels) + PANEL_GAP * (len(panels) - len(blocks)) + BLOCK_GAP * (len(blocks) - 1)
    high = max(panel.pixels.shape[0] for panel in panels)
    scale = min((width - fixed) / sum(panel.pixels.shape[1] for panel in panels), tallest / high)
    height = TITLE_LINE + PLACE_LINE + 2 * LETTER_LINE + round(scale * high)
    drawing = Drawing(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=GROUND)
    canvas = FigureCanvasAgg(drawing)
    x = 0.0
    for block in blocks:
        start = x
        for panel in block.panels:
            draw_panel(drawing, panel, block.key, scale, x, round(scale * high))
            x += scale * panel.pixels.shape[1] + 2 * LETTER_ROOM + PANEL_GAP
        draw_title(drawing, block, start, x - PANEL_GAP)
        x += BLOCK_GAP - PANEL_GAP
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[..., :3])


def axes_at(drawing: Drawing, left: float, top: float, width: float, height: float) -> Any:
    """Axes without frame at a place in pixels from the top left corner."""
    whole_width, whole_height = drawing.bbox.width, drawing.bbox.height
    return drawing.add_axes(
        (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height),
        frameon=False, xticks=[], yticks=[],
    )  # fmt: skip


def write(
    drawing: Drawing, x: float, y: float, text: str, colour: str = TEXT, *, across: str = "center", bold: bool = False
) -> float:
    """Write at (x, middle of the line y) in pixels from the top left corner; return its right edge."""
    written = drawing.text(
        x / drawing.bbox.width, 1 - y / drawing.bbox.height, text, color=colour, fontsize=LETTERING,
        ha=across, va="center_baseline", weight="bold" if bold else "normal",
    )  # fmt: skip
    return float(written.get_window_extent().x1)


def draw_panel(
    drawing: Drawing, panel: Panel, key: Scale | Sequence[tuple[str, str]], scale: float, x: float, tallest: int
) -> None:
    """Draw one section in true proportion, in the middle of its cell at `x`, its sides around it, its place above."""
    rows, columns = panel.pixels.shape[:2]
    colours = panel.pixels
    if isinstance(key, Scale):
        colours = colormaps[key.colours](Normalize(key.low, key.high, clip=True)(panel.pixels))[..., :3]
    shown = np.concatenate([np.clip(colours, 0, 1), panel.inside[..., None].astype(np.float64)], axis=2)
    width, height = scale * columns, scale * rows
    left = x + LETTER_ROOM
    top = TITLE_LINE + PLACE_LINE + LETTER_LINE + (tallest - height) / 2
    axes_at(drawing, left, top, width, height).imshow(shown, interpolation="bicubic", aspect="auto")
    write(drawing, left + width / 2, TITLE_LINE + PLACE_LINE / 2, panel.plane.place(panel.at_mm), QUIET)
    letters = panel.plane.letters()
    places = (
        (left - LETTER_ROOM / 2, top + height / 2),
        (left + width + LETTER_ROOM / 2, top + height / 2),
        (left + width / 2, top - LETTER_LINE / 2),
        (left + width / 2, top + height + LETTER_LINE / 2),
    )
    for (at_x, at_y), letter in zip(places, letters, strict=True):
        write(drawing, at_x, at_y, letter, bold=True)


def draw_title(drawing: Drawing, block: Block, left: float, right: float) -> None:
    """Draw the name of the map, and at the other end of the line what its colours mean."""
    middle = TITLE_LINE / 2
    end = write(drawing, left, middle, block.title, across="left", bold=True) + 3 * SPACE
    if not isinstance(block.key, Scale):
        for colour, word in block.key:
            end = write(drawing, end, middle, word, colour, across="left") + 2 * SPACE
        return
    end = write(drawing, end, middle, f"{block.key.low:g}", across="left") + SPACE
    bar = axes_at(drawing, end, middle - BAR_HEIGHT / 2, min(BAR_WIDTH, right - end), BAR_HEIGHT)
    bar.imshow(np.linspace(0, 1, 256)[None, :], cmap=block.key.colours, aspect="auto")
    for side in bar.spines.values():
        side.set(visible=True, color=LINE)
    bar.set_frame_on(True)
    write(drawing, end + BAR_WIDTH + SPACE, middle, f"{block.key.high:g} {block.key.unit}".rstrip(), across="left")
