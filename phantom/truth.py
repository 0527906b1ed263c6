"""What is true of a phantom study: numbers with their tolerance, maps, and what each series is. `truth.json` beside it.

Two kinds of number: "body" is what was put in; "expected" is what a perfect method gives from the same voxels. A number
of the body that no analysis measures yet has no analysis. Form of the file: `docs/truth.schema.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from analyses.contract import Analysis, Laterality, Statistic
from analyses.quantities import SITES, Quantity
from dicom_io.results.findings_json import code_text
from phantom.anatomy.parcels import Parcel, Side
from phantom.examination import Examination

SCHEMA = 1
FILE = "truth.json"
LATERALITY = {Side.LEFT: Laterality.LEFT, Side.RIGHT: Laterality.RIGHT, Side.BOTH: None}


class Kind(StrEnum):
    """How a true number was made."""

    BODY = "body"
    EXPECTED = "expected"


class Cause(StrEnum):
    """Why a right result may differ from the truth."""

    NOISE = "noise"
    BIAS = "bias of the reference"
    GRID = "place of the grid"
    FLOOR = "method"


@dataclass(frozen=True, slots=True)
class Allowance:
    """One part of a tolerance, in the quantity's unit, and the rule that gave it."""

    cause: Cause
    absolute: float
    why: str


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a result may lie from the truth: the sum of its parts."""

    parts: tuple[Allowance, ...]

    @property
    def absolute(self) -> float:
        """The sum, in the quantity's unit."""
        return sum(part.absolute for part in self.parts)

    @property
    def why(self) -> str:
        """Every part with its rule, as one line."""
        return " + ".join(f"{part.cause} {part.absolute:.3g} ({part.why})" for part in self.parts)


@dataclass(frozen=True, slots=True)
class TrueMeasurement:
    """One true number; `voxels` is the size of the region it was taken over, 0 when it was not taken over voxels."""

    analysis: str  # "" = no analysis measures it yet
    quantity: Quantity
    site: str
    value: float
    kind: Kind
    tolerance: Tolerance
    voxels: int = 0
    statistic: Statistic = Statistic.MEAN
    laterality: Laterality | None = None


@dataclass(frozen=True, slots=True)
class TrueSeries:
    """A series as it was sent: role, instances, its b-table (directions LPS) when it is diffusion, what befell it."""

    series_uid: str
    role: str
    folder: str
    instances: int
    b: tuple[float, ...] = ()
    g_lps: tuple[tuple[float, float, float], ...] = ()
    happened: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotRun:
    """An analysis that cannot run on the study, and why."""

    analysis: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An analysis that must say that the data are unsuitable; `words` stand in the reason that it gives ("" = any)."""

    analysis: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class TimePoint:
    """A visit: number from 0, years after the first one, and its study."""

    visit: int
    years: float
    study_uid: str


@dataclass(frozen=True, slots=True)
class Truth:
    """A phantom study in `folder`: `dicom/<series>/*.dcm`, `truth/*.nii.gz`, `truth.json`."""

    folder: Path
    parameters: Mapping[str, Any]
    study_uid: str
    series: tuple[TrueSeries, ...]
    measurements: tuple[TrueMeasurement, ...]
    maps: Mapping[str, str]
    left_marker_ras: tuple[float, float, float]
    not_run: tuple[NotRun, ...] = ()
    refuse: tuple[Refusal, ...] = ()
    timepoints: tuple[TimePoint, ...] = ()

    @property
    def dicom(self) -> Path:
        """Folder of the study's DICOM objects."""
        return self.folder / "dicom"

    def value(
        self, quantity: str, site: str, kind: Kind = Kind.EXPECTED, side: Laterality | None = None
    ) -> TrueMeasurement:
        """The first true number of a quantity at a site; KeyError when the truth does not say."""
        for one in self.measurements:
            if (one.quantity.name, one.site, one.kind, one.laterality) == (quantity, site, kind, side):
                return one
        raise KeyError(f"no {kind} truth of {quantity} at {site} {side or ''}")


def of_parcels(
    quantity: Quantity,
    values: Mapping[Parcel, float],
    tolerance: Callable[[float], Tolerance],
    statistic: Statistic = Statistic.MEAN,
    analysis: str = "",
) -> tuple[TrueMeasurement, ...]:
    """What was put in, by parcel; parcels that are no site of a result (levels of the cord) are left out."""
    return tuple(
        TrueMeasurement(
            analysis,
            quantity,
            parcel.structure.value,
            value,
            Kind.BODY,
            tolerance(value),
            statistic=statistic,
            laterality=LATERALITY[parcel.side],
        )
        for parcel, value in values.items()
        if parcel.structure.value in SITES
    )


def left_out(analyses: Iterable[Analysis], series: Iterable[TrueSeries]) -> tuple[NotRun, ...]:
    """The analyses that need a series which the study has not."""
    roles = {one.role for one in series}
    missing = {
        one.name: [need.role.value for need in one.needs if need.required and need.role.value not in roles]
        for one in analyses
    }
    return tuple(NotRun(name, f"no {' and no '.join(lacks)} in this study") for name, lacks in missing.items() if lacks)


def untold(truth: Truth, analyses: Iterable[Analysis]) -> list[str]:
    """Every quantity that an analysis may yield from the study and the truth does not tell; empty when it is whole."""
    silent = {one.analysis for one in truth.not_run} | {one.analysis for one in truth.refuse}
    told = {(one.analysis, one.quantity.name) for one in truth.measurements if one.kind is Kind.EXPECTED}
    return [
        f"{quantity.name} of {one.name}"
        for one in analyses
        if one.name not in silent
        for quantity in one.produces
        if (one.name, quantity.name) not in told
    ]


def parameters(examination: Examination, version: str, body: str) -> dict[str, Any]:
    """What a phantom was made from, as JSON values; body: name of the body with the digest of its source."""
    disease = examination.disease
    return {
        "version": version,
        "seed": examination.seed,
        "preset": disease.name,
        "severity": {f"{part}, {side} hemisphere": value for (part, side), value in disease.severity.items()},
        "body": body,
        "dialect": examination.dialect.value,
        "resolution_mm": examination.resolution_mm,
        "snr": examination.snr,
        "visit": examination.visit,
        "years_between": examination.years_between,
        "techniques": [one.value for one in examination.techniques],
        "diffusion": asdict(examination.diffusion),
        "artefacts": asdict(examination.artefacts),
        "breakages": list(examination.breakages),
    }


def write_map(path: Path, data: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> None:
    """Write a truth map as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, affine)  # type: ignore[no-untyped-call]
    nibabel.save(image, path)


def _measurement(item: TrueMeasurement) -> dict[str, object]:
    """In the form of results.json, with how it was made and how far a result may lie from it."""
    return {
        "analysis": item.analysis,
        "quantity": item.quantity.name,
        "code": code_text(item.quantity.code),
        "site": item.site,
        "laterality": item.laterality.value if item.laterality else None,
        "statistic": item.statistic.value,
        "value": item.value,
        "unit": item.quantity.unit,
        "sd": 0.0,
        "z": None,
        "quality": "good",
        "kind": item.kind.value,
        "tolerance": {
            "abs": item.tolerance.absolute,
            "why": item.tolerance.why,
            "parts": [
                {"cause": part.cause.value, "abs": part.absolute, "why": part.why} for part in item.tolerance.parts
            ],
        },
        "voxels": item.voxels,
    }


def _series(one: TrueSeries) -> dict[str, object]:
    told = {"role": one.role, "folder": one.folder, "instances": one.instances, "b": one.b, "g_lps": one.g_lps}
    return {**told, **one.happened}


def to_json(truth: Truth) -> dict[str, object]:
    """The record that `truth.json` holds; study and series by UID, no name."""
    return {
        "schema": SCHEMA,
        "phantom": {**truth.parameters, "study_uid": truth.study_uid},
        "measurements": [_measurement(item) for item in truth.measurements],
        "not_run": [{"analysis": one.analysis, "reason": one.reason} for one in truth.not_run],
        "refuse": [{"analysis": one.analysis, "words": one.words} for one in truth.refuse],
        "timepoints": [asdict(one) for one in truth.timepoints],
        "maps": dict(truth.maps),
        "left_marker_ras": list(truth.left_marker_ras),
        "series": {s.series_uid: _series(s) for s in truth.series},
    }


def write(truth: Truth) -> Path:
    """Write `truth.json`."""
    path = truth.folder / FILE
    path.write_text(json.dumps(to_json(truth), indent=1, allow_nan=False) + "\n", "utf-8")
    return path
