"""`betz`: everything that a person starts. Progress and colour where somebody watches, plain lines otherwise.

A fault is one sentence on standard error and exit code 2; modules are imported when their command runs.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.config import Config
    from service.ledger import Ledger
    from service.modality import Sent

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
CONFIG = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), default=Path("betz.toml"), show_default=True
)
JOBS_SHOWN = 50
LOG_LINES = 10  # of a progress that nobody watches
# literal, so that help needs no slow module; a test holds them against phantom/
PRESETS = "healthy, early, late, bulbar, limb-left, limb-right"
DIALECTS = "philips, philips-enhanced, siemens, siemens-xa, ge"
STATE_COLOURS = {"done": "green", "running": "cyan", "queued": "cyan", "dead": "red", "failed": "red"}


class Fault(click.ClickException):
    """A sentence for the person at the keyboard; exit code 2."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="betz", prog_name="betz")
def main() -> None:
    """MRI comes in over DICOM, quantitative results go back to the PACS. For research use only."""


@main.command()
@CONFIG
def serve(config_path: Path) -> None:
    """Run the service until SIGTERM."""
    _load(config_path)
    from service import supervise

    raise SystemExit(supervise.serve(config_path))


@main.command()
@click.option("--study", type=FOLDER, help="A folder of DICOM files to send instead of the digital patient.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("betz-demo"), show_default=True)
def demo(study: Path | None, out: Path) -> None:
    """Send a study to Betz over DICOM and show what comes back in an archive."""
    from service import demo as demonstration

    try:
        demonstration.demo(study, out)
    except demonstration.DemoError as reason:
        raise Fault(str(reason)) from None


@main.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the results go.")
@click.option("--only", help="Run this analysis only.")
def analyse(folder: Path, out: Path, only: str | None) -> None:
    """Analyse the DICOM files below FOLDER without the network: results.json, routing.json, dicom/, figures/."""
    from service import analyse as analysing

    progress = _Progress()
    try:
        studies = analysing.analyse(folder, out, only, progress)
    except analysing.CannotAnalyse as reason:
        raise Fault(str(reason)) from None
    finally:
        progress.clear()
    for study in studies:
        for run in study.runs:
            click.echo(f"{run.technique}: {run.state}" + (f" ({run.reason})" if run.reason else ""))
        click.echo(f"results: {study.out}")
    failures = [reason for study in studies for reason in study.failures]
    if failures:
        raise Fault("; ".join(failures))


@main.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print the form of routing.json.")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="Use the table of roles of this configuration."
)
def explain(folder: Path, as_json: bool, config_path: Path | None) -> None:
    """Say what every series below FOLDER is, and what would run on it; nothing is run."""
    from service import explain as explaining
    from service.routing import rules_of

    rules = rules_of(rule.model_dump() for rule in _load(config_path).roles) if config_path else ()
    explanation = explaining.explain(folder, rules)
    if as_json:
        click.echo(json.dumps(explanation.to_json(), indent=1, ensure_ascii=False))
        return
    for line in explaining.lines(explanation, shutil.get_terminal_size().columns):
        click.echo(line)


@main.command()
@click.option("--preset", default="early", show_default=True, metavar="NAME", help=f"Disease: {PRESETS}.")
@click.option("--dialect", default="philips", show_default=True, metavar="NAME", help=f"Scanner: {DIALECTS}.")
@click.option("--resolution", default=2.0, show_default=True, metavar="MM", help="Voxel of the DWI: 1, 1.5 or 2.")
@click.option("--seed", default=7, show_default=True, help="Another seed is another person.")
@click.option(
    "--timepoints", type=click.IntRange(1, 9), default=1, show_default=True, help="Visits, half a year apart."
)
@click.option("--techniques", default="t1,dwi", show_default=True, metavar="NAMES", help="Series that are scanned.")
@click.option("--break", "broken", multiple=True, metavar="NAME", help="Spoil it; docs/phantom.md lists how.")
@click.option("--duplicate", default=0, metavar="PCT", help="So many objects of each series are there twice.")
@click.option("--missing", default="", metavar="WHAT", help="Leave out of the DWI, for example slice:17,vol:4.")
@click.option("--out", type=click.Path(path_type=Path), help="Write it here: dicom/, truth.json, truth/.")
@click.option("--send", metavar="AET@HOST:PORT", help="Send it there by DICOM; the truth stays here.")
@click.option("--calling", default="PHANTOM", show_default=True, metavar="AET", help="AE title that it is sent from.")
@click.option("--interleave", is_flag=True, help="Send the series mixed, over one association.")
def phantom(
    out: Path | None, send: str | None, calling: str, interleave: bool, duplicate: int, missing: str, **asked: Any
) -> None:
    """Make the digital patient, whose truth is known: written (--out) or sent as a scanner does (--send)."""
    if (out is None) == (send is None):
        raise Fault("give one of --out FOLDER and --send AET@HOST:PORT")
    from service import acceptance, modality

    progress = _Progress()
    refused = False
    try:
        there = modality.destination(send, calling) if send is not None else None
        folder = out or acceptance.truth_folder(asked["preset"], asked["dialect"], asked["seed"])
        asked["broken"] += acceptance.spoilt_delivery(duplicate, missing)
        visits = acceptance.visits(folder, **asked)
        if there is not None:
            modality.call(there)
        acceptance.make_room(folder)
        for visit in visits:
            progress("phantom", 0.0, "scanning the patient")
            truth = acceptance.make(visit, progress.count("writing"))
            if there is None:
                progress.clear()
                click.echo(f"study {truth.study_uid}: {sum(map(len, acceptance.series_of(truth)))} objects")
            else:
                sent = acceptance.send(truth, there, interleave, progress.count("sending"))
                progress.clear()
                refused |= _tell_sent(truth.study_uid, sent, str(send))
            click.echo(f"truth: {truth.folder / 'truth.json'}")
    except (acceptance.CannotMake, modality.CannotSend) as reason:
        progress.clear()
        raise Fault(str(reason)) from None
    if refused:
        raise SystemExit(1)


@main.command()
@click.argument("paths", metavar="[RESULTS] TRUTH", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--dicom", type=FOLDER, help="What came back to the PACS, in place of RESULTS: the report below here.")
def verify(paths: tuple[Path, ...], dicom: Path | None) -> None:
    """Hold the results of a phantom against its truth; exit code 0 pass, 1 fail, 2 nothing to compare, 3 another study.

    RESULTS is the results.json of betz analyse, TRUTH the truth.json of betz phantom, or the folder of either.
    """
    if len(paths) != (2 if dicom is None else 1):
        raise Fault("betz verify RESULTS TRUTH, or betz verify --dicom FOLDER TRUTH")
    from phantom import verify as verifying

    try:
        compared = verifying.verify(*paths) if dicom is None else verifying.verify_dicom(dicom, paths[0])
    except verifying.NotComparable as reason:
        click.echo(f"Error: {reason}", err=True)
        raise SystemExit(int(reason.outcome)) from None
    click.echo(compared.text)
    raise SystemExit(int(compared.outcome))


@main.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Examine this configuration, too.")
@click.option("--rebuild", is_flag=True, help="Make the ledger again from the spool.")
def doctor(config_path: Path | None, rebuild: bool) -> None:
    """Examine the environment, the configuration, the disk and the peers."""
    config = _load(config_path) if config_path else None
    if rebuild:
        if config is None:
            raise Fault("--rebuild needs --config")
        click.echo(f"the ledger was made again: {_rebuild(config)} instances")
    from service import doctor as examining

    checks = examining.examine(config)
    for check in checks:
        click.echo(str(check))
    if not all(check.good for check in checks):
        raise SystemExit(1)


@main.command()
@CONFIG
@click.option("--dead", is_flag=True, help="Only jobs that will not be tried again.")
def jobs(config_path: Path, dead: bool) -> None:
    """List the newest jobs with their state and reason."""
    import sqlalchemy as sa

    from service.ledger import jobs as table
    from service.states import JobState

    query = sa.select(table).order_by(table.c.created_at.desc()).limit(JOBS_SHOWN)
    ledger = _ledger(_load(config_path))
    found = ledger.all(query.where(table.c.state == JobState.DEAD) if dead else query)
    ledger.close()
    for job in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job["created_at"]))
        state = click.style(f"{job['state']:<10}", fg=STATE_COLOURS.get(job["state"]))
        click.echo(f"{when}  {state}  {job['job_id']}  {job['reason']}")
    if not found:
        click.echo("no dead jobs" if dead else "no jobs")


@main.command()
@click.argument("job_id", metavar="JOB")
@CONFIG
def replay(job_id: str, config_path: Path) -> None:
    """Let a job that ended (dead, unsuitable, done) run again."""
    from service import jobs as job_rows
    from service.states import NotAllowed

    config = _load(config_path)
    ledger = _ledger(config)
    try:
        job_rows.replay(ledger, config.spool.path, job_id)
    except KeyError:
        raise Fault(f"there is no job {job_id}; betz jobs lists them") from None
    except NotAllowed as reason:
        raise Fault(str(reason)) from None
    finally:
        ledger.close()
    click.echo(f"{job_id} will run again")


@main.command()
@click.argument("destination", metavar="DESTINATION")
@CONFIG
def resend(destination: str, config_path: Path) -> None:
    """Send again what a destination refused, after it was made to accept it."""
    from service import deliver

    config = _load(config_path)
    names = [one.name for one in config.deliver.destinations]
    if destination not in names:
        raise Fault(f"there is no destination {destination}; the configuration has {', '.join(names) or 'none'}")
    ledger = _ledger(config)
    number = deliver.resend(ledger, destination)
    ledger.close()
    click.echo(f"{number} object{'' if number == 1 else 's'} will be sent to {destination} again")


def _load(path: Path) -> Config:
    from service.config import ConfigError, load

    try:
        return load(path)
    except ConfigError as faults:
        raise Fault(str(faults)) from None


def _ledger(config: Config) -> Ledger:
    from sqlalchemy.exc import SQLAlchemyError

    from service.ledger import Ledger

    try:
        return Ledger(config.ledger_url)
    except ValueError as reason:
        raise Fault(str(reason)) from None
    except SQLAlchemyError as error:
        raise Fault(f"the ledger cannot be opened ({type(error).__name__}): betz doctor says more") from None


def _rebuild(config: Config) -> int:
    from service.ledger import rebuild
    from service.spool import Spool

    return rebuild(config.ledger_url, Spool(config.spool.path), config.deliver.destinations)


def _tell_sent(study_uid: str, sent: Sent, place: str) -> bool:
    """Say how a delivery ended; whether anything was refused."""
    click.echo(f"study {study_uid}: {sent.taken} objects sent to {place} in {sent.seconds:.0f} s")
    for reason, number in Counter(reason for _, reason in sent.refused).items():
        click.echo(f"{number} object{'' if number == 1 else 's'} refused: {reason}", err=True)
    return bool(sent.refused)


class _Progress:
    """One bar for the job that runs where somebody watches, one line a step otherwise."""

    WIDTH = 30

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._last: dict[str, str] = {}

    def __call__(self, analysis: str, fraction: float, sentence: str) -> None:
        if self._watched:
            done = round(fraction * self.WIDTH)
            bar = "━" * done + "─" * (self.WIDTH - done)
            click.echo(f"\r\x1b[K{analysis:<8} {bar} {fraction:4.0%} {sentence}", nl=False, err=True)
        elif self._last.get(analysis) != sentence:
            click.echo(f"{analysis} {fraction:4.0%} {sentence}", err=True)
        self._last[analysis] = sentence

    def count(self, what: str) -> Callable[[int, int], None]:
        """Return what takes (done, total): every object in the bar, one line a tenth in a log."""

        def tell(done: int, total: int) -> None:
            shown = done if self._watched else done * LOG_LINES // total * total // LOG_LINES
            self(what, done / total, f"{shown} of {total} objects")

        return tell

    def clear(self) -> None:
        """Take the bar away."""
        if self._watched:
            click.echo("\r\x1b[K", nl=False, err=True)


if __name__ == "__main__":
    main()
