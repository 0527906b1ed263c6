"""`betz analyse`: a folder by hand, on the service's own path (plan, engine, jobs, report, checks) without the network.

Writes results.json, routing.json, dicom/*.dcm and figures/*.png (`docs/outputs.md`); several studies: a folder each.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyses.contract import Analysis, Cost
from analyses.registry import ANALYSES
from dicom_io.header import SeriesHeader, read_folder
from dicom_io.results.findings_json import results_json
from dicom_io.results.run import RunState
from dicom_io.results.subject import is_phantom
from service import __version__, child
from service.assign import REPORT_COST
from service.child import Task
from service.conduct import JOB_COMMAND
from service.engine import Engine
from service.headers import hand_over
from service.order import (
    FIGURES_FOLDER,
    REPORT,
    REPORT_VERSION,
    Ending,
    Order,
    Outcome,
    RunOrder,
    analysis_digest,
    inputs_digest,
    write_json,
)
from service.plan import Planned
from service.routing import TWO_PATIENTS, by_study, data_set_sha256, examine, plan_study, routing_json
from service.runs import run_of

LOOK_EVERY_S = 0.1
MAKER = ("betz-analyse", "")  # device serial, timezone: by hand there is no site
STATES = {
    Ending.DONE: RunState.DONE,
    Ending.UNSUITABLE: RunState.UNSUITABLE,
    Ending.FAILED: RunState.FAILED,
    Ending.DEAD: RunState.FAILED,
    Ending.CANCELLED: RunState.FAILED,
}
Tell = Callable[[str, float, str], None]  # analysis, fraction, what it does


class CannotAnalyse(Exception):
    """There is nothing to do or nowhere to write; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """One study that was analysed: where the results lie and how each job ended."""

    study_uid: str
    out: Path
    runs: tuple[RunOrder, ...]
    outcomes: Mapping[str, Outcome]  # by analysis, the report's too

    @property
    def failures(self) -> tuple[str, ...]:
        """Reasons of the jobs that failed; a job that was unsuitable did not fail."""
        return tuple(one.reason for one in self.outcomes.values() if STATES[one.ending] is RunState.FAILED)


def analyse(folder: Path, out: Path, only: str | None = None, tell: Tell | None = None) -> tuple[Analysed, ...]:
    """Analyse every study below `folder` into `out`; `only` = the one analysis to run. Raises `CannotAnalyse`."""
    analyses = _chosen(only)
    folder, out = folder.resolve(), out.resolve()  # jobs have a working folder of their own
    found = read_folder(folder)
    if not found.series:
        more = [f"{path.name}: {reason}" for path, reason in found.unreadable[:1]]
        if len(found.unreadable) > 1:
            more.append(f"{len(found.unreadable) - 1} more files cannot be read")
        raise CannotAnalyse("; ".join([f"{folder} holds no DICOM series", *more]))
    studies = by_study(found.series)
    folders = {uid: out if len(studies) == 1 else out / uid for uid in studies}
    for one in folders.values():
        _make_ready(one, folder)
    with Engine(processes=False) as engine:
        runner = _Runner(engine, analyses, tell or (lambda _analysis, _fraction, _sentence: None))
        return tuple(runner.study(uid, series, folders[uid]) for uid, series in studies.items())


def _chosen(only: str | None) -> tuple[Analysis, ...]:
    if only is None:
        return ANALYSES
    chosen = tuple(analysis for analysis in ANALYSES if analysis.name == only)
    if not chosen:
        raise CannotAnalyse(f"there is no analysis {only}; there is {', '.join(one.name for one in ANALYSES)}")
    return chosen


def _make_ready(out: Path, folder: Path) -> None:
    """Make room for the results; only what an earlier run left is replaced."""
    for name in ("dicom", FIGURES_FOLDER):
        old = out / name
        if old.exists() and not (out / "results.json").exists():
            raise CannotAnalyse(f"{old} is there and was not made by betz analyse: choose another --out")
        if folder.is_relative_to(old):
            raise CannotAnalyse(f"{out} would be replaced while it is read: choose another --out")
        if old.exists() and old.is_relative_to(folder):
            raise CannotAnalyse(f"{old} is below {folder} and would be read as input: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    for name in ("dicom", FIGURES_FOLDER):
        shutil.rmtree(out / name, ignore_errors=True)


@dataclass(slots=True)
class _Runner:
    """Runs the jobs of one study after the other on one engine."""

    engine: Engine
    analyses: Sequence[Analysis]
    tell: Tell

    def study(self, study_uid: str, series: Sequence[SeriesHeader], out: Path) -> Analysed:
        """Plan and run one study, then its report, and write the files of `out`."""
        candidates = examine(series)
        plan = plan_study(candidates, self.analyses)
        files = {one.first.series_uid: tuple(str(i.path) for i in one.instances) for one in series}
        digests = {one.first.series_uid: _digests(one) for one in series}
        with tempfile.TemporaryDirectory(prefix=".betz-", dir=out) as temporary:
            work = Path(temporary)
            orders = {job.analysis.name: _order(study_uid, job, files, digests, work) for job in plan.runnable}
            costs = {job.analysis.name: job.analysis.cost for job in plan.runnable}
            outcomes = self._run(orders, costs, work, series)
            runs = tuple(_ended(job, outcomes.get(job.analysis.name), orders) for job in plan.jobs)
            if not all(job.reason == TWO_PATIENTS for job in plan.jobs):
                report = _report_order(study_uid, runs, files, digests, work)
                outcomes |= self._run({REPORT: report}, {REPORT: REPORT_COST}, work, series)
                orders[REPORT] = report
            _collect_files(orders, outcomes, out)
            write_json(
                out / "routing.json",
                routing_json(candidates, [_job_json(*one) for one in zip(plan.jobs, runs, strict=True)]),
            )
            headers = {one.first.series_uid: one for one in series}
            finished = [run_of(run, headers) for run in runs]
            phantom = is_phantom([(header, role) for header, role, _ in candidates])
            write_json(out / "results.json", results_json(study_uid, headers, finished, phantom))
        return Analysed(study_uid, out, runs, outcomes)

    def _run(
        self, orders: Mapping[str, Order], costs: Mapping[str, Cost], work: Path, series: Sequence[SeriesHeader]
    ) -> dict[str, Outcome]:
        scratches = {name: work / "jobs" / name for name in orders}
        for name, order in orders.items():
            scratches[name].mkdir(parents=True)
            order.write(scratches[name] / child.ORDER_FILE)
            hand_over(scratches[name], (one for one in series if one.first.series_uid in order.series))
            cost = costs[name]
            self.engine.submit(
                Task(name, JOB_COMMAND, str(scratches[name]), cost.threads, cost.memory_mb, cost.time_limit_s)
            )
        ended: dict[str, Outcome] = {}
        while self.engine.jobs:
            time.sleep(LOOK_EVERY_S)
            for outcome in self.engine.collect():
                ended[outcome.analysis] = outcome
                self.tell(outcome.analysis, 1.0, outcome.reason or str(outcome.ending))
            for name in self.engine.jobs:
                if told := child.progress(scratches[name]):
                    self.tell(name, *told)
        return ended


def _digests(series: SeriesHeader) -> list[tuple[str, str]]:
    return [(one.sop_instance_uid, data_set_sha256(one.path)) for one in series.instances]


def _order(
    study_uid: str,
    job: Planned,
    files: Mapping[str, tuple[str, ...]],
    digests: Mapping[str, list[tuple[str, str]]],
    work: Path,
) -> Order:
    chosen = sorted(set(job.series.values()))
    analysis = job.analysis
    digest = analysis_digest(
        [one for uid in chosen for one in digests[uid]], study_uid, (analysis.name, analysis.version), job.series, MAKER
    )
    return Order(
        job_id=analysis.name,
        study_uid=study_uid,
        study_version=1,
        analysis=analysis.name,
        version=analysis.version,
        digest=digest,
        inputs=dict(job.series),
        series={uid: files[uid] for uid in chosen},
        rules=(),
        folder=str(work / "results" / analysis.name),
        at=time.time(),
        software_version=__version__,
        device_serial=MAKER[0],
        timezone=MAKER[1],
        threads=analysis.cost.threads,
    )


def _report_order(
    study_uid: str,
    runs: Sequence[RunOrder],
    files: Mapping[str, tuple[str, ...]],
    digests: Mapping[str, list[tuple[str, str]]],
    work: Path,
) -> Order:
    ends = [f"{run.analysis} {run.version} {run.state} {run.reason}" for run in runs]
    everything = [one for series in digests.values() for one in series]
    return Order(
        job_id=REPORT,
        study_uid=study_uid,
        study_version=1,
        analysis=REPORT,
        version=REPORT_VERSION,
        digest=inputs_digest(everything, study_uid, *MAKER, *ends),
        inputs={},
        series=dict(files),
        rules=(),
        folder=str(work / "results" / REPORT),
        at=time.time(),
        software_version=__version__,
        device_serial=MAKER[0],
        timezone=MAKER[1],
        threads=REPORT_COST.threads,
        runs=tuple(runs),
    )


def _ended(job: Planned, outcome: Outcome | None, orders: Mapping[str, Order]) -> RunOrder:
    """How an analysis ended, as the report and the files tell it."""
    name = job.analysis.name
    state = RunState.NOT_RUN if outcome is None else STATES[outcome.ending]
    reason = job.reason if outcome is None else outcome.reason
    folder = orders[name].folder if state is RunState.DONE else ""
    return RunOrder(
        name, job.analysis.version, str(job.analysis.technique), dict(job.series), str(state), reason, folder
    )


def _job_json(job: Planned, run: RunOrder) -> dict[str, Any]:
    reason = run.reason or job.reason  # of one that is done: why on these series
    return {"analysis": run.analysis, "series": dict(run.inputs), "state": run.state, "reason": reason}


def _collect_files(orders: Mapping[str, Order], outcomes: Mapping[str, Outcome], out: Path) -> None:
    """Move objects to dicom/ and pictures to figures/, each with its job's name before its own."""
    (out / "dicom").mkdir()
    (out / FIGURES_FOLDER).mkdir()
    for name in outcomes:
        folder = Path(orders[name].folder)
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            target = {".dcm": "dicom", ".png": FIGURES_FOLDER}.get(path.suffix)
            if target:
                shutil.copyfile(
                    path, out / target / (path.name if path.name.startswith(name) else f"{name}-{path.name}")
                )
