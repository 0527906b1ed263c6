"""Two small patients (4 mm), made once: one without noise, one as a scanner would see it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from phantom import patient
from phantom.disease import LIMB_LEFT as ONE_SIDED
from phantom.examination import Examination
from phantom.truth import Truth

COARSE_MM = 4.0

ReadSeries = Callable[[Path], dict[tuple[float, tuple[float, ...]], npt.NDArray[np.uint16]]]


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return patient.make(tmp_path_factory.mktemp("clean"), Examination(ONE_SIDED, resolution_mm=COARSE_MM, snr=0))


@pytest.fixture(scope="session")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return patient.make(tmp_path_factory.mktemp("noisy"), Examination(ONE_SIDED, resolution_mm=COARSE_MM))


@pytest.fixture(scope="session")
def volumes() -> ReadSeries:
    """Stored values (x, y, z) of a series by (b, direction LPS), read with pydicom alone: slices sorted by position."""

    def read(folder: Path) -> dict[tuple[float, tuple[float, ...]], npt.NDArray[np.uint16]]:
        planes: dict[tuple[float, tuple[float, ...]], list[tuple[float, int, npt.NDArray[np.uint16]]]] = {}
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            row, column = np.reshape(np.array(dataset.ImageOrientationPatient, float), (2, 3))
            height = float(np.cross(row, column) @ np.array(dataset.ImagePositionPatient, float))
            key = float(dataset.DiffusionBValue), tuple(dataset.DiffusionGradientOrientation)
            planes.setdefault(key, []).append((height, int(dataset.InstanceNumber), dataset.pixel_array.T))
        return {
            key: np.stack([plane for _, _, plane in sorted(found, key=lambda item: item[:2])], axis=-1)
            for key, found in planes.items()
        }

    return read
