"""T1-weighted 3D image: inversion, then a train of small pulses (MPRAGE), in its steady state over repetitions.

Deichmann 2000, 10.1006/nimg.2000.0601; Wang 2014, 10.1371/journal.pone.0096899.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phantom.tissue import PROPERTIES, Tissue


@dataclass(frozen=True, slots=True)
class Protocol:
    """Times in ms. `ti_ms`: inversion to the pulse that fills the centre of k-space, the middle of the train."""

    cycle_ms: float = 2300.0
    ti_ms: float = 900.0
    tr_ms: float = 6.5
    te_ms: float = 2.93
    flip_deg: float = 9.0
    pulses: int = 176


def signal(tissue: Tissue, protocol: Protocol) -> float:
    """Signal of a tissue relative to a fully relaxed, undecayed spin density of 1.

    Closed form: the train drives the magnetisation to M* with rate cos(a)·E; the value before the train follows from
    M(next inversion) = M(this one).
    """
    properties = PROPERTIES[tissue]
    cosine = np.cos(np.radians(protocol.flip_deg))
    step = np.exp(-protocol.tr_ms / properties.t1_ms)
    middle = protocol.pulses // 2
    before_ms = protocol.ti_ms - middle * protocol.tr_ms
    after_ms = protocol.cycle_ms - before_ms - protocol.pulses * protocol.tr_ms
    before, after = np.exp(-before_ms / properties.t1_ms), np.exp(-after_ms / properties.t1_ms)
    driven = (1 - step) / (1 - cosine * step)
    rate = cosine * step
    train = rate**protocol.pulses
    # One cycle from just before the inversion, m -> offset + slope·m; its fixed point is the steady state.
    slope = -before * train * after
    offset = ((1 - before - driven) * train + driven - 1) * after + 1
    start = offset / (1 - slope)
    first = 1 - (1 + start) * before
    centre = driven + (first - driven) * rate**middle
    decay = np.exp(-protocol.te_ms / properties.t2star_ms)
    return float(abs(properties.pd * centre * np.sin(np.radians(protocol.flip_deg)) * decay))
