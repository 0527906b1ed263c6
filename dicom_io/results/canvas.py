"""A page to draw on: one typeface in three sizes, text measured before it is drawn, everything drawn remembered.

What is remembered (`Placed`) lets a test prove that nothing overlaps, nothing is cut off and nothing is too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, MARGIN = 1600, 1200, 48
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # DejaVu: it comes with matplotlib; its figures are tabular
REGULAR, BOLD = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"

BACKGROUND, LINE = (16, 20, 24), (52, 62, 72)
TEXT, QUIET, ACCENT, AMBER = (236, 233, 226), (158, 169, 180), (132, 190, 208), (226, 172, 84)
LABEL_EDGE = 12  # of a label around its text
Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom


class Size(IntEnum):
    """Heights of the typeface in pixels, and of a line of it."""

    BODY = 22
    HEADING = 27
    TITLE = 38

    @property
    def line(self) -> int:
        """Distance from line to line."""
        return round(self * 1.4)


@dataclass(frozen=True, slots=True)
class Placed:
    """Something on the page: its text ("" for a picture), where, how large."""

    text: str
    box: Box
    size: int


@lru_cache
def font(size: Size, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The typeface in a size; the basic layout engine, so that every machine sets the same pixels."""
    name = BOLD if bold else REGULAR
    return ImageFont.truetype(str(FONTS / name), int(size), layout_engine=ImageFont.Layout.BASIC)


@lru_cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(str(FONTS / REGULAR)).get_charmap())


def can_draw(text: str) -> bool:
    """Whether the typeface has every character of the text."""
    return all(ord(character) in _glyphs() for character in text)


def width_of(text: str, size: Size = Size.BODY, bold: bool = False) -> int:
    """Width of a line of text in pixels, rounded up."""
    return int(np.ceil(font(size, bold).getlength(text)))


def wrapped(text: str, width: int, size: Size = Size.BODY, bold: bool = False) -> list[str]:
    """The text in lines of at most `width` pixels; a word that is too long alone is broken."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(joined, size, bold) <= width:
            lines[-1] = joined
            continue
        while width_of(word, size, bold) > width:
            cut = next(n for n in range(len(word), 0, -1) if n == 1 or width_of(word[:n], size, bold) <= width)
            lines.append(word[:cut])
            word = word[cut:]
        if word:
            lines.append(word)
    return lines or [""]


class Canvas:
    """One page of 1600 x 1200 pixels."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
        self.placed: list[Placed] = []
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self, x: int, y: int, text: str, size: Size = Size.BODY, colour: Colour = TEXT, bold: bool = False
    ) -> None:
        """A line of text with its top left corner at (x, y)."""
        if not text:
            return
        top = y + (size.line - int(size)) // 2
        self._draw.text((x, top), text, fill=colour, font=font(size, bold))
        left, above, right, below = self._draw.textbbox((x, top), text, font=font(size, bold))
        box = (int(np.floor(left)), int(np.floor(above)), int(np.ceil(right)), int(np.ceil(below)))
        self.placed.append(Placed(text, box, int(size)))

    def text_right(
        self, x: int, y: int, text: str, size: Size = Size.BODY, colour: Colour = TEXT, bold: bool = False
    ) -> None:
        """A line of text that ends at x."""
        self.text(x - width_of(text, size, bold), y, text, size, colour, bold)

    def label_right(self, x: int, y: int, text: str, size: Size) -> None:
        """A line of dark text on an amber field that ends at x."""
        width = width_of(text, size, bold=True) + 2 * LABEL_EDGE
        self._draw.rectangle([(x - width, y), (x, y + size.line)], fill=AMBER)
        self.text_right(x - LABEL_EDGE, y, text, size, BACKGROUND, bold=True)

    def rule(self, x: int, y: int, width: int) -> None:
        """A thin horizontal line."""
        self._draw.line([(x, y), (x + width, y)], fill=LINE, width=2)

    def picture(self, x: int, y: int, width: int, height: int, rgb: npt.NDArray[np.uint8]) -> None:
        """A picture scaled into a box of exactly this size."""
        scaled = Image.fromarray(np.ascontiguousarray(rgb)).resize((width, height), Image.Resampling.LANCZOS)
        self.image.paste(scaled, (x, y))
        self.placed.append(Placed("", (x, y, x + width, y + height), 0))

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The page as (row, column, 3) uint8."""
        return np.asarray(self.image)
