"""A job's process that behaves as its order's analysis says: `python faults.py ORDER`. Stands in for `service.job`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from service import child
from service.order import OUTCOME_FILE, Ending, Order, Outcome


def main(path: Path) -> int:
    child.die_with_parent()
    order = Order.read(path)
    behave = order.analysis
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
    ending = Ending.UNSUITABLE if behave == "is unsuitable" else Ending.DONE
    replace(Outcome.of(order, ending, behave)).write(path.parent / OUTCOME_FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
