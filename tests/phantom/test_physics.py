"""Each signal against an independent way to the same number."""

import numpy as np
import pytest

from phantom.sequences import mprage
from phantom.tissue import PROPERTIES, Tissue


def mprage_by_bloch(tissue: Tissue, protocol: mprage.Protocol) -> float:
    """Longitudinal magnetisation pulse by pulse, cycle after cycle, until it repeats itself."""
    p = PROPERTIES[tissue]
    flip = np.radians(protocol.flip_deg)

    def relaxed(m: float, ms: float) -> float:
        return 1 + (m - 1) * np.exp(-ms / p.t1_ms)

    middle = protocol.pulses // 2
    first_ms = protocol.ti_ms - middle * protocol.tr_ms
    m, centre = 1.0, 0.0
    for _ in range(60):
        m = relaxed(-m, first_ms)
        for pulse in range(protocol.pulses):
            if pulse == middle:
                centre = m
            m = relaxed(m * np.cos(flip), protocol.tr_ms)
        m = relaxed(m, protocol.cycle_ms - first_ms - protocol.pulses * protocol.tr_ms)
    return float(abs(p.pd * centre * np.sin(flip) * np.exp(-protocol.te_ms / p.t2star_ms)))


@pytest.mark.parametrize("tissue", [t for t in Tissue if t is not Tissue.AIR])
def test_mprage_is_the_steady_state_of_its_pulses(tissue: Tissue) -> None:
    protocol = mprage.Protocol()
    assert mprage.signal(tissue, protocol) == pytest.approx(mprage_by_bloch(tissue, protocol), rel=1e-6, abs=1e-12)


def test_t1_contrast_is_white_over_grey_over_fluid() -> None:
    white, cortex, fluid, fat = (
        mprage.signal(t, mprage.Protocol()) for t in (Tissue.WHITE, Tissue.CORTEX, Tissue.CSF, Tissue.FAT)
    )
    assert fat > white > 1.3 * cortex > 2 * fluid
