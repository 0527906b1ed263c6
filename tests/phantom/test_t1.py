"""The T1-weighted scan: what truncated k-space does to it."""

import numpy as np
import pytest

from phantom import patient, plan, t1
from phantom.examination import Examination
from phantom.sequences.artefacts import NONE, Artefacts


@pytest.mark.parametrize("moved", [0.0, 2.0])
def test_edges_ring_when_k_space_is_truncated(moved: float) -> None:
    """Ringing goes on into the air beyond the skin and falls off with the distance."""
    born = patient.Patient.born(Examination())
    slab = plan.t1_slab(born.person, born.pitch_deg, 4.0)
    body = t1.see(born.person, slab, plan.MPRAGE, 0.0)

    def image(artefacts: Artefacts) -> np.ndarray:
        return t1.acquire(body, born.person, slab, plan.MPRAGE, artefacts, 0.0, np.random.default_rng(1))

    sharp, ringing = (
        image(Artefacts(bias=0.0, motion_mm=moved)),
        image(Artefacts(bias=0.0, motion_mm=moved, gibbs=True)),
    )
    assert ringing.shape == sharp.shape
    assert (ringing >= 0).all(), "a magnitude image"
    brightest = float(np.quantile(body.signal, 0.99))
    assert ringing.mean() == pytest.approx(sharp.mean(), rel=0.05), "the same head at the same place"
    assert np.corrcoef(ringing.ravel(), sharp.ravel())[0, 1] > 0.97
    if moved:
        return
    assert np.array_equal(sharp, image(NONE))
    air = body.signal == 0
    near = air & (np.roll(~air, 2, 0) | np.roll(~air, -2, 0) | np.roll(~air, 2, 1) | np.roll(~air, -2, 1))
    assert ringing[near].max() > 0.05 * brightest, "the overshoot of a step is 9 per cent of it"
    assert ringing[near].mean() > 3 * ringing[:4, :4].mean()
