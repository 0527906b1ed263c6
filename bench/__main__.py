"""`python -m bench [PREFIX ...]`: rows whose name starts with a prefix (all without one), printed as they come.

Ends with 0 also when a goal is missed (the row says so), with 1 when a module crashed, 2 when no module fits a prefix.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import math
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import MODULES
from bench.row import Row

RESULTS = Path(__file__).parent / "out" / "results.json"
COLUMNS = (("name", 36), ("ours", 11), ("peer", 11), ("ratio", 8), ("goal", 15), ("verdict", 8), ("unit", 10))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def line(row: Row) -> str:
    """The row as one aligned line of the table, its note last."""
    cells = (row.name, _number(row.ours), _number(row.peer), _number(row.ratio), row.goal, row.verdict, row.unit)
    text = " ".join(
        f"{cell:>{width}}" if title in ("ours", "peer", "ratio") else f"{cell:<{width}}"
        for cell, (title, width) in zip(cells, COLUMNS, strict=True)
    )
    return f"{text} {row.note}".rstrip()


def heading() -> str:
    """The titles above the table."""
    text = " ".join(
        f"{title:>{width}}" if title in ("ours", "peer", "ratio") else f"{title:<{width}}" for title, width in COLUMNS
    )
    return f"{text} note"


def wanted(module: str, prefixes: Sequence[str]) -> bool:
    """Can a row of this module (its names start with `module.`) start with one of the prefixes?"""
    return not prefixes or any(f"{module}.".startswith(prefix) or prefix.startswith(module) for prefix in prefixes)


def rows_of(module: str, prefixes: Sequence[str]) -> Iterator[Row]:
    """The module's rows that a prefix asks for."""
    for row in importlib.import_module(f"bench.{module}").rows():
        if not prefixes or row.name.startswith(tuple(prefixes)):
            yield row


def _finite(row: Row) -> dict[str, object]:
    record = dataclasses.asdict(row)
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in record.items()}


def write(rows: Sequence[Row], crashed: Sequence[str], began: datetime, path: Path) -> None:
    """Write results.json: schema, times, processors, the rows, and the modules that crashed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "schema": 1,
        "began": began.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": len(os.sched_getaffinity(0)),
        "rows": [_finite(row) for row in rows],
        "crashed": list(crashed),
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


def run(modules: Sequence[str], prefixes: Sequence[str], results: Path) -> int:
    """Run the modules one after the other; results.json is written after each, so an interrupted run keeps its rows."""
    began = datetime.now(UTC)
    done: list[Row] = []
    crashed: list[str] = []
    print(heading(), flush=True)
    for module in modules:
        try:
            for row in rows_of(module, prefixes):
                done.append(row)
                print(line(row), flush=True)
        except Exception:  # noqa: BLE001 - the rim: one crashed module must not hide the rows of the others
            traceback.print_exc()
            crashed.append(module)
        write(done, crashed, began, results)
    for text in (appendix(module) for module in modules if module not in crashed):
        if text:
            print(f"\n{text}", flush=True)
    return 1 if crashed else 0


def appendix(module: str) -> str:
    """What a module prints below the table, beside its rows (a confusion table); "" when it has nothing."""
    tell = getattr(importlib.import_module(f"bench.{module}"), "appendix", None)
    return str(tell()) if tell else ""


def main(arguments: Sequence[str]) -> int:
    """Choose the modules that exist and that a prefix asks for, and run them."""
    modules = [m for m in MODULES if importlib.util.find_spec(f"bench.{m}") and wanted(m, arguments)]
    if not modules:
        print(f"no bench has rows that start with {' or '.join(arguments)}; there are {', '.join(MODULES)}")
        return 2
    return run(modules, arguments, RESULTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
