"""The marker box tells every flip and turn, and our own reader finds it in every dialect where it was written."""

from pathlib import Path

import numpy as np
import pytest

from dicom_io import header
from phantom import markers
from phantom.dialects.series import MAXIMUM_STORED
from phantom.examination import Dialect
from phantom.slab import Plane
from tests.phantom import roundtrip


def test_no_turn_or_mirror_image_of_the_box_has_its_blocks_in_the_same_corners() -> None:
    box = np.pad(markers.box(), [(2, 2), (0, 0), (6, 6)])  # a cube: every permutation fits
    assert len(set(box.shape)) == 1
    same = 0
    for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        for flips in np.ndindex(2, 2, 2):
            turned = np.flip(box.transpose(axes), [axis for axis in range(3) if flips[axis]])
            same += np.array_equal(turned >= 1000, box >= 1000)
    assert same == 1, "only the identity"


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(("plane", "tilted", "left_handed"), [(Plane.CORONAL, True, True), (Plane.AXIAL, True, False)])
def test_our_own_reader_sees_the_table_and_the_planes_that_were_written(
    dialect: Dialect, plane: Plane, tilted: bool, left_handed: bool, tmp_path: Path
) -> None:
    acquired = roundtrip.diffusion(roundtrip.slab(plane, tilted, left_handed), roundtrip.TWO_SHELLS)
    where = acquired.slab
    series = header.read_series(roundtrip.write(dialect, tmp_path, acquired))
    found = []
    for instance in series.instances:
        for frame in instance.frames:
            assert frame.position_lps is not None
            assert frame.orientation_lps is not None
            np.testing.assert_allclose(frame.orientation_lps, where.axes_lps[:, :2].T.ravel(), atol=1e-9)
            away = np.array(frame.position_lps) - where.origin_lps
            k = float(away @ where.axes_lps[:, 2]) / where.voxel_mm[2]
            assert k == pytest.approx(round(k), abs=1e-5)
            found.append((round(k), frame.bvalue, frame.gradient_lps))
    tiled = series.first.tiles > 0  # a mosaic: one frame a volume, at the place of its first slice
    slices = 1 if tiled else where.shape[2]
    if tiled:
        assert (series.first.tiles, series.first.tile_rows) == (where.shape[2], where.shape[1])
        np.testing.assert_allclose(series.first.tile_normal_lps, where.axes_lps[:, 2], atol=1e-8)
    for k in range(slices):
        here = [(b, gradient) for place, b, gradient in found if place == k]
        assert sorted(b for b, _ in here) == sorted(acquired.b)
        for b in set(acquired.b) - {0.0}:
            directions = np.array([gradient for value, gradient in here if value == b])
            # the sign of a direction has no meaning, and GE's frame has it turned round
            cosines = np.abs(directions @ acquired.gradients_lps[acquired.b == b].T)
            assert sorted(cosines.argmax(axis=1)) == list(range(roundtrip.COUNT))
            assert cosines.max(axis=1).min() > 1 - 1e-10


def test_the_map_of_a_box_shows_each_spot_at_its_place() -> None:
    where = markers.slab(tilted=True)
    data = markers.box()[..., None]
    written = markers.Markers(Path(), where, data, np.zeros(0), np.zeros((0, 3)), markers.spots(where, data))
    image = markers.map_image(written)
    inverse = np.linalg.inv(image.affine)
    for spot in written.spots:
        i, j, k = np.rint(inverse[:3, :3] @ np.array(spot.ras) + inverse[:3, 3]).astype(int)
        assert image.data[i, j, k] == pytest.approx(spot.values[0] / MAXIMUM_STORED)
