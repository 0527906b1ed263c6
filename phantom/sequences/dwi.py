"""Diffusion-weighted spin-echo EPI: one Gaussian tensor a voxel, so FA and MD of every voxel are known exactly.

S = PD (1 - exp(-TR/T1)) exp(-TE/T2) exp(-b g'Dg); the tensor is the signal-weighted mean over what fills the voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from phantom.tissue import PROPERTIES, Tissue

Floats = npt.NDArray[np.float64]
Tensors = npt.NDArray[np.float32]

FATTY = (Tissue.FAT, Tissue.MARROW)
REPULSION_STEPS = 200
REPULSION_RATE = 0.05


@dataclass(frozen=True, slots=True)
class Protocol:
    """Times in ms, b in s/mm2."""

    tr_ms: float = 5000.0
    te_ms: float = 72.0
    fat_left: float = 0.03  # share of the fat signal that fat suppression leaves
    b: float = 1000.0
    directions: int = 32
    unweighted: int = 2


def unweighted_signal(tissue: Tissue, protocol: Protocol) -> float:
    """Signal at b = 0 relative to a fully relaxed, undecayed spin density of 1."""
    properties = PROPERTIES[tissue]
    kept = protocol.fat_left if tissue in FATTY else 1.0
    relaxed = 1 - np.exp(-protocol.tr_ms / properties.t1_ms)
    return float(kept * properties.pd * relaxed * np.exp(-protocol.te_ms / properties.t2_ms))


def directions(count: int) -> Floats:
    """Unit vectors (count, 3), axes spread by electrostatic repulsion (Jones 1999), every other one turned round."""
    order = np.arange(count)
    z = 1 - (order + 0.5) / count
    angle = order * np.pi * (3 - np.sqrt(5))
    axes = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)
    for _ in range(REPULSION_STEPS):
        push = np.zeros_like(axes)
        for sign in (1, -1):  # an axis has two poles
            apart = axes[:, None] - sign * axes[None]
            distance = np.linalg.norm(apart, axis=2)
            distance[distance < 1e-9] = np.inf
            push += (apart / distance[..., None] ** 3).sum(axis=1)
        axes = axes + REPULSION_RATE * push / np.linalg.norm(push, axis=1).max()
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    axes[1::2] *= -1
    return axes


def table(protocol: Protocol) -> tuple[Floats, Floats]:
    """b (volume,) s/mm2 and unit directions (volume, 3), zeros at b = 0; the b = 0 images come first."""
    b = np.r_[np.zeros(protocol.unweighted), np.full(protocol.directions, protocol.b)]
    return b, np.vstack([np.zeros((protocol.unweighted, 3)), directions(protocol.directions)])


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
