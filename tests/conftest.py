"""Fixtures that every room of tests uses: where the real scanner data lies, and the peers' programs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(os.environ.get("BETZ_DATA", Path.home() / ".cache" / "betz-data"))


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """Folder of a real data set by name; the test is skipped where the data set is not unpacked."""

    def find(name: str) -> Path:
        folder = DATA / name
        if not folder.is_dir():
            pytest.skip(f"real data set {name} is not unpacked in $BETZ_DATA")
        return folder

    return find


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Path of a peer's program: Debian's, else this environment's (dcmqi); missing = the test fails."""

    def find(name: str) -> str:
        places = ["/usr/bin", "/usr/sbin", "/usr/lib/orthanc", str(Path(sys.executable).parent)]
        found = shutil.which(name, path=":".join(places)) or shutil.which(name)
        assert found, f"{name} is missing: run deploy/test-packages.sh"
        return found

    return find
