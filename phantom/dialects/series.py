"""One series as it left the simulated scanner, before any dialect: what was played out, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from phantom.dialects.identity import Identity
from phantom.slab import Slab

Stored = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]

MAXIMUM_STORED = 4095  # 12 bits, in every dialect: the same numbers everywhere


class Kind(StrEnum):
    """What is played out; a dialect knows how its maker names it."""

    MPRAGE = "MPRAGE"
    DWI = "DWI"


@dataclass(frozen=True, slots=True)
class Sequence:
    """What the console shows of a sequence; times in ms; 0 = there is none.

    tr_ms: between excitations of a slice; in a 3D train between its pulses. cycle_ms: from inversion to inversion
    (Siemens calls this TR, Philips and GE the other). phase_encoding: ROW or COL of the image; phase_positive: its
    blips run towards higher row or column indices. readout_ms: first to last echo of an EPI train.
    """

    number: int
    kind: Kind
    description: str
    tr_ms: float
    te_ms: float
    flip_deg: float
    time: str  # HHMMSS of the series
    duration_s: float
    phase_encoding: str
    phase_positive: bool = True
    ti_ms: float = 0.0
    cycle_ms: float = 0.0
    echo_train: int = 1
    epi_factor: int = 1
    bandwidth_hz: float = 271.0  # per pixel along the readout
    readout_ms: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Acquired:
    """A series: stored values (x, y, z, volume) on a slab, at most `MAXIMUM_STORED`.

    b: (volume,) s/mm2 and gradients_lps: (volume, 3) unit, zeros at b = 0; both empty when it is not diffusion.
    slice_times_ms: (slice,) from the start of a volume; empty when all slices are one 3D volume.
    """

    sequence: Sequence
    slab: Slab
    data: Stored
    b: Floats = field(default_factory=lambda: np.zeros(0))
    gradients_lps: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    slice_times_ms: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        """Refuse what no dialect could write."""
        if self.data.ndim != 4 or self.data.shape[:3] != self.slab.shape:
            raise ValueError(f"data {self.data.shape} do not lie on a slab of {self.slab.shape}")
        if int(self.data.max()) > MAXIMUM_STORED:
            raise ValueError(f"stored values reach {int(self.data.max())}; 12 bits hold {MAXIMUM_STORED}")
        if len(self.b) not in (0, self.data.shape[3]) or len(self.b) != len(self.gradients_lps):
            raise ValueError(f"{len(self.b)} b-values and {len(self.gradients_lps)} directions for {self.data.shape}")

    @property
    def diffusion(self) -> bool:
        """Whether it carries a b-table."""
        return len(self.b) > 0


# A dialect: writes a series into a folder, yields each path when it is on disk.
Writer = Callable[[Path, Acquired, Identity], Iterator[Path]]
