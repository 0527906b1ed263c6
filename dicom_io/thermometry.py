"""Temperature of a single-voxel spectrum from the distance between water and NAA: a test object is at room temperature.

T = 286.9 - 94 (water - NAA in ppm) degrees Celsius, Cady 1995, 10.1002/mrm.1910330620. Silent (None) unless the NAA
line stands clear of everything beside it, so a poor spectrum of a person is never taken for a test object.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dicom_io.elements import Elements

SPECTRUM, DATA_ROWS, DATA_COLUMNS = 0x56000020, 0x00289001, 0x00289002
TRANSMITTER_MHZ, WIDTH_HZ = 0x00189098, 0x00189052
CADY_OFFSET, CADY_SLOPE = 286.9, 94.0
REFERENCE_PPM = 4.7
WATER_PPM = (4.2, 5.2)
NAA_DISTANCE_PPM = (2.55, 2.95)  # 50 degrees down to 10
METABOLITES_PPM = (0.6, 3.8)  # distance from water; NAA must be the tallest line there
CLEAR = 4.0  # times the median of that range
APODISATION_HZ = 4.0
ZERO_FILL = 8
MOST_POINTS = 65_536


def temperature_c(elements: Elements) -> float | None:
    """Temperature of the voxel in degrees Celsius, of the first frame that tells; None when none does."""
    points = elements.integer(DATA_COLUMNS)
    mhz, width = elements.number(TRANSMITTER_MHZ), elements.number(WIDTH_HZ)
    if not points or points > MOST_POINTS or not mhz or not width or mhz <= 0 or width <= 0:
        return None
    if (elements.integer(DATA_ROWS) or 1) != 1:
        return None
    raw = elements.raw(SPECTRUM)
    if not raw or len(raw) % (8 * points):
        return None
    parts = np.frombuffer(raw, np.dtype(f"{elements.order}f4")).astype(np.float64)
    if not np.isfinite(parts).all():
        return None
    frames = (parts[0::2] - 1j * parts[1::2]).reshape(-1, points)  # the standard class stores the conjugate
    told = (_temperature(frame, mhz, width) for frame in frames)
    return next((one for one in told if one is not None), None)


def _temperature(signal: npt.NDArray[np.complex128], mhz: float, width: float) -> float | None:
    decay = np.exp(-np.arange(signal.size) / width * APODISATION_HZ)
    height = np.abs(np.fft.fftshift(np.fft.fft(signal * decay, ZERO_FILL * signal.size)))
    ppm = REFERENCE_PPM - np.fft.fftshift(np.fft.fftfreq(height.size, 1 / width)) / mhz
    near_water = (ppm > WATER_PPM[0]) & (ppm < WATER_PPM[1])
    if not near_water.any():
        return None
    distance = ppm[np.argmax(np.where(near_water, height, -1.0))] - ppm
    metabolites = (distance > METABOLITES_PPM[0]) & (distance < METABOLITES_PPM[1])
    if not metabolites.any():
        return None
    tallest = int(np.argmax(np.where(metabolites, height, -1.0)))
    clear = height[tallest] > CLEAR * float(np.median(height[metabolites]))
    if not clear or not NAA_DISTANCE_PPM[0] <= distance[tallest] <= NAA_DISTANCE_PPM[1]:
        return None
    return float(CADY_OFFSET - CADY_SLOPE * distance[tallest])
