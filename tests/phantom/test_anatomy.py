"""Warp, fibres and head against numbers of their own."""

import numpy as np
import pytest

from phantom import scan
from phantom.anatomy import fibres, head, template, warp
from phantom.anatomy.fibres import PAIRED, SIX, Bundle, System
from phantom.anatomy.parcels import Side
from phantom.sequences import dwi
from phantom.slab import Slab, rotation


@pytest.fixture(scope="module")
def bent() -> warp.Warp:
    return warp.random_warp(np.random.default_rng(7), 2.5)


def test_a_warp_folds_nothing_and_is_another_for_another_seed(bent: warp.Warp) -> None:
    points = np.random.default_rng(0).uniform(-90, 90, (3, 20000)).astype(np.float32)
    assert bent.determinant(points).min() > 0.3
    moved = bent.pull(points) - points
    assert np.sqrt((moved**2).sum(axis=0).mean()) == pytest.approx(2.5, rel=0.35)
    other = warp.random_warp(np.random.default_rng(8), 2.5)
    assert np.abs(other.pull(points) - bent.pull(points)).max() > 3


def test_a_warp_of_minus_the_velocity_undoes_it(bent: warp.Warp) -> None:
    """exp(-v) after exp(v) is the identity: what makes the warp a diffeomorphism."""

    class Mirrored:
        def __init__(self, seed: int) -> None:
            self._random = np.random.default_rng(seed)

        def standard_normal(self, shape: tuple[int, ...], dtype: type[np.float32]) -> np.ndarray:
            return -self._random.standard_normal(shape, dtype=dtype)

    back = warp.random_warp(Mirrored(7), 2.5)  # type: ignore[arg-type]
    points = np.random.default_rng(0).uniform(-70, 70, (3, 500)).astype(np.float32)
    there = bent.pull(points)
    assert np.abs(there - points).max() > 2
    assert np.abs(back.pull(there) - points).max() < 0.6  # a tenth of the lattice


def test_turning_is_the_rotation_of_the_jacobian(bent: warp.Warp) -> None:
    points = np.random.default_rng(1).uniform(-90, 90, (3, 20000)).astype(np.float32)
    u, _, vt = np.linalg.svd(bent.derivative(points))
    np.testing.assert_allclose(bent.turn(points), (u @ vt).transpose(0, 2, 1), atol=0.03)
    assert np.abs(u @ vt - np.eye(3)).max() > 0.08, "there is something to turn"


def test_a_tube_is_as_large_as_its_cross_sections_and_its_fibres_run_along_it() -> None:
    straight = Bundle("rod", System.ASSOCIATION, ((0, -30, 0), (0, 0, 0), (0, 20, 0), (0, 40, 0)), (4,) * 4, (3,) * 4)
    points, tangents, volume = fibres.tube(straight)
    assert volume.sum() == pytest.approx(np.pi * 4 * 3 * 70, rel=0.02)
    np.testing.assert_allclose(np.abs(tangents[:, 1]), 1, atol=1e-6)
    assert ((points[:, 0] / 3) ** 2 + (points[:, 2] / 4) ** 2 <= 1.001).all() or (
        (points[:, 0] / 4) ** 2 + (points[:, 2] / 3) ** 2 <= 1.001
    ).all()


def tensor_at(field: np.ndarray, point: tuple[float, float, float]) -> np.ndarray:
    i, j, k = np.rint((np.array(point) - fibres.LOWER_MM) / fibres.GRID_MM).astype(int)
    full = np.empty((3, 3))
    for value, (row, column) in zip(field[:, i, j, k], SIX, strict=True):
        full[row, column] = full[column, row] = value
    return full


def test_white_matter_points_along_the_bundle_that_fills_it() -> None:
    field = fibres.white_matter_tensor({})
    for bundle in PAIRED[:3]:
        for sign in (1, -1):
            before, here, after = (np.array(bundle.points[n], float) * [sign, 1, 1] for n in (4, 5, 6))
            along = (after - before) / np.linalg.norm(after - before)
            values, vectors = np.linalg.eigh(tensor_at(field, tuple(here)))
            assert abs(vectors[:, 2] @ along) > 0.94, bundle.name  # 20 degrees: chord against tangent
            assert values[2] / values[1] > 2
    _, across = np.linalg.eigh(tensor_at(field, (0, -14, 26.5)))
    assert abs(across[0, 2]) > 0.97, "the callosum runs from side to side"


def test_damage_raises_radial_diffusivity_on_its_side_only() -> None:
    healthy = fibres.white_matter_tensor({})
    struck = fibres.white_matter_tensor({(System.CORTICOSPINAL, Side.RIGHT): 0.1})
    for sign, change in ((1, 0.1 * fibres.BUNDLE_SHARE), (-1, 0.0)):
        place = (sign * 23.0, -14.0, 8.0)
        before, after = (np.linalg.eigvalsh(tensor_at(field, place)) for field in (healthy, struck))
        np.testing.assert_allclose(after - before, [change, change, 0], atol=0.015)
    middle = fibres.SHAPE[0] // 2
    np.testing.assert_array_equal(struck[:, : middle - 2], healthy[:, : middle - 2])


def test_the_head_is_placed_where_it_was_put(bent: warp.Warp) -> None:
    body = head.Head(template.load(), bent, rotation((8, 2, -3)), (2, 4, -3))
    for landmark in ((0, 0, 0), (-27, 30, 20), (37, -22, 58)):
        scanner = body.scanner(landmark)
        shown = body.template(scanner.astype(np.float32)[:, None])[:, 0]
        np.testing.assert_allclose(shown, landmark, atol=0.05)


def test_shells_lie_round_the_brain_in_order() -> None:
    body = head.Head(template.load(), warp.random_warp(np.random.default_rng(0), 0.0001), np.eye(3), (0, 0, 0))
    up = np.stack([np.full(400, 25.0), np.full(400, -20.0), np.linspace(50, 100, 400)]).astype(np.float32)
    out = body.surface(up)
    assert (np.diff(out[out > -5]) > 0).all()
    mixed = dict.fromkeys((layer.tissue for layer in body.layers(up, 0.2)), np.zeros(400, np.float32))
    total = np.zeros(400, np.float32)
    for layer in body.layers(up, 0.2):
        for tissue in mixed:
            mixed[tissue] = mixed[tissue] * (1 - layer.cover)
        mixed[layer.tissue] = mixed[layer.tissue] + layer.cover
        total = total * (1 - layer.cover) + layer.cover
    thickest = [max(mixed, key=lambda tissue: mixed[tissue][n]) for n in range(400) if total[n] > 0.5]
    order = [str(t) for n, t in enumerate(thickest) if n == 0 or t is not thickest[n - 1]]
    assert order[-5:] == ["cerebrospinal fluid", "cortical bone", "marrow", "cortical bone", "fat"]


@pytest.mark.parametrize("turned", [(0.0, 0.0, 40.0), (25.0, 0.0, 0.0), (0.0, 30.0, 0.0)])
def test_fibres_turn_with_the_head(turned: tuple[float, float, float]) -> None:
    straight = warp.random_warp(np.random.default_rng(0), 0.0001)
    placement = rotation(turned)
    body = head.Head(template.load(), straight, placement, (2, 4, -3))
    field = fibres.white_matter_tensor({})
    for place in ((23.0, -14.0, 8.0), (-23.0, -14.0, 8.0), (0.0, -14.0, 26.0)):
        _, vectors = np.linalg.eigh(tensor_at(field, place))
        x, y, z = (float(v) for v in body.scanner(place))
        seen = scan.diffusion_body(body, field, Slab.around((x, y, z), (2, 2, 2), (1.0, 1.0, 1.0)), dwi.Protocol())
        tensor = seen.tensor.reshape(6, -1).mean(axis=1)
        full = tensor[[0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(3, 3)
        assert abs(np.linalg.eigh(full)[1][:, 2] @ placement @ vectors[:, 2]) > 0.99
