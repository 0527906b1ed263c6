"""Which way the axes of an array run in the patient: names, and matrices between array axes and RAS+."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PATIENT_AXES = ("left-right", "anterior-posterior", "head-foot")


def axis_directions(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Unit vectors of the array axes in RAS+, as columns (3, 3)."""
    matrix = affine[:3, :3]
    return np.asarray(matrix / np.linalg.norm(matrix, axis=0))


def axis_names(affine: npt.NDArray[np.float64]) -> tuple[str, str, str]:
    """Name each array axis after the patient axis that it follows most closely, each name once."""
    cosines = np.abs(axis_directions(affine))  # (patient axis, array axis)
    names = ["", "", ""]
    for _ in range(3):
        patient, array = np.unravel_index(int(np.argmax(cosines)), cosines.shape)
        names[array] = PATIENT_AXES[patient]
        cosines[patient, :] = -1.0
        cosines[:, array] = -1.0
    return names[0], names[1], names[2]
