"""The acceptance test of a site: a patient whose truth is known is made and sent; what comes back is held against it.

`betz phantom` makes one visit or several, each a folder with `dicom/`, `truth/` and `truth.json`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from phantom import breakages, patient
from phantom.deliveries import CannotSpoil
from phantom.disease import PRESETS
from phantom.examination import RESOLUTIONS_MM, Dialect, Examination, Technique
from phantom.truth import FILE as TRUTH_FILE
from phantom.truth import Truth
from service import modality
from service.config import Destination
from service.modality import Sent

Progress = Callable[[int, int], None]  # objects written, objects in all
MISSING = {"slice": "missing-slice", "vol": "missing-volume"}  # of a delivery -> the breakage


class CannotMake(Exception):
    """There is no such phantom, or nowhere to write it; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One examination of the phantom and the folder that it goes to."""

    folder: Path
    examination: Examination


def visits(
    folder: Path,
    preset: str,
    dialect: str,
    resolution: float,
    seed: int,
    timepoints: int,
    techniques: str,
    broken: Sequence[str],
) -> tuple[Visit, ...]:
    """Return what is to be made: one visit goes to `folder`, several to folders 1, 2, … in it. Raises `CannotMake`.

    techniques: names with commas between. broken: names of breakages.
    """
    _one_of("preset", preset, PRESETS)
    _one_of("dialect", dialect, tuple(Dialect))
    _one_of("resolution", f"{resolution:g}", [f"{one:g}" for one in RESOLUTIONS_MM])
    try:
        breakages.parsed(broken)
    except breakages.UnknownBreakage as reason:
        raise CannotMake(str(reason)) from None
    named = [one.strip() for one in techniques.split(",")]
    for technique in named:
        _one_of("technique", technique, tuple(Technique))
    return tuple(
        Visit(
            folder / str(number + 1) if timepoints > 1 else folder,
            Examination(
                disease=PRESETS[preset],
                seed=seed,
                dialect=Dialect(dialect),
                resolution_mm=resolution,
                visit=number,
                techniques=tuple(one for one in Technique if one in named),
                breakages=tuple(broken),
            ),
        )
        for number in range(timepoints)
    )


def spoilt_delivery(duplicate_percent: int, missing: str) -> tuple[str, ...]:
    """Names of the breakages that `--duplicate 3` and `--missing slice:17,vol:4` mean. Raises `CannotMake`."""
    names = [f"duplicates:{duplicate_percent}"] if duplicate_percent else []
    for part in filter(None, missing.split(",")):
        what, _, number = part.strip().partition(":")
        if what not in MISSING or not number.isdecimal():
            raise CannotMake(f"{part} cannot be missing: wanted slice:NUMBER or vol:NUMBER")
        names.append(f"{MISSING[what]}:{number}")
    return tuple(names)


def truth_folder(preset: str, dialect: str, seed: int) -> Path:
    """Where the truth of a phantom that is sent stays: a folder in the current one, named by what was asked."""
    return Path(f"betz-phantom-{preset}-{dialect}-{seed}")


def make_room(folder: Path) -> None:
    """Make the folder; only what an earlier phantom left there is replaced. Raises `CannotMake`."""
    try:
        if folder.exists() and not folder.is_dir():
            raise CannotMake(f"{folder} is a file: choose another folder")
        earlier = [one.parent for one in (*folder.glob(TRUTH_FILE), *folder.glob(f"[1-9]/{TRUTH_FILE}"))]
        if folder.exists() and any(folder.iterdir()) and not earlier:
            raise CannotMake(f"{folder} holds other things than a phantom: choose another folder")
        for one in earlier:
            _clear(one)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotMake(f"{folder} cannot be written: {error.strerror}") from None


def make(visit: Visit, progress: Progress) -> Truth:
    """Scan the phantom at a visit and write it, whole or not at all. Raises `CannotMake`."""
    truth = None
    try:
        visit.folder.mkdir(exist_ok=True)
        truth = patient.make(visit.folder, visit.examination, progress)
    except CannotSpoil as reason:
        raise CannotMake(str(reason)) from None
    except OSError as error:
        raise CannotMake(f"{visit.folder} cannot be written: {error.strerror}") from None
    finally:
        if truth is None:
            _clear(visit.folder)
    return truth


def _clear(folder: Path) -> None:
    """Take away what a phantom put into its folder."""
    for name in ("dicom", "truth"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / TRUTH_FILE).unlink(missing_ok=True)


def send(truth: Truth, there: Destination, interleave: bool, progress: Progress) -> Sent:
    """Send a phantom's series, one association each or all mixed over one; then its objects go and its truth stays."""
    series = series_of(truth)
    try:
        return modality.send([modality.in_turn(series)] if interleave else series, there, progress)
    finally:
        shutil.rmtree(truth.dicom)


def series_of(truth: Truth) -> list[list[Path]]:
    """Files of every series of a phantom, each in the order of its instances."""
    folders = sorted(one for one in truth.dicom.iterdir() if one.is_dir())
    return [sorted(path for path in folder.rglob("*") if path.is_file()) for folder in folders]


def _one_of(what: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        raise CannotMake(f"there is no {what} {name}; there are {', '.join(names)}")
