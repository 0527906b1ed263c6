"""Tables of the result page: measurements by region with aligned decimals, and the quality in words."""

from __future__ import annotations

from collections.abc import Sequence

from analyses.contract import Findings, Laterality, Measurement, Statistic, Verdict
from analyses.quantities import VOLUME, Quantity
from dicom_io.results.canvas import ACCENT, AMBER, QUIET, TEXT
from dicom_io.results.flow import GAP, Cell, Line, heading, row, sentence, space

UNIT_TEXT = {"1": "", "um2/ms": "µm²/ms", "s/mm2": "s/mm²", "mm2": "mm²", "mm3": "mm³", "%": "%", "deg": "°"}
_STATISTICS, _SIDED = ("mean", "SD", "median"), ("left", "right", "asymmetry")
Place = dict[tuple[Statistic, Laterality | None], Measurement]


def measurement_table(findings: Findings, width: int, titled: bool = True) -> list[Line]:
    """One row a quantity under the name of its region; left and right side by side where there are sides."""
    lines = heading("Measurements", width) if titled else []
    sites: dict[str, dict[Quantity, Place]] = {}
    for one in findings.measurements:
        sites.setdefault(one.site, {}).setdefault(one.quantity, {})[one.statistic, one.laterality] = one
    shown = None
    for site, quantities in sites.items():
        sided = any(side for place in quantities.values() for _, side in place)
        columns = _SIDED if sided else _STATISTICS if _medians(findings) else _STATISTICS[:2]
        if columns != shown:
            head = [Cell(name, "right", QUIET) for name in columns]
            lines += row((Cell(""), *head), _widths(width, columns), keep=True)
            shown = columns
        lines += _region(site, quantities, width)
        lines += (_sided_rows if sided else _rows)(quantities, _widths(width, columns))
    if titled and any(one.quality is not Verdict.GOOD for one in findings.measurements):
        lines += [space(8), *sentence("Grey: limited quality, for the reasons above.", width, QUIET)]
    return lines


def quality_lines(findings: Findings, width: int) -> list[Line]:
    """The verdict in a word, every check that is not good as its reason, then in one paragraph what is good."""
    lines = heading(f"Quality: {findings.verdict}", width)
    if not findings.quality:
        return lines + sentence("No quality check was made.", width, QUIET)
    lines += reasons(findings, width)
    good = [check.sentence for check in findings.quality if check.verdict is Verdict.GOOD and check.sentence]
    return lines + (sentence(readable(" ".join(map(_ended, good))), width, QUIET) if good else [])


def reasons(findings: Findings, width: int) -> list[Line]:
    """Why numbers are not good, a paragraph a check with the limit that it missed."""
    lines = []
    for check in findings.quality:
        if check.verdict is not Verdict.GOOD:
            limit = f"{check.limit} {unit_text(check.unit)}".strip()
            lines += sentence(readable(f"{_ended(check.sentence)} Wanted: {limit}."), width, AMBER)
    return lines


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def readable(text: str) -> str:
    """A sentence with UCUM units as people write them."""
    for ucum in ("um2/ms", "s/mm2", "mm2", "mm3"):
        text = text.replace(ucum, UNIT_TEXT[ucum])
    return text


def unit_text(unit: str) -> str:
    """A UCUM unit as people write it."""
    return "" if unit.startswith("{") else UNIT_TEXT.get(unit, unit)


def _region(site: str, quantities: dict[Quantity, Place], width: int) -> list[Line]:
    """Name of the region, with its volume and number of voxels where all quantities agree on it."""
    counts = {one.n for place in quantities.values() for one in place.values() if one.n is not None}
    size = [_grouped(counts.pop()) + " voxels"] if len(counts) == 1 else []
    total = quantities.get(VOLUME, {}).get((Statistic.TOTAL, None))
    size += [f"{total.value:.{VOLUME.decimals}f} {unit_text(VOLUME.unit)}"] if total else []
    name = Cell(site[:1].upper() + site[1:], colour=ACCENT, bold=True)
    return [space(10), *row((name, Cell(", ".join(size), "right", QUIET)), _shares(width + GAP, (60, 40)), keep=True)]


def _rows(quantities: dict[Quantity, Place], widths: Sequence[int]) -> list[Line]:
    lines = []
    for quantity, place in quantities.items():
        main = next((place[s, None] for s in Statistic if (s, None) in place and s is not Statistic.SD), None)
        if main is None or quantity == VOLUME:
            continue
        median, spread = place.get((Statistic.MEDIAN, None)), place.get((Statistic.SD, None))
        sd = main.sd if main.sd is not None else spread.value if spread else None
        values = (main.value, sd, median.value if median else None)
        cells = [_value(quantity, value, main) for value in values[: len(widths) - 1]]
        lines += row((_name(quantity, main.statistic), *cells), widths)
    return lines


def _sided_rows(quantities: dict[Quantity, Place], widths: Sequence[int]) -> list[Line]:
    lines = []
    for quantity, place in quantities.items():
        for statistic in dict.fromkeys(statistic for statistic, _ in place if statistic is not Statistic.SD):
            left, right = (place.get((statistic, side)) for side in (Laterality.LEFT, Laterality.RIGHT))
            main = left or right
            if main is None:
                continue
            cells = (
                _name(quantity, statistic),
                _value(quantity, left.value if left else None, left or main),
                _value(quantity, right.value if right else None, right or main),
                Cell(asymmetry(left, right), "right", QUIET),
            )
            lines += row(cells, widths)
    return lines


def asymmetry(left: Measurement | None, right: Measurement | None) -> str:
    """100 (left - right) / mean of both, in per cent with its sign; empty where a side or a mean is missing."""
    if left is None or right is None or left.value + right.value == 0:
        return ""
    return f"{200 * (left.value - right.value) / (left.value + right.value):+.1f} %"


def _name(quantity: Quantity, statistic: Statistic) -> Cell:
    unit = unit_text(quantity.unit)
    which = "" if statistic in (Statistic.MEAN, Statistic.TOTAL) else f", {statistic}"
    return Cell(f"{quantity.name}{which}  {unit}".rstrip())


def _value(quantity: Quantity, value: float | None, of: Measurement) -> Cell:
    text = "" if value is None else f"{value:.{quantity.decimals}f}"
    return Cell(text, "point", TEXT if of.quality is Verdict.GOOD else QUIET)


def _shares(width: int, parts: Sequence[int]) -> tuple[int, ...]:
    return tuple(width * part // sum(parts) for part in parts)


def _widths(width: int, columns: Sequence[str]) -> tuple[int, ...]:
    parts = (37, 18, 18, 27) if columns == _SIDED else (40, *(60 // len(columns) for _ in columns))
    return _shares(width + GAP, parts)


def _medians(findings: Findings) -> bool:
    return any(one.statistic is Statistic.MEDIAN for one in findings.measurements)


def _grouped(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")
