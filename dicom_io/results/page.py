"""What a radiologist opens: an overview page of the study and a page (or more) for every technique that ran.

Content only: what stands where, in which words. Drawing is in `canvas`, columns and page breaks in `flow`; rules of the
layout in the design page "The result page".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analyses.contract import Body, Figure, Findings, RoleKind, Statistic
from dicom_io.classify import Role
from dicom_io.header import SeriesHeader
from dicom_io.results.canvas import MARGIN, QUIET, TEXT, WIDTH, Canvas, Size, can_draw, width_of
from dicom_io.results.flow import GAP, Cell, Column, Line, flow, heading, row, sentence, space
from dicom_io.results.modules import RESEARCH_SENTENCE
from dicom_io.results.page_tables import measurement_table, quality_lines, readable, reasons
from dicom_io.results.run import AnalysisRun, RunState

TOP, BOTTOM = 180, 1124  # of the columns; above the header, below the footer
GUTTER = 40
LEFT_WIDTH = 900  # figures are drawn for it, pixel by pixel
RIGHT_X, RIGHT_WIDTH = MARGIN + LEFT_WIDTH + GUTTER, WIDTH - 2 * MARGIN - LEFT_WIDTH - GUTTER
SERIES_WIDTHS = (66, 336, 196, LEFT_WIDTH - 66 - 336 - 196 + GAP)
CAPTION_GAP, PICTURE_GAP = 2, 14
NEVER_USED = (RoleKind.DERIVED, RoleKind.LOCALIZER, RoleKind.UNKNOWN)
MISSING_GLYPH = "\u25a1"


@dataclass(frozen=True, slots=True)
class StudyText:
    """What the header of every page says, as in the source; `banner`: what nobody may overlook, "" = nothing."""

    patient: str
    patient_id: str
    study_date: str
    scanner: str
    software: str
    banner: str = ""


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
    """The study at a glance: main numbers and quality of each technique, what was not run and why, and its series."""
    measured = [(run, run.findings) for run in runs if run.findings is not None]
    pictures = [findings.figures[0] for _, findings in measured if findings.figures]
    right = [line for run, findings in measured for line in _summary(run, findings)]
    right += _not_run(runs)
    left = [] if pictures else sentence("No pictures: no analysis of this study made one.", LEFT_WIDTH, QUIET)
    left += _series_of_study(series, runs)
    footer = "Values describe measurements; they are not a diagnosis."
    return _laid_out("Overview of the study", footer, pictures[:1], left, right)


def technique(run: AnalysisRun, findings: Findings) -> list[Sheet]:
    """Quality in words and the table beside the pictures, and what they were made from under them."""
    norms = [item for item in findings.provenance if item.what.startswith("norms")]
    right = quality_lines(findings, RIGHT_WIDTH)
    right += measurement_table(findings, RIGHT_WIDTH)
    compared = f"Compared with {norms[0].what} {norms[0].version}." if norms else "No norms of this site."
    used = "; ".join(f"{need}: series {_series_name(one)}" for need, one in sorted(run.series.items()))
    left = sentence(
        _drawable(" ".join([f"{used}." if used else "", compared, *findings.statements]).strip()), LEFT_WIDTH
    )
    footer = f"{run.analysis} version {run.version} · series {', '.join(_short_name(one) for one in run.sources)}"
    return _laid_out(run.technique.value, footer, findings.figures, left, right)


def _summary(run: AnalysisRun, findings: Findings) -> list[Line]:
    """A technique in a few lines: its quality in a word with the reasons, and its means."""
    lines = heading(run.technique.value, RIGHT_WIDTH)
    lines += sentence(f"Quality: {findings.verdict}", RIGHT_WIDTH, bold=True) + reasons(findings, RIGHT_WIDTH)
    first = [one for one in findings.measurements if one.statistic in (Statistic.MEAN, Statistic.TOTAL)]
    means = Findings(measurements=tuple(first), quality=findings.quality)
    return [*lines, space(8), *measurement_table(means, RIGHT_WIDTH, titled=False)]


def _series_of_study(series: Sequence[tuple[SeriesHeader, Role]], runs: Sequence[AnalysisRun]) -> list[Line]:
    """Every series: what it was taken for and what measured it; what no analysis can use in a few words."""
    users: dict[str, list[str]] = {}
    for run in runs:
        for one in run.sources if run.findings is not None else ():
            users.setdefault(one.first.series_uid, []).append(run.technique.value)
    lines = heading("Series of the study", LEFT_WIDTH)
    head = (
        Cell("no.", "right", QUIET),
        *(Cell(name, colour=QUIET) for name in ("description", "taken as", "used for")),
    )
    lines += row(head, SERIES_WIDTHS, keep=True)
    beside: dict[str, list[str]] = {}
    for header, role in sorted(series, key=lambda pair: (pair[0].first.series_number or 0, pair[0].first.series_uid)):
        use = ", ".join(users.get(header.first.series_uid, ()))
        if role.kind in NEVER_USED and not use:
            beside.setdefault(role.kind.value, []).append(_short_name(header))
            continue
        number = "" if header.first.series_number is None else str(header.first.series_number)
        cells = (
            Cell(number, "right", QUIET),
            Cell(_drawable(header.first.series_description) or "(no description)", bold=bool(use)),
            Cell(str(role.kind) if role.body in (Body.BRAIN, Body.NONE) else f"{role.kind}, {role.body}"),
            Cell(use or "not used", colour=TEXT if use else QUIET),
        )
        lines += row(cells, SERIES_WIDTHS)
    for kind, names in beside.items():
        lines += [space(8), *sentence(f"Not used, {kind}: {'; '.join(names)}.", LEFT_WIDTH, QUIET)]
    return lines


def _not_run(runs: Sequence[AnalysisRun]) -> list[Line]:
    missing = [run for run in runs if run.state is not RunState.DONE]
    lines = heading("Not run, and why", RIGHT_WIDTH)
    if not missing:
        return lines + sentence("Every analysis of this version was run.", RIGHT_WIDTH, QUIET)
    for run in missing:
        lines.append(space(8))
        lines += row((Cell(f"{run.technique}: {run.state}", bold=True),), (RIGHT_WIDTH + GAP,), keep=True)
        lines += sentence(_drawable(run.reason) or "no reason was given", RIGHT_WIDTH)
    return lines


def _laid_out(
    title: str,
    footer: str,
    pictures: Sequence[Figure],
    left: Sequence[Line],
    right: Sequence[Line],
) -> list[Sheet]:
    """Lay pictures and lines out on as many pages as they need; every page has the same two columns."""
    sheets: list[Sheet] = []

    def sheet(number: int) -> Sheet:
        while len(sheets) <= number:
            sheets.append(Sheet(title, footer))
        return sheets[number]

    page, y = 0, TOP
    for picture in map(_trimmed, pictures):
        caption = sentence(_drawable(picture.caption), LEFT_WIDTH, QUIET)
        words = sum(line.height for line in caption)
        width, height = _fitted(picture, BOTTOM - TOP - CAPTION_GAP - words)
        needed = height + CAPTION_GAP + words
        if y > TOP and y + needed > BOTTOM:
            page, y = page + 1, TOP
        sheet(page).pictures.append((picture, MARGIN, y, width, height))
        y += height + CAPTION_GAP
        for line in caption:
            sheet(page).lines.append((line, MARGIN, y))
            y += line.height
        y += PICTURE_GAP
    for line, column, top in flow(left, _columns(MARGIN, page, y)):
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
    """Width and height on the page."""
    rows, columns = picture.rgb.shape[:2]
    scale = min(LEFT_WIDTH / columns, height / rows, 1.0)  # never enlarged: made for the page
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def _draw(sheet: Sheet, study: StudyText, number: int, pages: int) -> Canvas:
    canvas = Canvas()
    right = WIDTH - MARGIN
    canvas.text(MARGIN, 22, sheet.title, Size.TITLE, bold=True)
    page = f"page {number} of {pages}"
    canvas.text_right(right, 30, page, Size.BODY, QUIET)
    if study.banner:
        edge = right - width_of(page) - GUTTER
        room = edge - MARGIN - width_of(sheet.title, Size.TITLE, bold=True) - 2 * GUTTER
        canvas.label_right(edge, 28, _shortened(study.banner, room, Size.HEADING, bold=True), Size.HEADING)
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


def _shortened(text: str, width: int, size: Size, bold: bool = False) -> str:
    if width_of(text, size, bold) <= width:
        return text
    return next(text[:n] + "…" for n in range(len(text), -1, -1) if width_of(text[:n] + "…", size, bold) <= width)


def _drawable(text: str) -> str:
    """The text with readable units, and with a mark for every character that the typeface lacks."""
    text = readable(text)
    return text if can_draw(text) else "".join(one if can_draw(one) else MISSING_GLYPH for one in text)
