"""The contract between a technique and everything else: what it needs, what it is given, what it returns.

An `Analysis` declares its `Need`s and its `Cost`, gets `Inputs` (arrays, affines, header facts; never a DICOM object)
and a private `Workspace`, and returns `Findings`; or raises `Unsuitable` with a reason a radiologist understands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from analyses.quantities import Quantity

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class RoleKind(StrEnum):
    """What a series physically is."""

    T1 = "T1"
    T2 = "T2"
    FLAIR = "FLAIR"
    PD = "PD"
    MT_ON = "MT on"
    MT_OFF = "MT off"
    DWI = "DWI"
    FIELD_MAP = "field map"
    MULTI_ECHO_GRE = "multi-echo GRE"
    TASK_BOLD = "task BOLD"
    REST_BOLD = "rest BOLD"
    SVS = "SVS"
    CSI = "CSI"
    LOCALIZER = "localizer"
    DERIVED = "derived"
    UNKNOWN = "unknown"


class Body(StrEnum):
    """Which part of the body (or none) a series shows."""

    BRAIN = "brain"
    CORD = "cord"
    PHANTOM = "phantom"
    NONE = "none"


class Laterality(StrEnum):
    """Side of the patient; a site without a side has None instead."""

    LEFT = "left"
    RIGHT = "right"


class Statistic(StrEnum):
    """How one number was made from many voxels."""

    MEAN = "mean"
    MEDIAN = "median"
    SD = "standard deviation"
    TOTAL = "total"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"


class Verdict(StrEnum):
    """Outcome of a quality check; the worst of an analysis is the quality of its numbers."""

    GOOD = "good"
    LIMITED = "limited"
    UNSUITABLE = "unsuitable"


class Technique(StrEnum):
    """Techniques of the review; the value names them to a reader."""

    DTI = "Diffusion tensor imaging"


class Unsuitable(Exception):
    """The data cannot answer: a normal end; the text is the reason, for a radiologist."""


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What a need may ask of a series, from its headers only. None = the headers do not say."""

    series_uid: str
    number: int | None
    description: str
    role: RoleKind
    body: Body
    complete: bool
    completeness: (
        str  # the sentence: "1394 of 1394 instances" or "1393 of 1394 instances: slice 12 of volume 3 is missing"
    )
    original: bool  # not derived, not filtered or intensity-normalised
    three_d: bool
    tr_ms: float | None
    te_ms: tuple[float, ...]
    ti_ms: float | None
    flip_deg: float | None
    field_t: float | None
    volumes: int
    slices: int
    voxel_mm: tuple[float, float, float] | None  # row spacing, column spacing, slice spacing
    coverage_mm: float | None  # extent along the slice direction
    bvals: tuple[float, ...]  # s/mm2, one a volume; empty when not diffusion
    directions: int  # distinct diffusion axes
    has_phase: bool
    acquired: str  # AcquisitionDateTime as DICOM text, for "then latest"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a series does not meet a need, as a sentence."""

    reason: str


def always(facts: SeriesFacts) -> Refusal | None:  # noqa: ARG001
    """Accept every series of the role."""
    return None


@dataclass(frozen=True, slots=True)
class Need:
    """One input of an analysis, as the planner sees it."""

    name: str
    role: RoleKind
    body: Body = Body.BRAIN
    required: bool = True
    prior: bool = False
    accept: Callable[[SeriesFacts], Refusal | None] = always


@dataclass(frozen=True, slots=True)
class Cost:
    """What the engine reserves for an analysis and enforces."""

    threads: int
    memory_mb: int
    time_limit_s: int


@dataclass(frozen=True, slots=True)
class Volume:
    """An image or an image series in patient space.

    data: (x, y, z) or (x, y, z, volume); affine: 4x4, voxel index to RAS+ millimetres.
    bvals: (volume,) s/mm2. bvecs: (volume, 3) unit vectors along the ARRAY axes of `data` (i, j, k as stored; no sign
    convention of any file format is left in them), zeros where b = 0. Both None when not diffusion.
    te_ms, tr_ms, ti_ms, slice_times_s: from the headers; te_ms one a volume where echoes differ.
    phase_encoding: "i", "i-", "j", "j-" ... in array axes, None when unknown.
    """

    data: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    facts: SeriesFacts
    bvals: npt.NDArray[np.float64] | None = None
    bvecs: npt.NDArray[np.float64] | None = None
    te_ms: tuple[float, ...] = ()
    tr_ms: float | None = None
    ti_ms: float | None = None
    slice_times_s: tuple[float, ...] = ()
    phase_encoding: str | None = None
    total_readout_s: float | None = None

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel along the array axes."""
        edges = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(edges[0]), float(edges[1]), float(edges[2])


@dataclass(frozen=True, slots=True)
class Inputs:
    """What `Analysis.run` gets: one volume a need that was met, and the patient's age and sex."""

    volumes: Mapping[str, Volume]
    age_years: float | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """The job's own room: a private folder that is wiped after it, progress, and a seeded generator."""

    folder: Path
    progress: Callable[[float, str], None]
    random: np.random.Generator
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number with its place, its spread and its quality."""

    quantity: Quantity
    site: str  # a key of analyses.quantities.SITES
    value: float
    statistic: Statistic = Statistic.MEAN
    laterality: Laterality | None = None
    sd: float | None = None
    z: float | None = None
    n: int | None = None  # voxels
    quality: Verdict = Verdict.GOOD
    quality_reason: str = ""


@dataclass(frozen=True, slots=True)
class MapImage:
    """A quantity voxel by voxel: (x, y, z) on `affine` (RAS+), the grid of input `need`; NaN outside the mask."""

    quantity: Quantity
    data: npt.NDArray[np.float32]
    affine: npt.NDArray[np.float64]
    need: str
    display_range: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A finished picture for the page: (row, column, 3) uint8, radiological convention, sides lettered in it."""

    name: str
    caption: str
    rgb: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class QualityCheck:
    """One check: what was measured, against which limit, and what follows."""

    name: str
    value: float | None
    unit: str
    limit: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Software, atlas or norms that made a number, with its version."""

    what: str
    version: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that an analysis found."""

    measurements: tuple[Measurement, ...]
    maps: tuple[MapImage, ...] = ()
    figures: tuple[Figure, ...] = ()
    quality: tuple[QualityCheck, ...] = ()
    statements: tuple[str, ...] = ()
    provenance: tuple[Provenance, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all quality checks."""
        order = list(Verdict)
        return max((check.verdict for check in self.quality), key=order.index, default=Verdict.GOOD)


class Analysis(Protocol):
    """One technique; registered in `analyses.registry`."""

    name: str
    version: str
    technique: Technique
    needs: tuple[Need, ...]
    produces: tuple[Quantity, ...]
    cost: Cost

    def run(self, inputs: Inputs, work: Workspace) -> Findings:
        """Measure; raise `Unsuitable` when the data cannot answer."""
        ...
