"""Noise of a magnitude image: Rician, one coil (Gudbjartsson & Patz 1995, 10.1002/mrm.1910340618)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float32]


def rician(signal: Signal, sigma: float, random: np.random.Generator) -> Signal:
    """Magnitude of `signal` with Gaussian noise of standard deviation `sigma` in its real and imaginary part."""
    if sigma == 0:
        return signal
    real, imaginary = random.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(sigma)
    return np.asarray(np.hypot(signal + real, imaginary))
