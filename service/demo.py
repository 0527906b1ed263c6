"""`betz demo`: a study goes over DICOM to Betz, its results come back to an archive; no root, nothing to install.

Starts an embedded archive and `betz serve` on free loopback ports, sends the digital patient (or a real study), waits
until every result was found again in the archive, opens them there, and prints the measurements beside the truth.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import click
import highdicom
import pydicom
import sqlalchemy as sa
from pydicom.dataset import Dataset

from dicom_io.header import SeriesHeader, read_folder
from phantom import patient, verify
from phantom.disease import EARLY
from phantom.examination import Examination
from service import modality, tables
from service.archive import Archive
from service.config import load
from service.ledger import Ledger

ASSOCIATIONS = 4
QUIET_S = 3  # nothing else sends to the demo, so a short silence is proof enough
PATIENCE_S = 900
LOOK_EVERY_S = 0.3


class DemoError(Exception):
    """The demo could not end well; the text says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """One number of a structured report."""

    site: str
    quantity: str
    statistic: str
    value: float
    unit: str


def demo(study: Path | None, folder: Path) -> None:
    """Run the demo in `folder` (made new); `study` = a folder of DICOM to send instead of the digital patient."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    truth: Path | None = None
    if study is None:
        click.echo("making the digital patient (early disease; its truth is known)")
        patient.make(folder / "patient", Examination(disease=EARLY))
        truth = folder / "patient"
        study = truth / "dicom"
    series = read_folder(study).series
    if not series:
        raise DemoError(f"{study} holds no DICOM series")
    archive_port, receive_port, status_port = (free_port() for _ in range(3))
    config = write_config(folder, archive_port, receive_port, status_port)
    archive = Archive(folder / "archive", port=archive_port, ae_title="ARCHIVE")
    archive.start()
    try:
        with serving(config, folder / "betz.log", status_port):
            click.echo(f"Betz listens; its status page: http://127.0.0.1:{status_port}/")
            send(series, receive_port)
            wait(config)
    finally:
        archive.stop()
    if report(folder, truth) is not verify.Outcome.PASS:
        raise DemoError("the results differ from the truth by more than their tolerances allow")


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_config(folder: Path, archive_port: int, receive_port: int, status_port: int) -> Path:
    """Write the demo's betz.toml and return its path."""
    path = folder / "betz.toml"
    path.write_text(
        f"""[site]
name = "demo"
[spool]
path = "{(folder / "spool").resolve()}"
reserve_mb = 200
[receive]
host = "127.0.0.1"
port = {receive_port}
[[receive.peers]]
ae_title = "SCANNER"
[settle]
quiet_s = {QUIET_S}
[[deliver.destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive_port}
[status]
port = {status_port}
"""
    )
    return path


@contextlib.contextmanager
def serving(config: Path, log: Path, status_port: int) -> Iterator[None]:
    """`betz serve` as a child until the block ends; its log goes to a file."""
    with log.open("w") as lines:
        child = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--config", str(config)], stdout=lines, stderr=lines
        )
        try:
            wait_until_ready(child, status_port, log)
            yield
        finally:
            child.terminate()
            child.wait(60)


def wait_until_ready(child: subprocess.Popen[bytes], status_port: int, log: Path) -> None:
    """Return when /readyz answers 200; `DemoError` when the service ended or was too slow."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if child.poll() is not None:
            raise DemoError(f"betz serve ended at once; its log: {log}")
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{status_port}/readyz", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise DemoError(f"betz serve was not ready after a minute; its log: {log}")


def send(series: Sequence[SeriesHeader], port: int) -> None:
    """Send every instance over four associations at once, as a scanner does. `DemoError` when one is not taken."""
    files = [instance.path for one in series for instance in one.instances]
    shares = [files[k::ASSOCIATIONS] for k in range(min(ASSOCIATIONS, len(files)))]
    there = modality.destination(f"BETZ@127.0.0.1:{port}", "SCANNER")
    with click.progressbar(length=len(files), label=f"sending {len(files)} objects of {len(series)} series") as bar:
        try:
            sent = modality.send(shares, there, lambda _done, _total: bar.update(1), ASSOCIATIONS)
        except modality.CannotSend as reason:
            raise DemoError(str(reason)) from None
    if sent.refused:
        path, why = sent.refused[0]
        raise DemoError(f"{path.name} was not accepted: {why}")


def wait(config: Path) -> None:
    """Show how far it is until every study is finished and every result was found again in the archive."""
    ledger = Ledger(load(config).ledger_url)
    told = ""
    end = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < end:
            counts = {
                table.name: count_states(ledger, table) for table in (tables.studies, tables.jobs, tables.deliveries)
            }
            line = " · ".join(f"{name}: {in_words(states)}" for name, states in counts.items())
            if line != told:
                click.echo(f"  {line}")
                told = line
            if counts["studies"].keys() == {"finished"} and counts["deliveries"].keys() == {"confirmed"}:
                return
            time.sleep(LOOK_EVERY_S)
    finally:
        ledger.close()
    raise DemoError(f"no results after {PATIENCE_S} s; at the end: {told}")


def count_states(ledger: Ledger, table: sa.Table) -> dict[str, int]:
    """Rows of a table by state."""
    rows = ledger.all(sa.select(table.c.state, sa.func.count().label("n")).group_by(table.c.state))
    return {row["state"]: row["n"] for row in rows}


def in_words(states: dict[str, int]) -> str:
    """Return '2 done, 1 running', or 'none'."""
    return ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none"


def report(folder: Path, truth: Path | None) -> verify.Outcome:
    """Open what the archive holds and print it; with a truth, each number beside its own, and how that ended."""
    results = [
        (path, pydicom.dcmread(path, stop_before_pixels=True)) for path in sorted((folder / "archive").rglob("*.dcm"))
    ]
    click.echo(f"\nin the archive: {len(results)} objects")
    for (number, description, kind), n in count_series(dataset for _, dataset in results).items():
        click.echo(f"  {number:>5}  {description:<40} {kind:<4} {n:>4} object{'s' if n > 1 else ''}")
    click.echo("\npages and figures:")
    for page in sorted((folder / "spool" / "results").rglob("*.png")):
        click.echo(f"  {page}")
    click.echo("\nFor research use only. Not for diagnosis.\n")
    if truth is not None:
        compared = verify.verify_dicom(folder / "archive", truth)
        click.echo(compared.text)
        return compared.outcome
    for path, dataset in results:
        if dataset.Modality == "SR":
            print_measurements(measurements(path))
    return verify.Outcome.PASS


def count_series(datasets: Iterator[Dataset]) -> dict[tuple[int, str, str], int]:
    """Objects by (series number, description, modality)."""
    counts: dict[tuple[int, str, str], int] = {}
    for dataset in datasets:
        key = (int(dataset.SeriesNumber), str(dataset.SeriesDescription), str(dataset.Modality))
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))


def measurements(path: Path) -> list[Found]:
    """All numbers of the measurement groups of a TID 1500 report."""
    report = cast(highdicom.sr.MeasurementReport, highdicom.sr.srread(path).content)
    found = []
    for group in report.get_image_measurement_groups():
        sites = [site.value.meaning for site in group.finding_sites]
        for measurement in group.get_measurements():
            derivation = measurement.derivation.meaning if measurement.derivation else ""
            found.append(
                Found(
                    ", ".join(sites),
                    measurement.name.meaning,
                    derivation,
                    float(measurement.value),
                    measurement.unit.value,
                )
            )
    return found


def print_measurements(found: Sequence[Found]) -> None:
    """Print the numbers that have a site as a table; those of quality stand on the pages."""
    click.echo(f"{'site':<24}{'quantity':<26}{'statistic':<20}{'found':>8} unit")
    for one in found:
        if one.site:
            click.echo(f"{one.site:<24}{one.quantity:<26}{one.statistic:<20}{one.value:>8.4g} {one.unit}")
