"""What a radiologist opens: an overview page of the study and a page (or more) for every technique that ran.

Content only: what stands where, in which words. Drawing is in `canvas`, columns and page breaks in `flow`; rules of the
layout in the design page "The result page".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analyses.contract import Figure, Findings, Statistic, Verdict
from dicom_io.classify import Role
from dicom_io.header import SeriesHeader
from dicom_io.results.canvas import AMBER, MARGIN, QUIET, TEXT, WIDTH, Canvas, Size, can_draw, width_of
from dicom_io.results.flow import Cell, Column, Line, flow, heading, row, sentence, space
from dicom_io.results.modules import RESEARCH_SENTENCE
from dicom_io.results.page_tables import measurement_table, quality_lines, readable
from dicom_io.results.run import AnalysisRun, RunState

TOP, BOTTOM = 180, 1124  # of the columns; above the header, below the footer
GUTTER = 40
LEFT_WIDTH = 880
RIGHT_X, RIGHT_WIDTH = MARGIN + LEFT_WIDTH + GUTTER, WIDTH - 2 * MARGIN - LEFT_WIDTH - GUTTER
OVERVIEW_PICTURE_HEIGHTS = range(600, 420, -20)  # the largest with which the fewest pages do
PICTURE_HEIGHTS = range(760, 480, -20)
LARGEST_ENLARGEMENT = 1.5
MISSING_GLYPH = "\u25a1"


@dataclass(frozen=True, slots=True)
class StudyText:
    """What the header of every page says, as in the source."""

    patient: str
    patient_id: str
    study_date: str
    scanner: str
    software: str


@dataclass(slots=True)
class Sheet:
    """One page's content before page numbers are known."""

    title: str
    footer: str
    pictures: list[tuple[Figure, int, int, int, int]] = field(default_factory=list)
    lines: list[tuple[Line, int, int]] = field(default_factory=list)


def draw_pages(
    study: StudyText, series: Sequence[tuple[SeriesHeader, Role]], runs: Sequence[AnalysisRun]
) -> tuple[Canvas, ...]:
    """Draw all pages of a study: the overview, then every technique that ran."""
    sheets = overview(series, runs)
    for run in runs:
        if run.findings is not None:
            sheets += technique(run, run.findings)
    return tuple(_draw(sheet, study, number, len(sheets)) for number, sheet in enumerate(sheets, 1))


def overview(series: Sequence[tuple[SeriesHeader, Role]], runs: Sequence[AnalysisRun]) -> list[Sheet]:
    """The study at a glance: main numbers and quality of each technique, its series, and what was not run and why."""
    measured = [run for run in runs if run.findings is not None]
    pictures = [run.findings.figures[0] for run in measured if run.findings and run.findings.figures]
    right = [line for run in measured if run.findings for line in _summary(run, run.findings)]
    right += _series_of_study(series)
    left = [] if pictures else sentence("No pictures: no analysis of this study made one.", LEFT_WIDTH, QUIET)
    left += _not_run(runs)
    footer = "Values describe measurements; they are not a diagnosis."
    return _sheets("Overview of the study", footer, pictures[:1], left, right, OVERVIEW_PICTURE_HEIGHTS)


def technique(run: AnalysisRun, findings: Findings) -> list[Sheet]:
    """Main picture, table, quality, and what it was made from."""
    norms = [item for item in findings.provenance if item.what.startswith("norms")]
    right = measurement_table(findings, RIGHT_WIDTH)
    right += sentence(
        f"Compared with {norms[0].what} {norms[0].version}." if norms else "No norms of this site: values stand alone.",
        RIGHT_WIDTH,
        QUIET,
    )
    right += quality_lines(findings, RIGHT_WIDTH)
    if findings.provenance:
        made = "; ".join(f"{item.what} {item.version}" for item in findings.provenance)
        right += [space(), *sentence(_drawable(f"Made with {made}."), RIGHT_WIDTH, QUIET)]
    left = heading("Data and method", LEFT_WIDTH)
    for need, one in sorted(run.series.items()):
        left += sentence(f"{need}: series {_series_name(one)}", LEFT_WIDTH)
    for text in findings.statements:
        left += sentence(_drawable(text), LEFT_WIDTH)
    footer = f"{run.analysis} version {run.version} · series {', '.join(_short_name(one) for one in run.sources)}"
    return _sheets(run.technique.value, footer, findings.figures, left, right, PICTURE_HEIGHTS)


def _summary(run: AnalysisRun, findings: Findings) -> list[Line]:
    """A technique in a few lines: its means, and its quality in a word with the reason."""
    lines = heading(run.technique.value, RIGHT_WIDTH)
    first = [one for one in findings.measurements if one.statistic in (Statistic.MEAN, Statistic.TOTAL)]
    lines += measurement_table(Findings(measurements=tuple(first), quality=findings.quality), RIGHT_WIDTH, titled=False)
    verdict = findings.verdict
    reasons = [check.sentence for check in findings.quality if check.verdict is verdict]
    text = "Quality: good" if verdict is Verdict.GOOD else f"Quality: {verdict} — {' '.join(reasons)}"
    return [*lines, space(8), *sentence(_drawable(text), RIGHT_WIDTH, TEXT if verdict is Verdict.GOOD else AMBER)]


def _series_of_study(series: Sequence[tuple[SeriesHeader, Role]]) -> list[Line]:
    widths = (84, RIGHT_WIDTH - 84 - 200, 200)
    lines = heading("Series of the study", RIGHT_WIDTH)
    for header, role in sorted(series, key=lambda pair: (pair[0].first.series_number or 0, pair[0].first.series_uid)):
        number = "" if header.first.series_number is None else str(header.first.series_number)
        kind = str(role.kind) if role.body == "brain" else f"{role.kind}, {role.body}"
        cells = (
            Cell(number, "right", QUIET),
            Cell(_drawable(header.first.series_description) or "(no description)"),
            Cell(kind, colour=QUIET),
        )
        lines += row(cells, widths)
    return lines


def _not_run(runs: Sequence[AnalysisRun]) -> list[Line]:
    missing = [run for run in runs if run.state is not RunState.DONE]
    lines = heading("Not run, and why", LEFT_WIDTH)
    if not missing:
        return lines + sentence("Everything that Betz knows was run.", LEFT_WIDTH, QUIET)
    for run in missing:
        lines.append(space(8))
        lines += row((Cell(f"{run.technique} ({run.analysis}): {run.state}", bold=True),), (LEFT_WIDTH,), keep=True)
        lines += sentence(_drawable(run.reason) or "no reason was given", LEFT_WIDTH, indent=24)
    return lines


def _sheets(
    title: str,
    footer: str,
    pictures: Sequence[Figure],
    left: Sequence[Line],
    right: Sequence[Line],
    picture_heights: Sequence[int],
) -> list[Sheet]:
    """The layout with the largest picture height among those that need the fewest pages."""
    trimmed = [_trimmed(picture) for picture in pictures]
    tried = [_laid_out(title, footer, trimmed, left, right, height) for height in picture_heights]
    return min(tried, key=len)


def _laid_out(
    title: str,
    footer: str,
    pictures: Sequence[Figure],
    left: Sequence[Line],
    right: Sequence[Line],
    picture_height: int,
) -> list[Sheet]:
    """Lay pictures and lines out on as many pages as they need; every page has the same two columns."""
    sheets: list[Sheet] = []

    def sheet(number: int) -> Sheet:
        while len(sheets) <= number:
            sheets.append(Sheet(title, footer))
        return sheets[number]

    page, y = 0, TOP
    for picture in pictures:
        width, height = _fitted(picture, picture_height)
        caption = [*sentence(_drawable(picture.caption), LEFT_WIDTH, QUIET)]
        needed = height + 8 + sum(line.height for line in caption)
        if y > TOP and y + needed > BOTTOM:
            page, y = page + 1, TOP
        sheet(page).pictures.append((picture, MARGIN + (LEFT_WIDTH - width) // 2, y, width, height))
        y += height + 8
        for line in caption:
            sheet(page).lines.append((line, MARGIN, y))
            y += line.height
    for line, column, top in flow(left, _columns(MARGIN, page, y + 24 if y > TOP else TOP)):
        sheet(column.page).lines.append((line, column.x, top))
    for line, column, top in flow(right, _columns(RIGHT_X, 0, TOP)):
        sheet(column.page).lines.append((line, column.x, top))
    return sheets


def _columns(x: int, page: int, top: int) -> Iterator[Column]:
    yield Column(page, x, top, BOTTOM)
    while True:
        page += 1
        yield Column(page, x, TOP, BOTTOM)


def _trimmed(picture: Figure) -> Figure:
    """The picture without a border of one colour: what it shows gets the room."""
    rgb = picture.rgb
    drawn = np.any(rgb != rgb[0, 0], axis=2)
    if not drawn.any():
        return picture
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return replace(picture, rgb=rgb[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _fitted(picture: Figure, height: int) -> tuple[int, int]:
    rows, columns = picture.rgb.shape[:2]
    scale = min(LEFT_WIDTH / columns, height / rows, LARGEST_ENLARGEMENT)
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def _draw(sheet: Sheet, study: StudyText, number: int, pages: int) -> Canvas:
    canvas = Canvas()
    right = WIDTH - MARGIN
    canvas.text(MARGIN, 22, sheet.title, Size.TITLE, bold=True)
    canvas.text_right(right, 30, f"page {number} of {pages}", Size.BODY, QUIET)
    who = f"{study.patient}   ·   ID {study.patient_id}   ·   study of {study.study_date}"
    canvas.text(MARGIN, 82, _shortened(who, right - MARGIN, Size.HEADING), Size.HEADING)
    canvas.text(MARGIN, 124, _shortened(study.scanner, 1050, Size.BODY), Size.BODY, QUIET)
    canvas.text_right(right, 124, study.software, Size.BODY, QUIET)
    canvas.rule(MARGIN, TOP - 16, right - MARGIN)
    for picture, x, y, width, height in sheet.pictures:
        canvas.picture(x, y, width, height, picture.rgb)
    for line, x, y in sheet.lines:
        line.draw(canvas, x, y)
    canvas.rule(MARGIN, BOTTOM + 14, right - MARGIN)
    canvas.text(MARGIN, BOTTOM + 26, RESEARCH_SENTENCE, Size.BODY, bold=True)
    room = right - MARGIN - width_of(RESEARCH_SENTENCE, Size.BODY, bold=True) - GUTTER
    canvas.text_right(right, BOTTOM + 26, _shortened(_drawable(sheet.footer), room, Size.BODY), Size.BODY, QUIET)
    return canvas


def _series_name(series: SeriesHeader) -> str:
    first = series.first
    size = f"{len(series.instances)} instances"
    return f"{_short_name(series)} ({size}, {first.rows} × {first.columns})"


def _short_name(series: SeriesHeader) -> str:
    number = "" if series.first.series_number is None else str(series.first.series_number)
    return f"{number} {_drawable(series.first.series_description)}".strip() or "without number or description"


def _shortened(text: str, width: int, size: Size) -> str:
    if width_of(text, size) <= width:
        return text
    return next(text[:n] + "…" for n in range(len(text), -1, -1) if width_of(text[:n] + "…", size) <= width)


def _drawable(text: str) -> str:
    """The text with readable units, and with a mark for every character that the typeface lacks."""
    text = readable(text)
    return text if can_draw(text) else "".join(one if can_draw(one) else MISSING_GLYPH for one in text)
