"""Every dialect, plane, tilt and hand: what was written comes back through dcm2niix where and as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from analyses.contract import RoleKind
from analyses.dti import tensor
from dicom_io.classify import classify
from dicom_io.convert import convert
from dicom_io.facts import facts
from dicom_io.header import read_series
from phantom import markers
from phantom.dialects.registry import WRITERS
from phantom.dialects.series import Acquired
from phantom.examination import Dialect
from phantom.slab import LPS_TO_RAS, Plane, Slab
from tests.dicom_io.results.peers import errors_of_dciodvfy
from tests.phantom import roundtrip

Floats = npt.NDArray[np.float64]

EVERY_DIALECT = list(Dialect)
EVERY_PLACE = [(plane, tilted, left) for plane in Plane for tilted in (False, True) for left in (False, True)]
TELLS_SLICE_TIMES = {Dialect.SIEMENS, Dialect.SIEMENS_XA}
TELLS_BLIP_SIGN = {Dialect.SIEMENS, Dialect.SIEMENS_XA, Dialect.GE}
CYCLE_IS_TR = {Dialect.SIEMENS, Dialect.SIEMENS_XA}  # of a 3D train: from inversion to inversion, else pulse to pulse


def test_every_dialect_has_a_writer() -> None:
    assert set(WRITERS) == set(Dialect)


@pytest.mark.parametrize("dialect", EVERY_DIALECT)
@pytest.mark.parametrize(("plane", "tilted", "left_handed"), EVERY_PLACE)
def test_every_voxel_and_every_direction_comes_back_at_its_place(
    dialect: Dialect, plane: Plane, tilted: bool, left_handed: bool, tmp_path: Path
) -> None:
    where = roundtrip.slab(plane, tilted, left_handed)
    acquired = roundtrip.diffusion(where, roundtrip.TWO_SHELLS)
    roundtrip.write(dialect, tmp_path / "dicom", acquired)
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    order = roundtrip.order_of(read, acquired)
    index, points = roundtrip.grid_points(where)
    found = roundtrip.voxels_of(read, points)
    written = acquired.data[tuple(index.T)][:, order]
    if dialect is Dialect.PHILIPS or dialect is Dialect.PHILIPS_ENHANCED:
        assert_b0_hold(acquired, read, order)
    np.testing.assert_array_equal(read.stored[tuple(found.T)], written)
    between = np.linalg.norm(
        np.cross(read.directions_ras, acquired.gradients_lps[order] * LPS_TO_RAS)[acquired.b[order] > 0], axis=1
    )
    assert between.max() < 1e-5, "an axis was flipped, swapped or turned (a sine; vectors have six decimals)"
    check_timing(dialect, acquired, read, found[index[:, 0] + index[:, 1] == 0])


def assert_b0_hold(acquired: Acquired, read: roundtrip.Read, order: list[int]) -> None:
    """Philips puts the b = 0 volumes together: their order among themselves is that of acquisition."""
    unweighted = [volume for volume in order if acquired.b[volume] == 0]
    assert unweighted == sorted(unweighted)


def check_timing(dialect: Dialect, acquired: Acquired, read: roundtrip.Read, column: npt.NDArray[np.int_]) -> None:
    """TE, TR, sign of the blips and slice times; `column`: the voxel of each written slice (slice, 3)."""
    sequence, side = acquired.sequence, read.sidecar
    assert side["EchoTime"] == pytest.approx(sequence.te_ms / 1000)
    assert side["RepetitionTime"] == pytest.approx(sequence.tr_ms / 1000)
    if dialect in TELLS_BLIP_SIGN:
        assert side["TotalReadoutTime"] == pytest.approx(roundtrip.READ_OUT_MS / 1000, rel=1e-4)
        axis, runs_up = blips(acquired, read)
        assert side["PhaseEncodingDirection"] == "ijk"[axis] + ("" if runs_up == sequence.phase_positive else "-")
    if dialect in TELLS_SLICE_TIMES:
        through = int(np.argmax(np.ptp(column, axis=0)))
        times = np.array(side["SliceTiming"])[column[:, through]]
        np.testing.assert_allclose(times, acquired.slice_times_ms / 1000, atol=1e-3)


def blips(acquired: Acquired, read: roundtrip.Read) -> tuple[int, bool]:
    """Axis of the image that lies along the phase encoding, and whether it runs as the written rows do."""
    step = acquired.slab.steps_lps[:, 1 if acquired.sequence.phase_encoding == "COL" else 0] * LPS_TO_RAS
    along = np.linalg.inv(read.affine[:3, :3]) @ step
    axis = int(np.argmax(np.abs(along)))
    return axis, bool(along[axis] > 0)


@pytest.mark.parametrize("dialect", EVERY_DIALECT)
@pytest.mark.parametrize(("plane", "tilted"), [(Plane.SAGITTAL, True), (Plane.AXIAL, False)])
def test_a_t1_comes_back_in_its_corners(dialect: Dialect, plane: Plane, tilted: bool, tmp_path: Path) -> None:
    where = roundtrip.slab(plane, tilted)
    acquired = roundtrip.t1(where)
    roundtrip.write(dialect, tmp_path / "dicom", acquired)
    read = roundtrip.converted(tmp_path / "dicom", tmp_path / "nifti")
    spots = markers.spots(where, acquired.data)
    for spot, found in zip(spots, roundtrip.voxels_of(read, np.array([spot.ras for spot in spots])), strict=True):
        assert read.stored[tuple(found)] == spot.values
    sequence = acquired.sequence
    assert read.sidecar["EchoTime"] == pytest.approx(sequence.te_ms / 1000)
    tr_ms = sequence.cycle_ms if dialect in CYCLE_IS_TR else sequence.tr_ms
    assert read.sidecar["RepetitionTime"] == pytest.approx(tr_ms / 1000)


@pytest.mark.parametrize("dialect", sorted(TELLS_BLIP_SIGN))
def test_a_reverse_phase_series_has_its_blips_the_other_way(dialect: Dialect, tmp_path: Path) -> None:
    signs = set()
    for positive in (True, False):
        folder = tmp_path / str(positive)
        acquired = roundtrip.diffusion(roundtrip.slab(), np.zeros(3), positive=positive, number=302 + positive)
        roundtrip.write(dialect, folder, acquired)
        signs.add(roundtrip.converted(folder, tmp_path / f"nifti {positive}").sidecar["PhaseEncodingDirection"])
    assert signs == {"j", "j-"}


@pytest.mark.integration
@pytest.mark.parametrize("dialect", EVERY_DIALECT)
@pytest.mark.parametrize("kind", ["t1", "one shell", "two shells", "reverse phase"])
def test_dciodvfy_finds_no_error_in_any_kind_of_object(
    program: Callable[[str], str], dialect: Dialect, kind: str, tmp_path: Path
) -> None:
    where = roundtrip.slab(Plane.SAGITTAL, tilted=True)
    shells = {"one shell": roundtrip.ONE_SHELL, "two shells": roundtrip.TWO_SHELLS, "reverse phase": np.zeros(3)}
    acquired = roundtrip.t1(where) if kind == "t1" else roundtrip.diffusion(where, shells[kind])
    paths = sorted(roundtrip.write(dialect, tmp_path / "dicom", acquired))
    for path in {paths[0], paths[len(paths) // 2], paths[-1]}:
        assert errors_of_dciodvfy(program, path) == []


PAIRS = np.array([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)])


def tensors(where: Slab) -> tuple[Acquired, Floats]:
    """Noise-free diffusion of one tensor a slice, longer and turned from slice to slice; with its FA (slice,)."""
    slices = where.shape[2]
    angle = np.linspace(0.1, 1.4, slices)
    longest, other = np.linspace(1.2, 2.0, slices), np.linspace(0.3, 0.7, slices)
    axis = np.stack([np.cos(angle), 0.8 * np.sin(angle), 0.6 * np.sin(angle)], axis=1)
    full = other[:, None, None] * np.eye(3) + (longest - other)[:, None, None] * axis[:, :, None] * axis[:, None, :]
    plain = roundtrip.diffusion(where, roundtrip.ONE_SHELL)
    g_ras = plain.gradients_lps * LPS_TO_RAS
    along = np.einsum("vi,sij,vj->sv", g_ras, full, g_ras)
    weights = np.exp(-1e-3 * plain.b * along)
    data = np.rint(1.2 * markers.box()[..., None] * weights).astype(np.uint16)
    least, middle, most = np.linalg.eigvalsh(full).T
    mean = (least + middle + most) / 3
    spread = (least - mean) ** 2 + (middle - mean) ** 2 + (most - mean) ** 2
    acquired = Acquired(plain.sequence, where, data, plain.b, plain.gradients_lps, plain.slice_times_ms)
    return acquired, np.sqrt(1.5 * spread / (least**2 + middle**2 + most**2))


def fitted(dialect: Dialect, acquired: Acquired, folder: Path) -> Floats:
    """FA at the written voxels (x, y, z) through our own reader, converter and tensor fit."""
    paths = roundtrip.write(dialect, folder / "dicom", acquired)
    series = read_series(paths)
    role = classify(series)
    assert role.kind is RoleKind.DWI
    (folder / "work").mkdir()
    volume = convert(series, facts(series, role), folder / "work")
    assert volume.bvals is not None
    assert volume.bvecs is not None
    everywhere = np.ones(volume.data.shape[:3], bool)
    fit = tensor.fit_tensor(volume.data, everywhere, volume.bvals, volume.bvecs)
    fa = fit.volume(fit.fa)
    read = roundtrip.Read(volume.data, volume.affine, {}, volume.bvals, volume.bvecs)
    _, points = roundtrip.grid_points(acquired.slab)
    found = roundtrip.voxels_of(read, points)
    return np.asarray(fa[tuple(found.T)].reshape(acquired.slab.shape))


FA_OF_ROUNDING = 0.005  # stored values are whole numbers; 0.29 rms of 60 at the least, averaged over a slice


@pytest.mark.parametrize(("plane", "tilted", "left_handed"), [(Plane.AXIAL, True, False), (Plane.SAGITTAL, True, True)])
def test_every_dialect_gives_the_same_fa(plane: Plane, tilted: bool, left_handed: bool, tmp_path: Path) -> None:
    acquired, truth = tensors(roundtrip.slab(plane, tilted, left_handed))
    maps = {dialect: fitted(dialect, acquired, tmp_path / dialect) for dialect in EVERY_DIALECT}
    np.testing.assert_allclose(maps[Dialect.PHILIPS].mean(axis=(0, 1)), truth, atol=FA_OF_ROUNDING)
    for dialect, fa in maps.items():
        np.testing.assert_allclose(fa, maps[Dialect.PHILIPS], atol=1e-4, err_msg=dialect)
