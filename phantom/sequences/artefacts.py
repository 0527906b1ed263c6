"""What spoils an image on its way: each switched by a number of its own, 0 or empty = off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from phantom.sequences._epi import push, resample
from phantom.slab import Slab, rotation

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Artefacts:
    """Sizes of the artefacts of an examination.

    bias: receive shading, share of the signal between centre and rim. gibbs: truncated k-space. motion_mm, motion_deg:
    root mean square of the head's walk between volumes. eddy_mm: largest shift along the phase encoding at full
    gradient at the field's edge. susceptibility: strength of the field of air and bone, 1 = as computed at 3 T.
    dropout: share of (volume, slice) pairs that lose signal.
    """

    bias: float = 0.15
    gibbs: bool = False
    motion_mm: float = 0.0
    motion_deg: float = 0.0
    eddy_mm: float = 0.0
    susceptibility: float = 0.0
    dropout: float = 0.0


NONE = Artefacts(bias=0.0)


PHASE_AXIS = 1  # of the array: the phase encoding of a diffusion series runs down its columns
LEFT_BY_DROPOUT = 0.6  # of the signal of a slice that moved while it was encoded
HALF_FIELD_MM = 100.0  # eddy currents are told for this distance from the middle


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How the head lay during each volume, from the first on: x -> turn (x - centre) + centre + shift, RAS mm.

    turn: (volume, 3, 3) rotations. shift_mm: (volume, 3). centre_ras: (3,) mm.
    """

    turn: Floats
    shift_mm: Floats
    centre_ras: Floats

    def still(self, volume: int) -> bool:
        """Whether the head lies in a volume as it was painted."""
        return bool((self.turn[volume] == np.eye(3)).all() and (self.shift_mm[volume] == 0).all())


def walk(volumes: int, artefacts: Artefacts, centre_ras: Floats, random: np.random.Generator) -> Motion:
    """A random walk from the first volume on, of the root mean square that is asked."""
    steps = random.standard_normal((volumes, 6))
    steps[0] = 0
    path = np.cumsum(steps, axis=0)
    shift, angle = path[:, :3], path[:, 3:]
    shift = shift * artefacts.motion_mm / _rms(shift)
    angle = angle * artefacts.motion_deg / _rms(angle)
    turn = np.stack([rotation((float(x), float(y), float(z))) for x, y, z in angle])
    return Motion(turn, shift, centre_ras)


def _rms(path: Floats) -> float:
    return float(np.sqrt((path**2).sum(axis=1).mean())) or 1.0


def moved(image: Image, affine: Floats, motion: Motion, volume: int) -> Image:
    """What a scanner sees of a volume (x, y, z) when the head moved; cubic B-spline, its rim goes on outside."""
    if motion.still(volume):
        return image
    turn, voxel = motion.turn[volume], affine[:3, :3]
    # A place x of the scanner shows the painted place turn' (x - shift - centre) + centre.
    inverse = np.linalg.inv(voxel)
    matrix = inverse @ turn.T @ voxel
    away = affine[:3, 3] - motion.shift_mm[volume] - motion.centre_ras
    offset = inverse @ (turn.T @ away + motion.centre_ras - affine[:3, 3])
    out = np.empty_like(image)
    resample(ndimage.spline_filter(image, 3, output=np.float32, mode="mirror"), matrix, offset, out)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Eddy:
    """Displacement along the phase encoding by eddy currents: linear in the direction, in b and in the place.

    coefficients (4, 3), mm at b = `b_full`: d = b/b_full (c0.g + x/L c1.g + y/L c2.g + z/L c3.g), place from the
    middle of the field along the array's axes, L = `HALF_FIELD_MM` (Jezzard 1998, 10.1002/mrm.1910390518).
    """

    coefficients: Floats
    b_full: float

    def terms_mm(self, b: float, g: Floats) -> Floats:
        """Constant and the three slopes (4,) of a volume."""
        return np.asarray(self.coefficients @ g * (b / self.b_full if self.b_full else 0.0))


def eddies(protocol_b: float, artefacts: Artefacts, random: np.random.Generator) -> Eddy:
    """Currents whose largest displacement over all directions at the field's faces is `eddy_mm`."""
    coefficients = random.standard_normal((4, 3))
    signs = np.array(np.meshgrid([0], [-1, 1], [-1, 1], [-1, 1])).reshape(4, -1).T.astype(float)
    signs[:, 0] = 1
    # For a place the worst direction is along sum(sign c), so the worst of all is the longest such sum.
    worst = np.linalg.norm(signs @ coefficients, axis=1).max()
    return Eddy(coefficients * artefacts.eddy_mm / worst, protocol_b)


def eddy_displacement(terms_mm: Floats, slab: Slab) -> Image:
    """Displacement (x, y, z), mm along the phase encoding, of a volume's eddy terms (4,)."""
    axes = [
        ((np.arange(count) - (count - 1) / 2) * edge / HALF_FIELD_MM)
        for count, edge in zip(slab.shape, slab.voxel_mm, strict=True)
    ]
    x, y, z = (axis.astype(np.float32) for axis in axes)
    constant, *slopes = (np.float32(term) for term in terms_mm)
    planes = constant + slopes[0] * x[:, None, None] + slopes[1] * y[None, :, None] + slopes[2] * z[None, None, :]
    return np.asarray(planes, np.float32)


def displaced(image: Image, displacement_mm: Image, voxel_mm: float) -> Image:
    """Image (x, y, z) with its signal pushed along the phase encoding; what stays in the image keeps its sum."""
    out = np.empty_like(image)
    push(np.ascontiguousarray(image), displacement_mm / np.float32(voxel_mm), out)
    return out


def truncated(image: Image) -> Image:
    """Image (x, y, z) of the inner half of k-space of one painted twice as fine in x and y: Gibbs ringing."""
    for axis in (0, 1):
        fine = image.shape[axis]
        coarse = fine // 2
        kept = np.moveaxis(fft.rfft(image, axis=axis), axis, -1)[..., : coarse // 2 + 1]
        # A coarse voxel's middle lies half a fine step behind the middle of the first fine voxel in it.
        ramp = np.exp(1j * np.pi * np.arange(coarse // 2 + 1) / fine).astype(np.complex64)
        image = np.asarray(np.moveaxis(fft.irfft(kept * ramp, n=coarse, axis=-1) / 2, -1, axis), np.float32)
    return image


def dropouts(b: Floats, slices: int, artefacts: Artefacts, random: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """Pairs (volume, slice) that lose signal; only diffusion weighting turns motion into loss."""
    drawn = random.random((len(b), slices))
    lost = np.argwhere((drawn < artefacts.dropout) & (b[:, None] > 0))
    return tuple((int(volume), int(place)) for volume, place in lost)
