"""Lines that flow through columns and pages: aligned decimals, wrapped text, headings that stay with what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dicom_io.results.canvas import ACCENT, TEXT, Canvas, Colour, Size, width_of, wrapped

GAP = 12  # between the cells of a table
SPACE = 20  # before a heading


@dataclass(frozen=True, slots=True)
class Line:
    """Something one line high (or more); `keep`: never the last of a column; `gap`: left out at the top of a column."""

    height: int
    draw: Callable[[Canvas, int, int], None]
    keep: bool = False
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a row: its text, how it stands in its column, its colour."""

    text: str
    align: str = "left"  # left, right, or point: the decimal point at the column's mark
    colour: Colour = TEXT
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A place to fill: its left edge, its top and its bottom on a page."""

    page: int
    x: int
    top: int
    bottom: int


def nothing(_: Canvas, __: int, ___: int) -> None:
    """Draw nothing: a gap."""


def space(height: int = SPACE) -> Line:
    """A gap."""
    return Line(height, nothing, gap=True, keep=True)


def heading(text: str, width: int) -> list[Line]:
    """A heading with a line under it."""

    def draw(canvas: Canvas, x: int, y: int) -> None:
        canvas.text(x, y, text, Size.HEADING, ACCENT, bold=True)
        canvas.rule(x, y + Size.HEADING.line + 2, width)

    return [space(), Line(Size.HEADING.line + 10, draw, keep=True)]


def sentence(text: str, width: int, colour: Colour = TEXT, bold: bool = False, indent: int = 0) -> list[Line]:
    """A wrapped sentence, its lines kept together."""
    lines = wrapped(text, width - indent, Size.BODY, bold)
    return [
        Line(Size.BODY.line, _writer([Cell(line, colour=colour, bold=bold)], [width], indent), keep=n + 1 < len(lines))
        for n, line in enumerate(lines)
    ]


def row(cells: Sequence[Cell], widths: Sequence[int], keep: bool = False) -> list[Line]:
    """A row of a table; a cell that is too long goes on in the next line of its column."""
    parts = [
        wrapped(cell.text, width - GAP, Size.BODY, cell.bold) if cell.align == "left" else [cell.text]
        for cell, width in zip(cells, widths, strict=True)
    ]
    height = max(map(len, parts))
    lines = []
    for n in range(height):
        shown = [
            Cell(part[n] if n < len(part) else "", cell.align, cell.colour, cell.bold)
            for cell, part in zip(cells, parts, strict=True)
        ]
        lines.append(Line(Size.BODY.line, _writer(shown, widths), keep=keep or n + 1 < height))
    return lines


def flow(lines: Iterable[Line], columns: Iterator[Column]) -> list[tuple[Line, Column, int]]:
    """Give every line its column and height on the page; lines to keep together move on together.

    columns: places in reading order, without end.
    """
    placed: list[tuple[Line, Column, int]] = []
    column = next(columns)
    y = column.top
    for group in _groups(lines):
        needed = sum(line.height for line in group)
        while y > column.top and y + needed > column.bottom:
            column = next(columns)
            y = column.top
        for line in group:
            if y + line.height > column.bottom:  # a group that is taller than a whole column
                column = next(columns)
                y = column.top
            if line.gap and y == column.top:
                continue
            placed.append((line, column, y))
            y += line.height
    return placed


def _groups(lines: Iterable[Line]) -> Iterator[list[Line]]:
    group: list[Line] = []
    for line in lines:
        group.append(line)
        if not line.keep:
            yield group
            group = []
    if group:
        yield group


def _writer(cells: Sequence[Cell], widths: Sequence[int], indent: int = 0) -> Callable[[Canvas, int, int], None]:
    def draw(canvas: Canvas, x: int, y: int) -> None:
        left = x + indent
        for cell, width in zip(cells, widths, strict=True):
            _write(canvas, cell, left, y, width)
            left += width

    return draw


POINT_ROOM = width_of(".000")  # right of the decimal point: no quantity has more than three decimals


def _write(canvas: Canvas, cell: Cell, x: int, y: int, width: int) -> None:
    end = x + width - GAP
    if cell.align == "left":
        canvas.text(x, y, cell.text, Size.BODY, cell.colour, cell.bold)
    elif cell.align == "right":
        canvas.text_right(end, y, cell.text, Size.BODY, cell.colour, cell.bold)
    else:
        before = width_of(cell.text.split(".")[0], Size.BODY, cell.bold)
        canvas.text(end - POINT_ROOM - before, y, cell.text, Size.BODY, cell.colour, cell.bold)
