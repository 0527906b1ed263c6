"""Tissue maps of the MNI152 template (2009a), read from the installed nilearn package; nothing is downloaded or copied.

Notice: LICENSES/MNI.txt.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt

GREY_FILE = "mni_icbm152_gm_tal_nlin_sym_09a_converted.nii.gz"
WHITE_FILE = "mni_icbm152_wm_tal_nlin_sym_09a_converted.nii.gz"

# The template is an average of many people: its tissues are smeared. Odds to this power give one person's sharpness.
# (2.5, as x·x·√x: numpy's power of float32 is ten times slower.)


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Tissue fractions (x, y, z) in 0...1 on a 1 mm grid along RAS axes, voxel (0, 0, 0) at `origin_mm`.

    The rest to 1 is fluid (or outside); `digest` names the maps in truth files.
    """

    grey: npt.NDArray[np.float32]
    white: npt.NDArray[np.float32]
    origin_mm: npt.NDArray[np.float64]
    digest: str


def _folder() -> Path:
    # The files are opened where they lie: importing nilearn takes seconds and adds nothing.
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "the digital patient needs the template maps of the package nilearn; it is not installed"
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


@lru_cache(maxsize=1)
def load() -> Template:
    """Read, sharpen and name the maps (1 s, 0.3 GB)."""
    image, other = (nibabel.Nifti1Image.from_filename(_folder() / name) for name in (GREY_FILE, WHITE_FILE))
    stored = np.asarray(image.dataobj), np.asarray(other.dataobj)
    grey, white = (part.astype(np.float32) / np.float32(255) for part in stored)
    odds = [fraction * fraction * np.sqrt(fraction) for fraction in (grey, white, np.clip(1 - grey - white, 0, 1))]
    total = np.maximum(sum(odds), np.float32(1e-6))
    return Template(
        grey=np.asarray(odds[0] / total, np.float32),
        white=np.asarray(odds[1] / total, np.float32),
        origin_mm=np.asarray(image.affine[:3, 3], np.float64),
        digest=hashlib.sha256(stored[0].tobytes() + stored[1].tobytes()).hexdigest(),
    )
