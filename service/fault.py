"""What may be said of a fault in a log or a reason: its kind and place. Its text may hold a header's value."""

from __future__ import annotations

import traceback
from pathlib import Path


def place(error: BaseException) -> str:
    """Kind and innermost place: "ValueError in tensor.py line 33"."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def path_to(error: BaseException) -> str:
    """Kind and all places from the rim to the fault, for a log."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: " + " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)
