"""What is true of a phantom study: numbers with their tolerance, maps, and what each series is. `truth.json` beside it.

Two kinds of number: "body" is what was put in; "expected" is what a perfect method gives from the same voxels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from analyses.contract import Laterality, Statistic
from analyses.quantities import SITES, Quantity

SCHEMA = 1
FILE = "truth.json"


class Kind(StrEnum):
    """How a true number was made."""

    BODY = "body"
    EXPECTED = "expected"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a result may lie from the truth, in the quantity's unit, and why."""

    absolute: float
    why: str


@dataclass(frozen=True, slots=True)
class TrueMeasurement:
    """One true number; `voxels` is the size of the region it was taken over."""

    analysis: str
    quantity: Quantity
    site: str
    value: float
    kind: Kind
    tolerance: Tolerance
    voxels: int
    statistic: Statistic = Statistic.MEAN
    laterality: Laterality | None = None


@dataclass(frozen=True, slots=True)
class TrueSeries:
    """A series as it was sent: role, instances, and its b-table (directions LPS) when it is diffusion."""

    series_uid: str
    role: str
    folder: str
    instances: int
    b: tuple[float, ...] = ()
    g_lps: tuple[tuple[float, float, float], ...] = ()


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

    @property
    def dicom(self) -> Path:
        """Folder of the study's DICOM objects."""
        return self.folder / "dicom"

    def value(self, quantity: str, site: str, kind: Kind = Kind.EXPECTED) -> TrueMeasurement:
        """The true number of a quantity at a site; KeyError when the truth does not say."""
        for measurement in self.measurements:
            if (measurement.quantity.name, measurement.site, measurement.kind) == (quantity, site, kind):
                return measurement
        raise KeyError(f"no {kind} truth of {quantity} at {site}")


def write_map(path: Path, data: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> None:
    """Write a truth map as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, affine)  # type: ignore[no-untyped-call]
    nibabel.save(image, path)


def _measurement(item: TrueMeasurement) -> dict[str, object]:
    code = item.quantity.code
    site = SITES[item.site]
    return {
        "analysis": item.analysis,
        "quantity": item.quantity.name,
        "code": {"value": code.value, "scheme": code.scheme, "meaning": code.meaning},
        "site": item.site,
        "site_code": {"value": site.value, "scheme": site.scheme, "meaning": site.meaning},
        "laterality": item.laterality,
        "statistic": item.statistic,
        "value": item.value,
        "unit": item.quantity.unit,
        "kind": item.kind,
        "tolerance": {"abs": item.tolerance.absolute, "why": item.tolerance.why},
        "voxels": item.voxels,
    }


def to_json(truth: Truth) -> dict[str, object]:
    """The record that `truth.json` holds; study and series by UID, no name."""
    return {
        "schema": SCHEMA,
        "phantom": {**truth.parameters, "study_uid": truth.study_uid},
        "measurements": [_measurement(item) for item in truth.measurements],
        "maps": dict(truth.maps),
        "left_marker_ras": list(truth.left_marker_ras),
        "series": {
            s.series_uid: {"role": s.role, "folder": s.folder, "instances": s.instances, "b": s.b, "g_lps": s.g_lps}
            for s in truth.series
        },
    }


def write(truth: Truth) -> Path:
    """Write `truth.json`."""
    path = truth.folder / FILE
    path.write_text(json.dumps(to_json(truth), indent=1) + "\n")
    return path
