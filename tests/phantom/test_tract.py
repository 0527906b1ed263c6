"""Tracking along the tensor of a person without noise finds the corticospinal tract of each side, and keeps to it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from phantom import diffusion, plan
from phantom.anatomy import template
from phantom.anatomy.adult import Adult
from phantom.anatomy.body import ROW
from phantom.anatomy.bundles import CORTICOSPINAL, tubes
from phantom.anatomy.fibres import Fibres
from phantom.anatomy.person import Person
from phantom.anatomy.warp import random_warp
from phantom.disease import HEALTHY
from phantom.sequences import dwi
from phantom.slab import rotation
from phantom.tissue import Tissue
from tests.phantom.answers import noise_free_fit

Floats = npt.NDArray[np.float64]

VOXEL_MM, STEP_MM, STEPS = 2.0, 1.0, 160
LEAST_FA, MOST_DEG = 0.15, 45.0
SEED_FA, SEED_UP = 0.30, 0.6
PER_VOXEL = 4
BELOW_Z_MM, ABOVE_Z_MM = -18.0, 45.0
# Found: 0.24 left, 0.22 right. Downwards 0.47 and 0.51 of the lines reach their plane, upwards 0.37 and 0.38.
LEAST_SHARE = 0.15


class Tensors:
    """Main direction and FA of a person's noise-free tensors, anywhere in the scanner (RAS mm)."""

    def __init__(self, person: Person) -> None:
        slab, protocol = plan.dwi_slab(person, 0.0, VOXEL_MM), dwi.Protocol()
        body = diffusion.see(person, slab, protocol, HEALTHY)
        fit = noise_free_fit(body, protocol, body.brain > 0.5)
        self.to_voxel = np.linalg.inv(slab.affine)
        self.affine = slab.affine
        self.fa = fit.volume(fit.fa, 0.0).astype(float)
        self.direction = fit.volume(fit.direction, 0.0).astype(float)  # RAS

    def at(self, points: Floats, heading: Floats) -> tuple[Floats, Floats]:
        """FA (n,) and direction (n, 3) nearest `heading` at scanner points (n, 3): trilinear, signs made to agree."""
        voxel = points @ self.to_voxel[:3, :3].T + self.to_voxel[:3, 3]
        low = np.clip(np.floor(voxel).astype(int), 0, np.array(self.fa.shape) - 2)
        part = np.clip(voxel - low, 0, 1)
        fa, direction = np.zeros(len(points)), np.zeros_like(points)
        for corner in np.ndindex(2, 2, 2):
            place = tuple((low + corner).T)
            weight = np.prod(np.where(corner, part, 1 - part), axis=1)
            along = self.direction[place]
            sign = np.where((along * heading).sum(axis=1) < 0, -1.0, 1.0)
            fa += weight * self.fa[place]
            direction += (weight * sign)[:, None] * along
        return fa, direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)

    def track(self, seeds: Floats, heading: Floats) -> Iterator[Floats]:
        """Points (n, 3) after each step of the midpoint rule; NaN once a line has ended."""
        points, limit = seeds.copy(), np.cos(np.radians(MOST_DEG))
        for _ in range(STEPS):
            _, first = self.at(np.nan_to_num(points), heading)
            fa, along = self.at(np.nan_to_num(points + STEP_MM / 2 * first), first)
            ended = (fa < LEAST_FA) | ((along * heading).sum(axis=1) < limit)
            points = np.where(ended[:, None], np.nan, points + STEP_MM * along)
            heading = along
            yield points


@pytest.fixture(scope="module")
def person() -> Person:
    warp = random_warp(np.random.default_rng(7), 3.0)
    return Person(Adult(template.load(), {}), warp, rotation((4.0, -3.0, 2.0)), (2.0, -3.0, 1.0))


@pytest.fixture(scope="module")
def tensors(person: Person) -> Tensors:
    return Tensors(person)


def in_body(person: Person, points: Floats) -> Floats:
    """Body coordinates (n, 3) of scanner points (n, 3); NaN stays."""
    known = np.isfinite(points[:, 0])
    found = np.full(points.shape, np.nan)
    found[known] = person.template(np.ascontiguousarray(points[known].T, np.float32)).T
    return found


def capsule(person: Person, tensors: Tensors, side: int) -> tuple[Floats, Floats]:
    """Seeds in the posterior limb of the internal capsule of a side (right: 1), and the direction upwards there."""
    voxel = np.argwhere(tensors.fa > SEED_FA)
    scanner = voxel @ tensors.affine[:3, :3].T + tensors.affine[:3, 3]
    x, y, z = in_body(person, scanner).T
    up = tensors.direction[tuple(voxel.T)]
    inside = (side * x >= 15) & (side * x <= 30) & (y >= -24) & (y <= -2) & (z >= 2) & (z <= 14)
    inside &= np.abs(up[:, 2]) > SEED_UP
    up = up[inside] * np.sign(up[inside][:, 2:])
    offsets = np.random.default_rng(3).uniform(-VOXEL_MM / 2, VOXEL_MM / 2, (inside.sum(), PER_VOXEL, 3))
    return (scanner[inside][:, None] + offsets).reshape(-1, 3), np.repeat(up, PER_VOXEL, axis=0)


@pytest.mark.parametrize("side", [-1, 1], ids=["left", "right"])
def test_lines_from_the_internal_capsule_run_from_peduncle_to_cortex_on_their_own_side(
    person: Person, tensors: Tensors, side: int
) -> None:
    seeds, up = capsule(person, tensors, side)
    paths = [np.stack([in_body(person, points) for points in tensors.track(seeds, sign * up)]) for sign in (-1, 1)]
    down_z, up_z = (paths[0][..., 2], paths[1][..., 2])
    with np.errstate(invalid="ignore"):
        below, above = (down_z < BELOW_Z_MM).any(axis=0), (up_z > ABOVE_Z_MM).any(axis=0)
        strayed = np.zeros(len(seeds), bool)
        for path, within in zip(paths, (down_z > BELOW_Z_MM, up_z < ABOVE_Z_MM), strict=True):
            strayed |= ((side * path[..., 0] < 1) & within).any(axis=0)
    whole = below & above & ~strayed
    assert len(seeds) > 400
    assert whole.mean() > LEAST_SHARE
    assert (below & above & strayed).mean() < 0.01


@pytest.mark.parametrize("z", np.arange(-24.0, -5, 2))
def test_the_tract_is_white_matter_from_the_pons_to_the_internal_capsule(person: Person, z: float) -> None:
    """Both sides of the seam between brain stem and cerebrum; the template has 0.6 to 0.97 there."""
    axes = np.meshgrid(np.arange(-30, 31, 2.0), np.arange(-40, 1, 2.0), [z], indexing="ij")
    points = np.stack(axes).reshape(3, -1).astype(np.float32)
    names = np.array(["", *(tube.name for tube, _ in tubes())])
    seen = Fibres({}).at(points, np.eye(3) * 2.0)
    tract = np.where(np.isin(names[seen.number], CORTICOSPINAL), seen.share, 0).sum(axis=0)
    white = person.body.fractions(points, np.eye(3) * 2.0)[ROW[Tissue.WHITE]]
    for side in (points[0] < 0, points[0] > 0):
        assert (white * tract)[side].sum() / tract[side].sum() > 0.7
