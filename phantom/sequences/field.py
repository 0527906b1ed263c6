"""The main field's disturbance by the body itself: air, bone and tissue have different susceptibilities.

Field of a susceptibility map by the dipole kernel in k-space (Marques & Bowtell 2005, 10.1002/cmr.b.20034), on a grid
twice as large so that the periodic copies stay away.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from phantom.anatomy.body import TISSUES
from phantom.anatomy.person import Person
from phantom.slab import Slab
from phantom.tissue import PROPERTIES, Tissue

Field = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

HZ_PER_PPM = 127.74  # protons at 3 T
GRID_MM = 4.0
# Box round the person's origin in which the body is looked at, scanner RAS mm: below it the chest would follow.
LOWER_MM, UPPER_MM = np.array([-120.0, -160.0, -200.0]), np.array([120.0, 130.0, 120.0])
B0_RAS = np.array([0.0, 0.0, 1.0])
THREADS = 2


def dipole_field(chi_ppm: Field, voxel_mm: float, b0: Floats = B0_RAS) -> Field:
    """Field shift (x, y, z), ppm, of a susceptibility map that is 0 at its rim; `b0`: unit vector along array axes."""
    doubled = [fft.next_fast_len(2 * count, real=True) for count in chi_ppm.shape]
    k = np.meshgrid(
        fft.fftfreq(doubled[0], voxel_mm),
        fft.fftfreq(doubled[1], voxel_mm),
        fft.rfftfreq(doubled[2], voxel_mm),
        indexing="ij",
        sparse=True,
    )
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    squared[0, 0, 0] = 1.0
    along = k[0] * b0[0] + k[1] * b0[1] + k[2] * b0[2]
    kernel = (1 / 3 - along**2 / squared).astype(np.float32)
    kernel[0, 0, 0] = 0.0
    spectrum = fft.rfftn(chi_ppm, doubled, workers=THREADS) * kernel
    nx, ny, nz = chi_ppm.shape
    return np.asarray(fft.irfftn(spectrum, doubled, workers=THREADS)[:nx, :ny, :nz], np.float32)


def _shimmed(field: Field, places: Floats, brain: npt.NDArray[np.bool_]) -> Field:
    """Field (n,) less the constant, linear and quadratic terms that fit it best in the brain: what a shim does.

    places: (3, n) mm.
    """
    x, y, z = places / 100
    terms = np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z], axis=1)
    best, *_ = np.linalg.lstsq(terms[brain], field[brain].astype(np.float64), rcond=None)
    return np.asarray(field - terms @ best, np.float32)


@lru_cache(maxsize=1)
def off_resonance(person: Person, slab: Slab) -> Field:
    """Off-resonance (x, y, z) of a person on a slab, Hz at 3 T, shimmed on the brain.

    Kept for the next series, which runs with the phase encoding reversed over the same slab; not to be written to.
    """
    counts = tuple(int(n) for n in np.ceil((UPPER_MM - LOWER_MM) / GRID_MM))
    lower = person.centre_ras + LOWER_MM
    index = np.meshgrid(*[np.arange(n) for n in counts], indexing="ij")
    places = np.stack([axis.ravel() for axis in index]) * GRID_MM + lower[:, None]
    at = person.template(places.astype(np.float32))
    chi = np.array([PROPERTIES[tissue].chi_ppm - PROPERTIES[Tissue.AIR].chi_ppm for tissue in TISSUES], np.float32)
    (solid,) = np.nonzero(person.body.skin(at) < GRID_MM)
    susceptibility = np.zeros(at.shape[1], np.float32)
    steps = person.placement.T * GRID_MM
    susceptibility[solid] = chi @ person.body.fractions(np.ascontiguousarray(at[:, solid]), steps)
    field = dipole_field(susceptibility.reshape(counts), GRID_MM).ravel()
    brain = np.zeros(at.shape[1], bool)
    brain[solid] = person.body.brain(at[:, solid]) < 0
    field = _shimmed(field, places - person.centre_ras[:, None], brain) * np.float32(HZ_PER_PPM)
    wanted = (slab.points_ras() - lower[:, None].astype(np.float32)) / np.float32(GRID_MM)
    fine = ndimage.map_coordinates(field.reshape(counts), wanted, order=3, mode="nearest")
    return np.asarray(fine.reshape(slab.shape), np.float32)
