"""Diffusion-weighted spin-echo EPI: its protocol, its b-table, and the signal of a tissue.

S = PD (1 - exp(-TR/T1)) exp(-TE/T2) exp(-b g'Dg) for each Gaussian compartment; a voxel is the sum of its compartments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from phantom.slab import rotation
from phantom.tissue import PROPERTIES, Tissue

Floats = npt.NDArray[np.float64]
Tensors = npt.NDArray[np.float32]

FATTY = (Tissue.FAT, Tissue.MARROW)
REPULSION_STEPS = 200
REPULSION_RATE = 0.05
SHELL_TURN_DEG = (17.0, 29.0, 41.0)  # from one shell to the next, about x, y, z


@dataclass(frozen=True, slots=True)
class Shell:
    """A b-value, s/mm2, and how many directions are taken at it."""

    b: float = 1000.0
    directions: int = 32


@dataclass(frozen=True, slots=True)
class Protocol:
    """Times in ms. fat_left: share of the fat signal that fat suppression leaves; readout_ms: length of the EPI train.

    unweighted: images at b = 0, at the start or `interspersed` evenly. reversed_unweighted: those of a second series
    with the phase encoding reversed; 0 = there is none. half_sphere: all directions turned to one side (y >= 0), as
    some makers deliver them; else they are spread over the whole sphere.
    """

    tr_ms: float = 5000.0
    te_ms: float = 72.0
    fat_left: float = 0.03
    shells: tuple[Shell, ...] = (Shell(),)
    unweighted: int = 2
    interspersed: bool = False
    reversed_unweighted: int = 0
    half_sphere: bool = False
    readout_ms: float = 25.6

    @property
    def b(self) -> float:
        """The highest b-value, s/mm2."""
        return max((shell.b for shell in self.shells), default=0.0)

    @property
    def directions(self) -> int:
        """Diffusion-weighted volumes of all shells."""
        return sum(shell.directions for shell in self.shells)

    @property
    def b_values(self) -> tuple[float, ...]:
        """Every b-value once, 0 first."""
        return (0.0, *sorted({shell.b for shell in self.shells if shell.directions}))


def unweighted_signal(tissue: Tissue, protocol: Protocol) -> float:
    """Signal at b = 0 relative to a fully relaxed, undecayed spin density of 1."""
    properties = PROPERTIES[tissue]
    kept = protocol.fat_left if tissue in FATTY else 1.0
    relaxed = 1 - np.exp(-protocol.tr_ms / properties.t1_ms)
    return float(kept * properties.pd * relaxed * np.exp(-protocol.te_ms / properties.t2_ms))


def directions(count: int) -> Floats:
    """Unit vectors (count, 3): axes spread by electrostatic repulsion, their poles by the same over the whole sphere.

    Jones 1999, 10.1002/(SICI)1522-2594(199909)42:3<515::AID-MRM14>3.0.CO;2-Q. What eddy currents do is odd in the
    direction, so a set on a half sphere would hide it from the tensor.
    """
    order = np.arange(count)
    z = 1 - (order + 0.5) / max(count, 1)
    angle = order * np.pi * (3 - np.sqrt(5))
    axes = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)
    for _ in range(REPULSION_STEPS if count > 1 else 0):
        push = np.zeros_like(axes)
        for sign in (1, -1):  # an axis has two poles
            apart = axes[:, None] - sign * axes[None]
            distance = np.linalg.norm(apart, axis=2)
            distance[distance < 1e-9] = np.inf
            push += (apart / distance[..., None] ** 3).sum(axis=1)
        axes = axes + REPULSION_RATE * push / np.linalg.norm(push, axis=1).max()
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    axes[1::2] *= -1
    return _poles_apart(axes)


def _poles_apart(axes: Floats) -> Floats:
    """The same axes, turned round one by one as long as that lowers the energy of equal charges at their heads."""
    axes = axes.copy()
    while True:
        near = 1 / np.maximum(np.linalg.norm(axes[:, None] - axes[None], axis=2), 1e-9)
        far = 1 / np.maximum(np.linalg.norm(axes[:, None] + axes[None], axis=2), 1e-9)
        np.fill_diagonal(near, 0)
        np.fill_diagonal(far, 0)
        gain = near.sum(axis=1) - far.sum(axis=1)
        if not len(axes) or gain.max() <= 1e-9:
            return axes
        axes[gain.argmax()] *= -1


def table(protocol: Protocol) -> tuple[Floats, Floats]:
    """b (volume,) s/mm2 and unit directions (volume, 3), zeros at b = 0; one shell after the other.

    Each shell has its own best spread, turned, so that no direction comes twice.
    """
    x, y, z = SHELL_TURN_DEG
    turned = [
        directions(shell.directions) @ rotation((x * n, y * n, z * n)).T for n, shell in enumerate(protocol.shells)
    ]
    every = np.concatenate([np.zeros((0, 3)), *turned])
    if protocol.half_sphere:
        every = every * np.where(every[:, 1:2] < 0, -1, 1)
    b = np.repeat([shell.b for shell in protocol.shells], [shell.directions for shell in protocol.shells])
    places = np.zeros(protocol.unweighted, int)
    if protocol.interspersed:
        places = np.arange(protocol.unweighted) * len(every) // max(protocol.unweighted, 1)
    return np.insert(b.astype(float), places, 0.0), np.insert(every, places, 0.0, axis=0)


def attenuation(tensor: Tensors, b: float, direction: Floats) -> Tensors:
    """exp(-b g'Dg) for tensors (6, ...) xx xy xz yy yz zz in um2/ms and one direction in the same frame."""
    x, y, z = direction
    weights = np.array([x * x, 2 * x * y, 2 * x * z, y * y, 2 * y * z, z * z], np.float32)
    exponent = np.tensordot(weights * np.float32(-b * 1e-3), tensor, axes=1)
    return np.asarray(np.exp(exponent), np.float32)


def scalars(tensor: Tensors) -> dict[str, Tensors]:
    """FA, MD, AD, RD (...) of tensors (6, ...), um2/ms (Basser & Pierpaoli 1996, 10.1006/jmrb.1996.0086)."""
    full = np.empty((*tensor.shape[1:], 3, 3), np.float32)
    for value, (row, column) in zip(tensor, ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)), strict=True):
        full[..., row, column] = full[..., column, row] = value
    least, middle, most = np.moveaxis(np.linalg.eigvalsh(full), -1, 0)
    mean = (least + middle + most) / 3
    spread = (least - mean) ** 2 + (middle - mean) ** 2 + (most - mean) ** 2
    size = np.maximum(least**2 + middle**2 + most**2, np.float32(1e-12))
    return {"FA": np.sqrt(1.5 * spread / size), "MD": mean, "AD": most, "RD": (least + middle) / 2}
