"""Temperature from water and NAA: a spectrum made at a known temperature, stored as the standard class stores it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analyses.contract import Body
from dicom_io.classify import classify
from dicom_io.header import read_instance
from tests.dicom_io import synthetic as made

MHZ, WIDTH_HZ, POINTS = 123.25, 2000.0, 1024


def spectrum(celsius: float, naa: float = 1.0, mirrored: bool = False) -> made.Dataset:
    """Water at 4.7 ppm, NAA as far below it as Cady's formula says; the conjugate of the signal is stored."""
    time_s = np.arange(POINTS) / WIDTH_HZ
    distance_ppm = (286.9 - celsius) / 94.0
    lines = ((4.7, 5.0), (4.7 - distance_ppm, naa))
    signal = sum(height * np.exp(2j * np.pi * (4.7 - ppm) * MHZ * time_s - time_s / 0.1) for ppm, height in lines)
    stored = signal if mirrored else np.conj(signal)
    pairs = np.stack([np.real(stored), np.imag(stored)], axis=1).astype("<f4")
    ds = made.instance(made.SPECTROSCOPY, MRSpectroscopyAcquisitionType="SINGLE_VOXEL", Rows=1, Columns=1)
    ds.TransmitterFrequency, ds.SpectralWidth = MHZ, WIDTH_HZ
    ds.DataPointRows, ds.DataPointColumns = 1, POINTS
    ds.SpectroscopyData = pairs.tobytes()
    return ds


@pytest.mark.parametrize("celsius", [18.0, 25.0, 37.0])
def test_the_temperature_of_a_clean_spectrum_is_found(tmp_path: Path, celsius: float) -> None:
    found = read_instance(made.write(tmp_path / "x.dcm", spectrum(celsius))).temperature_c
    assert found == pytest.approx(celsius, abs=1.0)  # 0.01 ppm a degree, 0.002 ppm a point


@pytest.mark.parametrize("ds", [spectrum(20.0, naa=0.0), spectrum(20.0, mirrored=True)])
def test_without_a_clear_naa_line_nothing_is_said(tmp_path: Path, ds: made.Dataset) -> None:
    assert read_instance(made.write(tmp_path / "x.dcm", ds)).temperature_c is None


def test_a_spectrum_at_room_temperature_is_a_phantom_and_a_warm_one_is_not(tmp_path: Path) -> None:
    cold, warm = (
        classify(made.series(tmp_path / "a", [spectrum(20.0)])),
        classify(made.series(tmp_path / "b", [spectrum(37.0)])),
    )
    assert (cold.body, warm.body) == (Body.PHANTOM, Body.BRAIN)
    assert "20 degrees Celsius" in cold.reason
