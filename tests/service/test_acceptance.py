"""A site's acceptance test as deploy/install.md tells it, with real peers: phantom to `betz serve`, results to an
Orthanc, the study exported from there, and held against the truth.
"""

from __future__ import annotations

import io
import re
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service import acceptance, cli, demo
from tests.service.conftest import Orthanc, free_port

COARSE_MM = 4.0  # a phantom in a third of the time

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def betz(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, [str(one) for one in arguments])


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the command make a coarse phantom, and keep its truth here."""
    monkeypatch.setattr(acceptance, "RESOLUTIONS_MM", (COARSE_MM,))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def site(orthanc: Orthanc, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address of a `betz serve` that delivers to the Orthanc, and its configuration."""
    port, status_port = free_port(), free_port()
    config = tmp_path / "betz.toml"
    config.write_text(
        f"""[spool]
path = "{tmp_path / "spool"}"
reserve_mb = 100
[receive]
host = "127.0.0.1"
port = {port}
[[receive.peers]]
ae_title = "PHANTOM"
[settle]
quiet_s = 2
give_up_s = 6
[[deliver.destinations]]
name = "pacs"
ae_title = "{orthanc.ae_title}"
host = "127.0.0.1"
port = {orthanc.port}
[status]
port = {status_port}
"""
    )
    with demo.serving(config, tmp_path / "betz.log", status_port):
        yield f"BETZ@127.0.0.1:{port}", config


def exported(orthanc: Orthanc, folder: Path) -> Path:
    """The studies that the Orthanc holds, as it exports them: folders and names of its own."""
    for study in orthanc.rest("/studies"):
        address = f"http://{orthanc.host}:{orthanc.http_port}/studies/{study}/archive"
        with urllib.request.urlopen(address, timeout=60) as answer:
            zipfile.ZipFile(io.BytesIO(answer.read())).extractall(folder)
    return folder


@pytest.mark.parametrize(
    ("dialect", "spoilt", "said"),
    [
        ("siemens", (), r"volume total +\| brain .*pass\n(.*\n)*PASS (\d+) of \2\n"),
        (
            "ge",
            ("--techniques", "dwi", "--missing", "slice:17"),
            r"refused as expected: dti \(.*missing.*\)\nPASS (\d+) of \1\n",
        ),
    ],
    ids=["whole", "a slice is missing"],
)
@pytest.mark.usefixtures("coarse")
def test_an_installation_is_proved_from_sender_to_archive(
    dialect: str, spoilt: tuple[str, ...], said: str, site: tuple[str, Path], orthanc: Orthanc, tmp_path: Path
) -> None:
    address, config = site
    sent = betz("phantom", "--dialect", dialect, "--resolution", COARSE_MM, *spoilt, "--send", address)
    assert sent.exit_code == 0, sent.output
    truth = re.search(r"^truth: (.*)$", sent.stdout, re.MULTILINE)
    assert truth is not None
    demo.wait(config)
    result = betz("verify", "--dicom", exported(orthanc, tmp_path / "export"), truth[1])
    assert re.search(said, result.stdout), result.output
    assert result.exit_code == 0, result.output
    in_spool = betz("verify", "--dicom", tmp_path / "spool" / "results", truth[1])
    assert in_spool.stdout == result.stdout
