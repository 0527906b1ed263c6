"""Tables of the result page: measurements by region with aligned decimals, and the quality checks with their limits."""

from __future__ import annotations

from collections.abc import Sequence

from analyses.contract import Findings, Laterality, Measurement, Statistic, Verdict
from analyses.quantities import Quantity
from dicom_io.results.canvas import ACCENT, AMBER, QUIET, TEXT
from dicom_io.results.flow import Cell, Line, heading, row, sentence, space

UNIT_TEXT = {"1": "", "um2/ms": "µm²/ms", "s/mm2": "s/mm²", "mm2": "mm²", "mm3": "mm³", "%": "%", "deg": "°"}
Place = dict[tuple[Statistic, Laterality | None], Measurement]


def measurement_table(findings: Findings, width: int, titled: bool = True) -> list[Line]:
    """One row a quantity under the name of its region; left and right side by side where there are sides."""
    lines = heading("Measurements", width) if titled else []
    sites: dict[str, dict[Quantity, Place]] = {}
    for one in findings.measurements:
        sites.setdefault(one.site, {}).setdefault(one.quantity, {})[one.statistic, one.laterality] = one
    for site, quantities in sites.items():
        sided = any(side for place in quantities.values() for _, side in place)
        make = _sided_rows if sided else _rows
        lines += make(site, quantities, width)
    if findings.verdict is not Verdict.GOOD and titled:
        lines += [space(8), *sentence("Grey numbers are of limited quality: see below.", width, QUIET)]
    return lines


def quality_lines(findings: Findings, width: int) -> list[Line]:
    """Each check with value, limit and verdict; the reason under every one that is not good."""
    verdict = findings.verdict
    lines = heading(f"Quality: {verdict}", width)
    widths = _shares(width, (44, 22, 34))
    for check in findings.quality:
        good = check.verdict is Verdict.GOOD
        colour = TEXT if good else AMBER
        value = "" if check.value is None else f"{number(check.value)} {unit_text(check.unit)}".strip()
        limit = check.limit if good else f"{check.verdict}: {check.limit}"
        cells = (Cell(check.name, colour=colour), Cell(value, "right", colour), Cell(limit, colour=QUIET))
        lines += row(cells, widths, keep=not good)
        if not good:
            lines += sentence(check.sentence, width, AMBER, indent=24)
    return lines or sentence("No quality check was made.", width, QUIET)


def number(value: float) -> str:
    """A number of no known quantity: three digits or all before the point."""
    size = abs(value)
    decimals = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{decimals}f}"


def unit_text(unit: str) -> str:
    """A UCUM unit as people write it."""
    return "" if unit.startswith("{") else UNIT_TEXT.get(unit, unit)


def _rows(site: str, quantities: dict[Quantity, Place], width: int) -> list[Line]:
    widths = _shares(width, (34, 16, 16, 17, 17))
    lines = _table_head(site, ("mean", "SD", "median", "voxels"), widths)
    for quantity, place in quantities.items():
        main = next((place[s, None] for s in Statistic if (s, None) in place and s is not Statistic.SD), None)
        median, spread = place.get((Statistic.MEDIAN, None)), place.get((Statistic.SD, None))
        if main is None:
            continue
        sd = main.sd if main.sd is not None else spread.value if spread else None
        cells = (
            _name(quantity, main.statistic),
            _value(quantity, main.value, main),
            _value(quantity, sd, main),
            _value(quantity, median.value if median else None, main),
            Cell("" if main.n is None else f"{main.n}", "right", QUIET),
        )
        lines += row(cells, widths)
    return lines


def _sided_rows(site: str, quantities: dict[Quantity, Place], width: int) -> list[Line]:
    widths = _shares(width, (34, 20, 20, 26))
    lines = _table_head(site, ("left", "right", "asymmetry"), widths)
    for quantity, place in quantities.items():
        for statistic in dict.fromkeys(statistic for statistic, _ in place):
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


def _table_head(site: str, names: Sequence[str], widths: Sequence[int]) -> list[Line]:
    region = Cell(site[:1].upper() + site[1:], colour=ACCENT, bold=True)
    return [space(10), *row((region, *(Cell(name, "right", QUIET) for name in names)), widths, keep=True)]


def _name(quantity: Quantity, statistic: Statistic) -> Cell:
    unit = unit_text(quantity.unit)
    which = "" if statistic in (Statistic.MEAN, Statistic.TOTAL) else f", {statistic}"
    return Cell(f"{quantity.name}{which}  {unit}".rstrip())


def _value(quantity: Quantity, value: float | None, of: Measurement) -> Cell:
    text = "" if value is None else f"{value:.{quantity.decimals}f}"
    return Cell(text, "point", TEXT if of.quality is Verdict.GOOD else QUIET)


def _shares(width: int, parts: Sequence[int]) -> tuple[int, ...]:
    return tuple(width * part // sum(parts) for part in parts)
