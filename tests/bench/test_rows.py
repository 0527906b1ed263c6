import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bench import __main__ as bench
from bench.row import Better, Row, Verdict, absolute, against


def test_a_missed_goal_is_visible_and_a_missing_peer_is_not_a_win() -> None:
    assert against("dti.time", 3.0, 2.0, Better.AT_MOST, 1.0, "s").verdict is Verdict.MISSED
    assert against("dti.time", 1.0, 2.0, Better.AT_MOST, 0.5, "s") == Row(
        "dti.time", 1.0, 2.0, 0.5, "<= 0.5 x peer", Verdict.MET, "s"
    )
    assert against("dti.time", 1.0, None, Better.AT_MOST, 0.5, "s").verdict is Verdict.NO_PEER
    assert absolute("route.right", 0.97, Better.AT_LEAST, 0.98, "1", peer=0.5).verdict is Verdict.MISSED
    assert absolute("route.right", math.nan, Better.AT_MOST, 1.0, "1").verdict is Verdict.MISSED


def test_columns_stand_under_their_titles() -> None:
    row = absolute("route.right", 0.99, Better.AT_LEAST, 0.98, "1", note="14 series")
    for title, cell in (("goal", ">= 0.98"), ("verdict", "MET"), ("note", "14 series")):
        assert bench.heading().index(title) == bench.line(row).index(cell)


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    def good() -> Iterator[Row]:
        yield absolute("good.a", 2.0, Better.AT_MOST, 1.0, "s")
        yield absolute("good.b", math.nan, Better.AT_MOST, 1.0, "s")

    def bad() -> Iterator[Row]:
        yield absolute("bad.a", 1.0, Better.AT_MOST, 1.0, "s")
        raise ZeroDivisionError

    for name, rows in (("good", good), ("bad", bad)):
        module = ModuleType(f"bench.{name}")
        module.rows = rows  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"bench.{name}", module)


@pytest.mark.usefixtures("modules")
def test_a_missed_goal_ends_with_0_and_a_crash_with_1_keeping_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "out" / "results.json"
    assert bench.run(["good"], [], path) == 0
    assert bench.run(["bad", "good"], [], path) == 1
    record = json.loads(path.read_text())
    assert [r["name"] for r in record["rows"]] == ["bad.a", "good.a", "good.b"]
    assert record["crashed"] == ["bad"]
    assert record["rows"][1]["verdict"] == "MISSED"
    assert record["rows"][2]["ours"] is None, "JSON has no NaN"


@pytest.mark.usefixtures("modules")
def test_a_prefix_chooses_modules_and_rows(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    bench.run(["good"], ["good.b"], path)
    assert [r["name"] for r in json.loads(path.read_text())["rows"]] == ["good.b"]
    assert bench.wanted("dti", ["dti.time"])
    assert bench.wanted("dti", ["d"])
    assert not bench.wanted("dti", ["route"])
    assert bench.wanted("dti", [])
