"""The T1-weighted scan of a person: the image that a perfect coil would see, what fills it, and what spoils it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from phantom.anatomy.body import ROW, TISSUES, Points
from phantom.anatomy.person import Person
from phantom.painting import THREADS, Image, paint
from phantom.sequences import mprage
from phantom.sequences.artefacts import Artefacts, truncated
from phantom.sequences.noise import rician
from phantom.slab import Slab, finer, rotation
from phantom.tissue import Tissue

COIL_REACH_MM = 100.0  # receive shading is told for this distance from the middle
# Motion: the head lay in a second pose for this share of the shots, in blocks of so many lines (estimate).
MOVED_SHARE = 0.3
BLOCK_LINES = 16


@dataclass(frozen=True, slots=True, eq=False)
class T1Body:
    """Noise-free signal (x, y, z) and what fills the voxels: parcel numbers, shares of grey and of white matter."""

    signal: Image
    parcels: npt.NDArray[np.uint8]
    grey: Image
    white: Image


def shading(scanner: Points, centre_ras: npt.NDArray[np.float64], bias: float) -> npt.NDArray[np.float32]:
    """Receive sensitivity (n,): 1 in the middle, 1 + `bias` at `COIL_REACH_MM` from it, more towards the neck coil."""
    away = scanner - centre_ras.astype(np.float32)[:, None]
    return np.asarray(1 + np.float32(bias / COIL_REACH_MM**2) * np.einsum("in,in->n", away, away), np.float32)


def see(person: Person, slab: Slab, protocol: mprage.Protocol, bias: float) -> T1Body:
    """Paint a person on a slab."""
    signals = np.array([mprage.signal(tissue, protocol) for tissue in TISSUES], np.float32)
    steps = person.steps(slab)

    def work(scanner: Points, at: Points) -> npt.NDArray[np.float32]:
        fractions = person.body.fractions(at, steps)
        signal = np.einsum("t,tn->n", signals, fractions) * shading(scanner, person.centre_ras, bias)
        parcels = person.body.parcels(at).astype(np.float32)
        return np.stack([signal, parcels, fractions[ROW[Tissue.CORTEX]], fractions[ROW[Tissue.WHITE]]])

    signal, parcels, grey, white = paint(person, slab, work, rows=4)
    return T1Body(signal, parcels.astype(np.uint8), grey, white)


def _signal(person: Person, slab: Slab, protocol: mprage.Protocol, bias: float) -> Image:
    """The signal (x, y, z) of `see` alone."""
    signals = np.array([mprage.signal(tissue, protocol) for tissue in TISSUES], np.float32)
    steps = person.steps(slab)

    def work(scanner: Points, at: Points) -> npt.NDArray[np.float32]:
        signal = np.einsum("t,tn->n", signals, person.body.fractions(at, steps))
        return np.asarray(signal * shading(scanner, person.centre_ras, bias), np.float32)[None]

    return np.asarray(paint(person, slab, work, rows=1)[0])


def acquire(
    body: T1Body,
    person: Person,
    slab: Slab,
    protocol: mprage.Protocol,
    artefacts: Artefacts,
    sigma: float,
    random: np.random.Generator,
) -> Image:
    """Magnitude image (x, y, z): motion between shots, truncated k-space, Rician noise of `sigma`."""
    motion, noise = random.spawn(2)
    image, painted = body.signal, slab
    if artefacts.gibbs:
        painted = finer(slab)
        image = _signal(person, painted, protocol, artefacts.bias)
    if artefacts.motion_mm or artefacts.motion_deg:
        image = _moved(image, person, painted, protocol, artefacts, motion)
    if artefacts.gibbs:
        image = np.abs(truncated(image))
    return rician(image, sigma, noise)


def _moved(
    image: Image,
    person: Person,
    slab: Slab,
    protocol: mprage.Protocol,
    artefacts: Artefacts,
    random: np.random.Generator,
) -> Image:
    """Image whose k-space lines were taken in two poses, block by block along the phase encoding (y of the array)."""
    shift = random.normal(0, artefacts.motion_mm, 3)
    turn = rotation(tuple(random.normal(0, artefacts.motion_deg, 3)))
    x, y, z = (float(v) for v in person.centre_ras + shift)
    elsewhere = Person(person.body, person.warp, turn @ person.placement, (x, y, z), person.change)
    other = _signal(elsewhere, slab, protocol, artefacts.bias)
    lines = np.rint(np.abs(fft.fftfreq(image.shape[1])) * image.shape[1]).astype(int) // BLOCK_LINES
    moved = random.random(int(lines.max()) + 1)[lines] < MOVED_SHARE
    moved[lines == 0] = False  # the centre of k-space lies in the first pose: the image stays where it is
    still = fft.fft(image, axis=1, workers=THREADS)
    still[:, moved] = fft.fft(other, axis=1, workers=THREADS)[:, moved]
    return np.asarray(np.abs(fft.ifft(still, axis=1, workers=THREADS)), np.float32)
