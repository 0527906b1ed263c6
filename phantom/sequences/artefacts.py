"""What spoils an image on its way: each switched by a number of its own, 0 or empty = off."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Artefacts:
    """Sizes of the artefacts of an examination.

    bias: receive shading, share of the signal between centre and rim. gibbs: truncated k-space. motion_mm, motion_deg:
    root mean square of the head's walk between volumes. eddy_mm: largest shift along the phase encoding at full
    gradient at the field's edge. susceptibility: strength of the field of air and bone, 1 = as computed at 3 T.
    dropout: share of (volume, slice) pairs that lose signal.
    """

    bias: float = 0.15
    gibbs: bool = False
    motion_mm: float = 0.0
    motion_deg: float = 0.0
    eddy_mm: float = 0.0
    susceptibility: float = 0.0
    dropout: float = 0.0


NONE = Artefacts(bias=0.0)
