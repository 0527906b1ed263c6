"""`python -m service.job ORDER`: one job in a process of its own: an analysis on its series, or the report of a study.

In: an `Order` (JSON). Out: a results folder, complete or not there at all, and an `Outcome` beside the order.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.uid import UID

from analyses.contract import (
    Analysis,
    Figure,
    Inputs,
    Unsuitable,
    Volume,
    Workspace,
)
from dicom_io import check, convert, facts
from dicom_io.classify import classify_all
from dicom_io.header import SeriesHeader
from dicom_io.part10 import read_file_head, scan_uids
from dicom_io.results import findings_json, maps, report
from dicom_io.results.run import KIND_OF_CLASS, AnalysisRun, Maker, RunState
from service import child
from service.fault import place
from service.headers import take_over
from service.order import (
    FIGURES_FOLDER,
    FINDINGS_FILE,
    OUTCOME_FILE,
    REPORT,
    Ending,
    Order,
    Outcome,
    ResultObject,
)
from service.routing import rules_of
from service.runs import run_of

TRACEBACK_FILE = "traceback.txt"
PROGRESS_EVERY_S = 0.2
CONVERTED = 0.15  # shares of a job's time, for the progress bar only
ANALYSED = 0.85


def main(arguments: Sequence[str], analyses: Mapping[str, Analysis] | None = None) -> int:
    """Do the order in the file `arguments[0]`; `analyses` by name, the registry's when None. Returns 0."""
    child.die_with_parent()
    path = Path(arguments[0])
    order = Order.read(path)
    outcome = perform(order, path.parent, analyses)
    outcome.write(path.parent / OUTCOME_FILE)
    return 0


def perform(order: Order, scratch: Path, analyses: Mapping[str, Analysis] | None = None) -> Outcome:
    """Do an order and say how it ended; this is the rim where every fault becomes a state and a sentence."""
    try:
        if Path(order.folder, OUTCOME_FILE).exists():
            return Outcome.read(Path(order.folder, OUTCOME_FILE))
        return _do(order, scratch, analyses)
    except check.Rejected as error:
        return Outcome.of(order, Ending.DEAD, f"a result did not pass its check: {error}")
    except MemoryError:
        return Outcome.of(order, Ending.DEAD, f"{order.analysis} ran out of memory")
    except Exception as error:  # noqa: BLE001  the rim of the job
        (scratch / TRACEBACK_FILE).write_text(traceback.format_exc(), "utf-8")
        return Outcome.of(order, Ending.FAILED, f"{order.analysis} broke off: {place(error)}")


def _do(order: Order, scratch: Path, analyses: Mapping[str, Analysis] | None) -> Outcome:
    start = time.monotonic()
    final = Path(order.folder)
    final.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    try:
        try:
            if order.analysis == REPORT:
                outcome = _report(order, part, scratch)
            else:
                outcome = _analysis(order, part, scratch, _find(order.analysis, analyses))
        except Unsuitable as reason:
            _empty(part)
            outcome = Outcome.of(order, Ending.UNSUITABLE, str(reason))
        outcome = replace(outcome, cpu_s=_cpu_s(), peak_mb=child.own_peak_mb(), wall_s=time.monotonic() - start)
        outcome.write(part / OUTCOME_FILE)
        _keep(part, final)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return outcome


def _find(name: str, analyses: Mapping[str, Analysis] | None) -> Analysis:
    if analyses is not None:
        return analyses[name]
    from analyses.registry import analysis  # not at the top: a report needs no technique, and techniques import slowly

    return analysis(name)


def _analysis(order: Order, part: Path, scratch: Path, analysis: Analysis) -> Outcome:
    tell = _progress(scratch)
    headers = take_over(scratch, order.series)
    roles = dict(zip(headers, classify_all(tuple(headers.values()), rules_of(order.rules)), strict=True))
    with tempfile.TemporaryDirectory() as temporary:
        volumes: dict[str, Volume] = {}
        for number, (need, uid) in enumerate(sorted(order.inputs.items())):
            tell(CONVERTED * number / len(order.inputs), f"reading {need}")
            folder = Path(temporary, f"in{number}")
            folder.mkdir()
            series_facts = facts.facts(headers[uid], roles[uid])
            volumes[need] = convert.convert(headers[uid], series_facts, folder)
        series = {need: headers[uid] for need, uid in order.inputs.items()}
        work = Path(temporary, "work")
        work.mkdir()
        patient = next(iter(series.values())).first
        workspace = Workspace(
            folder=work,
            progress=lambda fraction, sentence: tell(CONVERTED + fraction * (ANALYSED - CONVERTED), sentence),
            random=np.random.default_rng(int(order.digest, 16)),
            threads=min(order.threads, int(os.environ.get(child.THREAD_VARIABLES[0], order.threads))),
        )
        findings = analysis.run(Inputs(volumes, patient.age_years, patient.sex or None), workspace)
    tell(ANALYSED, "writing maps")
    run = AnalysisRun(analysis.name, analysis.version, analysis.technique, series, RunState.DONE, "", findings, ())
    paths = maps.write_maps(run, maker_of(order), part)
    _check(paths, tuple(headers.values()), lambda fraction: tell(ANALYSED + (1 - ANALYSED) * fraction, "checking maps"))
    (part / FINDINGS_FILE).write_text(json.dumps(findings_json.to_json(findings), ensure_ascii=False), "utf-8")
    figures = _write_figures(findings.figures, part)
    return replace(Outcome.of(order, Ending.DONE, ""), objects=_objects(paths, part), figures=figures)


def _report(order: Order, part: Path, scratch: Path) -> Outcome:
    headers = take_over(scratch, order.series)
    found = tuple(headers.values())
    series = tuple(zip(found, classify_all(found, rules_of(order.rules)), strict=True))
    runs = [run_of(run, headers) for run in order.runs]
    predecessor = Path(order.predecessor) if order.predecessor else None
    paths = report.write_report(series, runs, maker_of(order), part, predecessor)
    _check(paths, tuple(headers.values()), lambda _: None)
    return replace(Outcome.of(order, Ending.DONE, ""), objects=_objects(paths, part))


def maker_of(order: Order) -> Maker:
    """Who makes the objects of this job, and when (the same in every repetition)."""
    zone = UTC
    if order.timezone:
        sign = -1 if order.timezone[0] == "-" else 1
        hours, minutes = int(order.timezone[1:3]), int(order.timezone[3:5])
        zone = timezone(sign * timedelta(hours=hours, minutes=minutes))
    moment = datetime.fromtimestamp(order.at, zone)
    return Maker(order.software_version, order.device_serial, order.timezone, moment, order.digest)


def _check(paths: Sequence[Path], sources: Sequence[SeriesHeader], tell: Callable[[float], None]) -> None:
    for number, path in enumerate(paths):
        check.check(path, sources)
        tell((number + 1) / len(paths))


def _write_figures(figures: Sequence[Figure], part: Path) -> tuple[tuple[str, str], ...]:
    folder = part / FIGURES_FOLDER
    folder.mkdir()
    written = []
    for figure in figures:
        Image.fromarray(figure.rgb).save(folder / f"{figure.name}.png")
        written.append((f"{FIGURES_FOLDER}/{figure.name}.png", figure.caption))
    return tuple(written)


def _objects(paths: Sequence[Path], part: Path) -> tuple[ResultObject, ...]:
    found = []
    for path in sorted(paths):
        content = path.read_bytes()
        head = read_file_head(content)
        uids = scan_uids(memoryview(content)[head.data_set_at :], head.transfer_syntax_uid)
        found.append(
            ResultObject(
                uids.sop_instance_uid,
                uids.sop_class_uid,
                uids.series_uid,
                str(KIND_OF_CLASS[UID(uids.sop_class_uid)]),
                str(path.relative_to(part)),
                hashlib.sha256(content).hexdigest(),
            )
        )
    return tuple(found)


def _progress(scratch: Path) -> Callable[[float, str], None]:
    last = 0.0

    def tell(fraction: float, sentence: str) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_EVERY_S:
            last = time.monotonic()
            child.note_progress(scratch, fraction, sentence)

    return tell


def _cpu_s() -> float:
    uses = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _keep(part: Path, final: Path) -> None:
    """Make `part` the results folder, durably; when another attempt was faster its results stay: they are the same."""
    for path in sorted(part.rglob("*")):
        _sync(path)
    _sync(part)
    part.chmod(0o755)
    try:
        part.rename(final)
    except OSError:
        if not (final / OUTCOME_FILE).exists():
            raise
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
