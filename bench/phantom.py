"""The digital patient: what making one costs, what writing a slice costs beside pydicom, and how true it is.

What the tests assert is measured here by the same code, so that the figure is seen and not only that it passed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bench.row import Better, Row, absolute, against
from phantom import plan
from phantom.anatomy import template, thickness
from phantom.anatomy.cortex import Cortex
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure
from phantom.anatomy.warp import random_warp
from phantom.dialects import philips
from phantom.dialects.identity import Identity
from phantom.dialects.registry import WRITERS
from phantom.dialects.series import Acquired
from phantom.dialects.stamp import encode
from phantom.disease import HEALTHY
from phantom.examination import Dialect, Examination
from phantom.patient import WARP_RMS_MM
from phantom.sequences.dwi import Protocol
from phantom.slab import Plane, Slab, rotation
from tests.phantom import answers, roundtrip, test_roundtrip

Floats = npt.NDArray[np.float64]
Points = npt.NDArray[np.float32]

MAKE = """
import json, resource, sys, time
from pathlib import Path
from phantom import patient
began = time.perf_counter()
truth = patient.make(Path(sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_SELF)
cost = {"wall": time.perf_counter() - began, "cpu": used.ru_utime + used.ru_stime, "gb": used.ru_maxrss / 2**20}
print(json.dumps({**cost, "objects": sum(s.instances for s in truth.series)}))
"""
SEQUENCE = plan.diffusion(Protocol())
SIDE, SLICES, VOLUMES = 112, 60, 5
CLASSIC = (Dialect.PHILIPS, Dialect.SIEMENS, Dialect.GE)
SINGLE_MM = 2.5  # fine enough that some bundles fill a voxel
HAND_RIGHT = Parcel(Structure.PRECENTRAL_HAND, Side.RIGHT)
LOST_MM = 0.3
BLOCK = (24.0, -34.0, 46.0), (48.0, 4.0, 68.0)  # of the right hand area, well inside its borders
FINE_MM, RIM = 0.5, 8  # lattice of the independent estimator, and its voxels that see the block's edge


def rows() -> Iterator[Row]:
    """Cost in a process of its own, slices beside pydicom, then truth."""
    yield from _cost()
    yield from _writing()
    yield from _bias()
    yield from _readers()
    yield from _body()


def _cost() -> Iterator[Row]:
    """A whole patient (2 mm DWI of 34 volumes, 1 mm T1), written."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", MAKE, folder], check=True, capture_output=True, text=True)
    cost = json.loads(done.stdout)
    note = f"{cost['objects']} objects"
    yield absolute("phantom.time", cost["cpu"], Better.AT_MOST, 25.0, "CPU-s", note=note)
    yield absolute("phantom.wall", cost["wall"], Better.AT_MOST, 40.0, "s", note="by the clock, two threads")
    yield absolute("phantom.memory", cost["gb"], Better.AT_MOST, 1.0, "GB")


def _writing() -> Iterator[Row]:
    """CPU time a slice; pydicom makes a new dataset for each."""
    where = Slab.around((0, 0, 0), (SIDE, SIDE, SLICES), (2.0, 2.0, 2.0))
    b, g = np.r_[0.0, np.full(VOLUMES - 1, 1000.0)], np.r_[np.zeros((1, 3)), roundtrip.DIRECTIONS[: VOLUMES - 1]]
    times = plan.slice_times_ms(SLICES, SEQUENCE.tr_ms)
    acquired = Acquired(SEQUENCE, where, np.zeros((*where.shape, VOLUMES), np.uint16), b, g, times)
    count = SLICES * VOLUMES
    identity = Identity("bench", 0)
    made = 0
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        for made in range(count):
            dataset = philips.dataset_of(SEQUENCE, where, identity, np.zeros(1), (100.0, 200.0))
            (Path(folder) / f"{made}.dcm").write_bytes(encode(dataset))
        peer = 1e3 * (time.process_time() - began) / count
        ours = {}
        for dialect, write in WRITERS.items():
            began = time.process_time()
            for _ in write(Path(folder) / dialect, acquired, identity):
                pass
            ours[dialect] = 1e3 * (time.process_time() - began) / count
    for dialect, spent in ours.items():
        note = "one diffusion slice; peer: pydicom" if dialect in CLASSIC else "a frame; peer: an object by pydicom"
        yield absolute(f"phantom.write {dialect}", spent, Better.AT_MOST, 0.4, "ms CPU", peer=peer, note=note)
    slowest = max(ours.values())
    yield against("phantom.write_ratio", slowest, peer, Better.AT_MOST, 0.25, "ms CPU", note="slowest dialect")


def _bias() -> Iterator[Row]:
    """FA and MD at SNR 30 where one bundle fills the voxel, through our own reader, converter and fit."""
    examination = Examination(HEALTHY, resolution_mm=SINGLE_MM)
    with tempfile.TemporaryDirectory() as folder:
        found = answers.bias(*answers.written(Dialect.SIEMENS, examination, Path(folder)))
    note = f"{found.voxels} voxels, SNR {examination.snr:g}; against the"
    for name, fa, md in (("noise-free fit", found.fa_fit, found.md_fit), ("mean tensor", found.fa_body, found.md_body)):
        end = "" if name == "noise-free fit" else " body"
        yield absolute(f"phantom.fa_bias{end}", abs(fa), Better.AT_MOST, 0.01, "1", note=f"{note} {name}: {fa:+.4f}")
        percent = 100 * md
        yield absolute(
            f"phantom.md_bias{end}", abs(percent), Better.AT_MOST, 2.0, "%", note=f"{note} {name}: {percent:+.2f}"
        )


def _readers() -> Iterator[Row]:
    """What dcm2niix, our own path and dciodvfy make of every dialect."""
    acquired, _ = test_roundtrip.tensors(roundtrip.slab(Plane.AXIAL, tilted=True))
    with tempfile.TemporaryDirectory() as folder:
        maps = {d: test_roundtrip.fitted(d, acquired, Path(folder) / d) for d in Dialect}
    apart = max(float(np.abs(fa - maps[Dialect.PHILIPS]).max()) for fa in maps.values())
    yield absolute("phantom.fa_same", apart, Better.AT_MOST, 1e-4, "1", note="the furthest voxel of any dialect")
    cases = [(d, *place) for d in Dialect for place in test_roundtrip.EVERY_PLACE]
    wrong = [
        f"{d} {plane} {tilted} {left}" for d, plane, tilted, left in cases if not _comes_back(d, plane, tilted, left)
    ]
    note = f"{len(cases)} of dialect, plane, tilt and hand" + (f"; wrong: {', '.join(wrong)}" if wrong else "")
    share = 100 * (1 - len(wrong) / len(cases))
    yield absolute("phantom.roundtrip", share, Better.AT_LEAST, 100.0, "%", note=note)
    program = shutil.which("dciodvfy")
    if program is not None:
        errors, objects = _iod_errors(program)
        yield absolute("phantom.iod", errors, Better.AT_MOST, 0.0, "errors", note=f"dciodvfy, {objects} objects")


def _comes_back(dialect: Dialect, plane: Plane, tilted: bool, left_handed: bool) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            test_roundtrip.test_every_voxel_and_every_direction_comes_back_at_its_place(
                dialect, plane, tilted, left_handed, Path(folder)
            )
        except AssertionError:
            return False
    return True


def _iod_errors(program: str) -> tuple[int, int]:
    """Lines with an error, of the first and last object of a T1 and of a diffusion series in every dialect."""
    where = roundtrip.slab(Plane.SAGITTAL, tilted=True)
    errors = objects = 0
    for dialect in Dialect:
        for acquired in (roundtrip.t1(where), roundtrip.diffusion(where, roundtrip.TWO_SHELLS)):
            with tempfile.TemporaryDirectory() as folder:
                paths = sorted(roundtrip.write(dialect, Path(folder), acquired))
                for path in {paths[0], paths[-1]}:
                    said = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
                    errors += sum(line.startswith("Error") for line in (said.stdout + said.stderr).splitlines())
                    objects += 1
    return errors, objects


def _body() -> Iterator[Row]:
    """Cortex and warp against other ways to the same number."""
    healthy, thinned = Cortex(template.load(), {}), Cortex(template.load(), {HAND_RIGHT: LOST_MM})
    by_ray = 100 * (_ray_mm(healthy) - _ray_mm(thinned)) / LOST_MM
    note = f"of {LOST_MM} mm planted in the right hand area"
    yield _near("phantom.thickness_truth by ray", by_ray, 0.5, note)
    yield _near("phantom.thickness_truth", _distance_percent(healthy, thinned), 2.0, f"{note}; distance at 0.5 mm")
    rms = _share_error(thinned)
    yield absolute("phantom.pv", rms, Better.AT_MOST, 0.03, "1", note="rms of border voxels, 1 mm, against 16^3 points")
    worst = _jacobian_error()
    yield absolute("phantom.jacobian", worst, Better.AT_MOST, 0.002, "1", note="largest, finite differences over 4 mm")


def _near(name: str, percent: float, limit: float, note: str) -> Row:
    return absolute(name, abs(percent - 100), Better.AT_MOST, limit, "% off", note=f"{percent:.2f} % found {note}")


def _grid(low: tuple[float, ...], high: tuple[float, ...], step: float) -> Points:
    axes = [np.arange(a, b, step, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _ray_mm(cortex: Cortex) -> float:
    """Median length of rays that stay in the parcel."""
    cast = thickness.rays(cortex, 1.3)
    low, high = (np.array(corner)[:, None] for corner in BLOCK)
    inner = (cast.parcel == LABEL[HAND_RIGHT]) & (cortex.parcels(cast.end) == LABEL[HAND_RIGHT])
    inner &= ((cast.start > low) & (cast.start < high)).all(axis=0)
    return float(np.median(cast.length_mm[inner]))


def _distance_percent(healthy: Cortex, thinned: Cortex) -> float:
    """Share of the planted thinning that two voxel distance transforms find."""
    at = _grid(*BLOCK, FINE_MM)
    flat = at.reshape(3, -1)
    white = (healthy.depth(flat) > healthy.thickness_mm(flat)).reshape(at.shape[1:])
    inner = (healthy.parcels(flat) == LABEL[HAND_RIGHT]).reshape(at.shape[1:])
    middle = np.zeros_like(inner)
    middle[RIM:-RIM, RIM:-RIM, RIM:-RIM] = True
    to_white = ndimage.distance_transform_edt(~white) * FINE_MM
    crown = (to_white > 0) & (to_white < FINE_MM + 0.01) & inner & middle
    depth = [
        float((ndimage.distance_transform_edt((body.depth(flat) > 0).reshape(inner.shape)) * FINE_MM)[crown].mean())
        for body in (healthy, thinned)
    ]
    return 100 * (depth[0] - depth[1]) / LOST_MM


def _share_error(cortex: Cortex) -> float:
    """Root mean square error of the grey share of 1 mm voxels in the hand area, against 16^3 points in each."""
    steps = rotation((20.0, 10.0, 30.0))
    index = np.indices((9, 9, 9)).reshape(3, -1) - 4.0
    at = (np.array([[38.0], [-18.0], [58.0]]) + steps @ index).astype(np.float32)
    part = (np.indices((16, 16, 16)).reshape(3, -1) + 0.5) / 16 - 0.5
    points = (at[:, :, None] + (steps @ part).astype(np.float32)[:, None, :]).reshape(3, -1)
    depth = cortex.depth(points)
    grey = ((depth > 0) & (depth <= cortex.thickness_mm(points))).reshape(at.shape[1], -1).mean(axis=1)
    error = (cortex.shares(at, steps)[0] - grey)[(grey > 0) & (grey < 1)]
    return float(np.sqrt((error**2).mean()))


def _jacobian_error() -> float:
    """Largest difference of the analytic derivative from finite differences."""
    warp = random_warp(np.random.default_rng(7), WARP_RMS_MM)
    points = np.random.default_rng(0).uniform(-75, 75, (3, 3000))
    columns = [
        (
            warp.pull((points + 2 * axis[:, None]).astype(np.float32)).astype(float)
            - warp.pull((points - 2 * axis[:, None]).astype(np.float32))
        )
        / 4
        for axis in np.eye(3)
    ]
    slope = np.stack(columns, axis=-1).transpose(1, 0, 2)
    return float(np.abs(warp.derivative(points.astype(np.float32)) - slope).max())
