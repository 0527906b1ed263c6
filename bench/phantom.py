"""The digital patient: what making one costs, and how fast its slices are written beside plain pydicom."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.row import Better, Row, absolute, against
from phantom.dialects import philips
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired
from phantom.dialects.stamp import encode
from phantom.plan import diffusion
from phantom.sequences.dwi import Protocol
from phantom.slab import Slab

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
SEQUENCE = diffusion(Protocol())
SLICES = 300
SIDE = 112


def rows() -> Iterator[Row]:
    """A whole patient (2 mm DWI of 34 volumes, 1 mm T1) in a process of its own; then slices against pydicom."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", MAKE, folder], check=True, capture_output=True, text=True)
    cost = json.loads(done.stdout)
    note = f"{cost['objects']} objects, {cost['wall']:.1f} s on the clock"
    yield absolute("phantom.time", cost["cpu"], Better.AT_MOST, 25.0, "CPU-s", note=note)
    yield absolute("phantom.memory", cost["gb"], Better.AT_MOST, 1.0, "GB")
    ours, peer = _written_ms()
    yield absolute("phantom.write", ours, Better.AT_MOST, 0.4, "ms CPU", peer=peer, note="one slice; peer: pydicom")
    yield against("phantom.write_ratio", ours, peer, Better.AT_MOST, 0.25, "ms CPU", note="one slice; peer: pydicom")


def _written_ms() -> tuple[float, float]:
    """CPU time of one written slice: ours, and a new pydicom dataset."""
    where = Slab.around((0, 0, 0), (SIDE, SIDE, SLICES), (2.0, 2.0, 2.0))
    acquired = Acquired(SEQUENCE, where, np.zeros((*where.shape, 1), np.uint16))
    identity = Identity("bench", 0)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        written = sum(1 for _ in philips.write(Path(folder) / "ours", acquired, identity))
        ours = (time.process_time() - began) / written
        peer = Path(folder) / "peer"
        peer.mkdir()
        began = time.process_time()
        for number in range(written):
            made = philips.dataset_of(SEQUENCE, where, identity, np.zeros(1), (100.0, 200.0))
            (peer / f"{number}.dcm").write_bytes(encode(made))
        theirs = (time.process_time() - began) / written
    return 1e3 * ours, 1e3 * theirs
