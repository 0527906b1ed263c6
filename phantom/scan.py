"""The head in the scanner: what a sequence sees of it in a slab, before noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from phantom.anatomy.fibres import GRID_MM, SIX
from phantom.anatomy.head import Head, fibre_index
from phantom.anatomy.warp import Points
from phantom.sequences import dwi, mprage
from phantom.slab import Slab
from phantom.tissue import PROPERTIES, Tissue

Image = npt.NDArray[np.float32]

SLICES_AT_ONCE = 24  # keeps memory low: a million points of a 1 mm slab
SHADING = 0.15  # receive coils see the rim brighter than the middle by this much


@dataclass(frozen=True, slots=True, eq=False)
class DiffusionBody:
    """What diffusion sees, voxel by voxel: signal at b = 0 (x, y, z); tensor (6, x, y, z) um2/ms in RAS scanner axes.

    brain: share of the voxel inside the brain's surface. white: share of white matter.
    """

    unweighted: Image
    tensor: Image
    brain: Image
    white: Image


def _chunks(slab: Slab) -> list[int]:
    return list(range(0, slab.shape[2], SLICES_AT_ONCE))


def _turned(tensor: Image, turn: npt.NDArray[np.float32]) -> Image:
    """Tensors (6, n) turned by rotations (n, 3, 3): R T R'."""
    full = np.empty((tensor.shape[1], 3, 3), np.float32)
    for value, (row, column) in zip(tensor, SIX, strict=True):
        full[:, row, column] = full[:, column, row] = value
    turned = turn @ full @ turn.transpose(0, 2, 1)
    return np.stack([turned[:, row, column] for row, column in SIX])


def _diffusion(
    head: Head, fibres: Image, scanner: Points, edge_mm: float, protocol: dwi.Protocol
) -> tuple[Image, Image, Image, Image]:
    at = head.template(scanner)
    total, isotropic, directed, white = (np.zeros(at.shape[1], np.float32) for _ in range(4))
    for layer in head.layers(at, edge_mm):
        signal = np.float32(dwi.unweighted_signal(layer.tissue, protocol))
        is_white = layer.tissue is Tissue.WHITE
        diffusivity = np.float32(0 if is_white else PROPERTIES[layer.tissue].md)
        total += layer.cover * (signal - total)
        isotropic += layer.cover * (signal * diffusivity - isotropic)
        directed += layer.cover * ((signal if is_white else np.float32(0)) - directed)
        white += layer.cover * (np.float32(is_white) - white)
    share = np.maximum(total, np.float32(1e-6))
    tensor = np.zeros((6, at.shape[1]), np.float32)
    tensor[[0, 3, 5]] = isotropic / share
    with_fibres = np.flatnonzero(directed > 0)
    index = fibre_index(at[:, with_fibres], GRID_MM)
    field = np.stack(
        [ndimage.map_coordinates(part, index, order=1, mode="nearest", prefilter=False) for part in fibres]
    )
    tensor[:, with_fibres] += (directed / share)[with_fibres] * _turned(field, head.turn(scanner[:, with_fibres]))
    brain = np.clip(np.float32(0.5) - head.surface(at) / np.float32(edge_mm), 0, 1)
    return total, tensor, brain, white


def diffusion_body(head: Head, fibres: Image, slab: Slab, protocol: dwi.Protocol) -> DiffusionBody:
    """Signal at b = 0, tensor and tissue shares of every voxel of a slab; fibres: `white_matter_tensor`."""
    unweighted, brain, white = (np.empty(slab.shape, np.float32) for _ in range(3))
    tensor = np.empty((6, *slab.shape), np.float32)
    edge = float(max(slab.voxel_mm))
    for first in _chunks(slab):
        part = slice(first, first + SLICES_AT_ONCE)
        values = _diffusion(head, fibres, slab.points_ras(first, SLICES_AT_ONCE), edge, protocol)
        shape = unweighted[:, :, part].shape
        unweighted[:, :, part], brain[:, :, part], white[:, :, part] = (values[i].reshape(shape) for i in (0, 2, 3))
        tensor[:, :, :, part] = values[1].reshape(6, *shape)
    return DiffusionBody(unweighted, tensor, brain, white)


def shading(scanner: Points, centre_ras: npt.NDArray[np.float64], reach_mm: float) -> Image:
    """Receive sensitivity (n,): 1 in the middle, 1 + `SHADING` at `reach_mm` from it."""
    away = scanner - centre_ras.astype(np.float32)[:, None]
    return np.asarray(1 + np.float32(SHADING / reach_mm**2) * (away**2).sum(axis=0), np.float32)


def t1_weighted(head: Head, slab: Slab, protocol: mprage.Protocol, reach_mm: float) -> Image:
    """MPRAGE signal (x, y, z) of a slab, shaded by the receive coils, without noise."""
    signals = {tissue: np.float32(mprage.signal(tissue, protocol)) for tissue in Tissue}
    image = np.empty(slab.shape, np.float32)
    for first in _chunks(slab):
        scanner = slab.points_ras(first, SLICES_AT_ONCE)
        at = head.template(scanner)
        signal = np.zeros(at.shape[1], np.float32)
        for layer in head.layers(at, float(max(slab.voxel_mm))):
            signal += layer.cover * (signals[layer.tissue] - signal)
        part = image[:, :, first : first + SLICES_AT_ONCE]
        part[...] = (signal * shading(scanner, head.centre_ras, reach_mm)).reshape(part.shape)
    return image
