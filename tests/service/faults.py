"""A job's process that behaves as its order's analysis says: `python faults.py ORDER`. Stands in for `service.job`."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from service import child
from service.order import OUTCOME_FILE, REPORT, Ending, Order, Outcome, ResultObject


def main(path: Path, behave: str = "") -> int:
    child.die_with_parent()
    order = Order.read(path)
    behave = behave or order.analysis
    if behave == "raises":
        raise RuntimeError("the text of an error may hold a name: Doe^Jane")
    if behave == "hoards":
        hoard = bytearray(600 * child.MB)
        hoard[::4096] = b"x" * len(hoard[::4096])
        time.sleep(60)
    if behave == "hoards through a child":
        subprocess.run([sys.executable, "-c", "import time; x = b'x' * (600 * 2**20); time.sleep(60)"], check=False)
    if behave == "sleeps":
        time.sleep(60)
    if behave == "leaves a child behind":
        orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (path.parent / "orphan").write_text(str(orphan.pid))
    if behave == "kills itself":
        os.kill(os.getpid(), signal.SIGKILL)
    if behave == "kills its worker":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if behave == "says nothing":
        return 0
    if behave == "computes":
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass
    if behave == "writes in its folder":
        Path(os.environ["TMPDIR"], "patient.nii").write_text("voxels")
        (path.parent / "where").write_text(os.environ["TMPDIR"] + "\n" + os.environ["OMP_NUM_THREADS"])
    if behave == "fails twice" and len(list(path.parent.parent.iterdir())) < 3:
        return 1
    if behave in ("good", "fails twice", REPORT):
        return succeed(order, path)
    ending = Ending.UNSUITABLE if behave == "is unsuitable" else Ending.DONE
    replace(Outcome.of(order, ending, behave)).write(path.parent / OUTCOME_FILE)
    return 0


def succeed(order: Order, path: Path) -> int:
    """Leave a results folder with one object of each kind that such a job makes."""
    kinds = ("sr", "page") if order.analysis == REPORT else ("map",)
    final = Path(order.folder)
    final.mkdir(parents=True)
    objects = []
    for number, kind in enumerate(kinds, 1):
        content = f"{kind} of {order.digest}; predecessor {Path(order.predecessor).name}; runs {order.runs}".encode()
        (final / f"{kind}.dcm").write_bytes(content)
        uid = f"2.25.{int(order.digest, 16)}{number}"
        objects.append(ResultObject(uid, "1.2.3", f"{uid}.1", kind, f"{kind}.dcm", hashlib.sha256(content).hexdigest()))
    outcome = replace(Outcome.of(order, Ending.DONE, ""), objects=tuple(objects))
    outcome.write(final / OUTCOME_FILE)
    outcome.write(path.parent / OUTCOME_FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1]), sys.argv[1].removeprefix("as ") if len(sys.argv) > 2 else ""))
