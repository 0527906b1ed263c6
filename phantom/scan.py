"""The head in the scanner: what a sequence sees of it in a slab, before noise."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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

POINTS_AT_ONCE = 250_000  # keeps memory low and the arrays near the processor
THREADS = 2
COARSE = 4
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


def _turned(tensor: Image, turn: npt.NDArray[np.float32]) -> Image:
    """Tensors (6, n) turned by rotations (n, 3, 3): R T R'."""
    full = np.empty((tensor.shape[1], 3, 3), np.float32)
    for value, (row, column) in zip(tensor, SIX, strict=True):
        full[:, row, column] = full[:, column, row] = value
    turned = turn @ full @ turn.transpose(0, 2, 1)
    return np.stack([turned[:, row, column] for row, column in SIX])


def _within(head: Head, slab: Slab) -> npt.NDArray[np.bool_]:
    """Voxels (x, y, z) of the slab that may hold anything but air, found on every `COARSE`th voxel."""
    voxel = tuple(COARSE * edge for edge in slab.voxel_mm)
    shape = tuple(-(-count // COARSE) for count in slab.shape)
    first = slab.origin_lps + slab.steps_lps.sum(axis=1) * (COARSE - 1) / 2
    coarse = Slab((shape[0], shape[1], shape[2]), (voxel[0], voxel[1], voxel[2]), slab.axes_lps, first)
    distance = head.skin(head.template(coarse.points_ras())).reshape(shape)
    within = distance < np.linalg.norm(voxel) / 2 + max(slab.voxel_mm)
    for axis in range(3):
        within = np.repeat(within, COARSE, axis=axis)
    nx, ny, nz = slab.shape
    return within[:nx, :ny, :nz]


def _by_chunks(head: Head, slab: Slab, work: Callable[[Points], npt.NDArray[np.float32]], rows: int) -> Image:
    """`work` (3, n) -> (rows, n) over the voxels that hold the head, on threads: (rows, x, y, z), zero elsewhere."""
    result = np.zeros((rows, *slab.shape), np.float32)
    within = _within(head, slab)

    slices = max(1, POINTS_AT_ONCE // (slab.shape[0] * slab.shape[1]))

    def one(first: int) -> None:
        part = within[:, :, first : first + slices]
        if part.any():
            points = slab.points_ras(first, slices)[:, part.ravel()]
            result[:, :, :, first : first + slices][:, part] = work(points)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, range(0, slab.shape[2], slices)))
    return result


def _diffusion(head: Head, fibres: Image, scanner: Points, edge_mm: float, protocol: dwi.Protocol) -> Image:
    """Rows: signal at b = 0, share of brain, share of white matter, then the six of the tensor."""
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
    return np.concatenate([np.stack([total, brain, white]), tensor])


def diffusion_body(head: Head, fibres: Image, slab: Slab, protocol: dwi.Protocol) -> DiffusionBody:
    """Signal at b = 0, tensor and tissue shares of every voxel of a slab; fibres: `white_matter_tensor`."""
    edge = float(max(slab.voxel_mm))
    rows = _by_chunks(head, slab, lambda points: _diffusion(head, fibres, points, edge, protocol), rows=9)
    return DiffusionBody(unweighted=rows[0], tensor=rows[3:], brain=rows[1], white=rows[2])


def shading(scanner: Points, centre_ras: npt.NDArray[np.float64], reach_mm: float) -> Image:
    """Receive sensitivity (n,): 1 in the middle, 1 + `SHADING` at `reach_mm` from it."""
    away = scanner - centre_ras.astype(np.float32)[:, None]
    return np.asarray(1 + np.float32(SHADING / reach_mm**2) * (away**2).sum(axis=0), np.float32)


def t1_weighted(head: Head, slab: Slab, protocol: mprage.Protocol, reach_mm: float) -> Image:
    """MPRAGE signal (x, y, z) of a slab, shaded by the receive coils, without noise."""
    signals = {tissue: np.float32(mprage.signal(tissue, protocol)) for tissue in Tissue}
    edge = float(max(slab.voxel_mm))

    def painted(scanner: Points) -> Image:
        at = head.template(scanner)
        signal = np.zeros(at.shape[1], np.float32)
        for layer in head.layers(at, edge):
            signal += layer.cover * (signals[layer.tissue] - signal)
        return np.asarray(signal * shading(scanner, head.centre_ras, reach_mm))[None]

    return np.asarray(_by_chunks(head, slab, painted, rows=1)[0])
