"""The command line: quick help, one sentence and exit code 2 for a fault, plain lines where nobody watches."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from service import __version__
from service.cli import main
from service.ledger import Ledger, jobs
from tests.service.studies import ROLES, series_of
from tests.service.test_explain import write

SLOW_MODULES = ("pydicom", "numpy", "distributed", "sqlalchemy", "flask", "pydantic", "scipy")


def betz(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with the tests' table of roles."""
    rules = "".join(
        f'[[roles]]\nrole = "{rule["role"]}"\nseries_description = "{rule["series_description"]}"\n' for rule in ROLES
    )
    path = tmp_path / "betz.toml"
    path.write_text(f'[spool]\npath = "{tmp_path / "spool"}"\n{rules}')
    (tmp_path / "spool").mkdir()
    return path


def add_job(config: Path, job_id: str, state: str, folder: str = "") -> Ledger:
    ledger = Ledger(f"sqlite:///{config.parent / 'betz.db'}")
    with ledger.transaction() as connection:
        connection.execute(
            jobs.insert().values(
                job_id=job_id,
                study_uid="1.2.3",
                study_version=1,
                analysis="dti",
                analysis_version="1",
                state=state,
                reason=f"why it is {state}",
                attempts=3,
                created_at=time.time(),
                folder=folder,
            )
        )
    return ledger


def test_help_needs_no_slow_module() -> None:
    look = f"import sys, service.cli; print([m for m in {SLOW_MODULES} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_names_every_command() -> None:
    told = betz("--help").output
    for command in ("serve", "demo", "analyse", "explain", "phantom", "verify", "doctor", "jobs", "replay"):
        assert f"  {command} " in told


def test_the_version_is_that_of_the_package() -> None:
    assert betz("--version").output == f"betz, version {__version__}\n"


def test_explain_prints_the_form_of_routing_json(tmp_path: Path, config: Path) -> None:
    folder = write(tmp_path / "in", *series_of())
    told = json.loads(betz("explain", folder, "--json", "--config", config).stdout)
    assert [one["role"] for one in told["series"]] == ["DWI"]
    assert [job["state"] for job in told["jobs"]] == ["not run"]


def test_explain_without_the_site_s_table_goes_by_physics(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", *series_of())
    told = json.loads(betz("explain", folder, "--json").stdout)
    assert [one["role"] for one in told["series"]] != ["DWI"]


def test_explain_has_no_colour_where_nobody_watches(tmp_path: Path) -> None:
    told = betz("explain", write(tmp_path / "in", *series_of())).output
    assert "\x1b" not in told
    assert "series 1" in told


@pytest.mark.parametrize("command", ["analyse", "explain"])
def test_a_folder_that_is_not_there_is_one_sentence_and_exit_code_2(tmp_path: Path, command: str) -> None:
    more = ["--out", tmp_path / "out"] if command == "analyse" else []
    result = betz(command, tmp_path / "nowhere", *more)
    assert result.exit_code == 2
    assert "does not exist" in result.output


def test_analysing_an_empty_folder_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    result = betz("analyse", tmp_path / "in", "--out", tmp_path / "out")
    assert (result.exit_code, result.output) == (2, f"Error: {tmp_path / 'in'} holds no DICOM series\n")
    assert not (tmp_path / "out").exists()


def test_an_analysis_that_there_is_not_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    result = betz("analyse", write(tmp_path / "in", *series_of()), "--out", tmp_path / "out", "--only", "magic")
    assert result.exit_code == 2
    assert "there is no analysis magic; there is dti" in result.output


@pytest.mark.parametrize("command", ["serve", "jobs", "doctor"])
def test_a_fault_of_the_configuration_is_told_with_its_key(tmp_path: Path, command: str) -> None:
    config = tmp_path / "betz.toml"
    config.write_text('[spool]\npath = "spool"\n[receive]\nprot = 11112\n')
    result = betz(command, "--config", config)
    assert result.exit_code == 2
    assert "receive.prot: there is no such key; did you mean port?" in result.output


def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = betz("jobs", "--config", tmp_path / "betz.toml")
    assert result.exit_code == 2
    assert "No such file" in result.output


def test_jobs_are_listed_with_state_and_reason_the_dead_alone_on_request(config: Path) -> None:
    assert betz("jobs", "--config", config).output == "no jobs\n"
    add_job(config, "dti-aa", "done").close()
    add_job(config, "dti-bb", "dead").close()
    told = betz("jobs", "--config", config).output
    assert "dti-aa  why it is done" in told
    assert "dti-bb  why it is dead" in told
    dead = betz("jobs", "--dead", "--config", config).output
    assert "dti-bb" in dead
    assert "dti-aa" not in dead


def test_a_dead_job_is_replayed(config: Path) -> None:
    ledger = add_job(config, "dti-bb", "dead", "results/1.2.3/dti-1-bb")
    assert betz("replay", "dti-bb", "--config", config).output == "dti-bb will run again\n"
    row = ledger.one(sa.select(jobs))
    assert row is not None
    assert (row["state"], row["attempts"]) == ("waiting", 0)
    ledger.close()


def test_a_job_that_is_not_there_or_did_not_end_is_not_replayed(config: Path) -> None:
    add_job(config, "dti-cc", "running", "results/1.2.3/dti-1-cc").close()
    for job, sentence in (("dti-zz", "there is no job dti-zz"), ("dti-cc", "dti-cc is running")):
        result = betz("replay", job, "--config", config)
        assert result.exit_code == 2
        assert sentence in result.output


def test_a_ledger_of_another_version_is_a_sentence(config: Path) -> None:
    ledger = add_job(config, "dti-aa", "done")
    with ledger.transaction() as connection:
        connection.execute(sa.text("UPDATE facts SET value = '0' WHERE name = 'schema'"))
    ledger.close()
    result = betz("jobs", "--config", config)
    assert result.exit_code == 2
    assert "run betz doctor --rebuild" in result.output


def test_rebuilding_needs_a_configuration() -> None:
    result = betz("doctor", "--rebuild")
    assert result.exit_code == 2
    assert "--rebuild needs --config" in result.output
