"""The house itself: licences, locks, the wheel outside the tree, no large files."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAWFUL = re.compile(
    r"BSD|MIT|Apache|PSF|Python Software Foundation|ZPL|Zope|MPL|Mozilla|ISC|HPND|CMU|Unlicense|Public Domain|CC0|zlib",
    re.IGNORECASE,
)
# distributions whose metadata name no licence; each was read at its source
READ_BY_A_PERSON = {
    "dcm2niix": "BSD-2-Clause (license.txt in the sdist)",
}


def runtime_distributions() -> set[str]:
    lock = (ROOT / "requirements.lock").read_text()
    return {match.group(1).lower() for match in re.finditer(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE)}


def licence_of(meta: importlib.metadata.PackageMetadata) -> str:
    classifiers = [c for c in meta.get_all("Classifier") or [] if c.startswith("License")]
    return " ".join([meta.get("License-Expression") or "", *classifiers, (meta.get("License") or "")[:400]])


def test_no_run_time_dependency_is_under_a_licence_that_binds_a_hospital() -> None:
    bad = {}
    for name in runtime_distributions():
        try:
            meta = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a row for another platform or Python
        licence = licence_of(meta)
        gpl = re.search(r"\b(A|L)?GPL|GNU (Lesser|Affero|General)", licence)
        if name not in READ_BY_A_PERSON and (gpl or not LAWFUL.search(licence)):
            bad[name] = licence[:80]
    assert not bad


def test_locks_hold_hashes_and_name_no_host() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        assert "http" not in text
        blocks = re.findall(r"^\S+==.*(?:\n    .*)*", text, re.MULTILINE)
        assert blocks
        assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.integration
def test_a_wheel_installed_outside_the_tree_imports_and_runs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("betz-*.whl")
    target = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    program = (
        "import analyses.registry, dicom_io, phantom, service.cli, service.status.app as app, pathlib;"
        "print(service.cli.__file__); print((pathlib.Path(app.__file__).parent / 'templates').is_dir())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    assert Path(told[0]).is_relative_to(target)
    assert told[1] == "True"
    helped = subprocess.run(
        [sys.executable, str(target / "bin" / "betz"), "--help"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "analyse" in helped.stdout


def test_no_file_is_larger_than_a_megabyte() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    large = [name for name in tracked if name and (ROOT / name).is_file() and (ROOT / name).stat().st_size > 1_048_576]
    assert not large
