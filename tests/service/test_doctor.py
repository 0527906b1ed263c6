"""The doctor: a healthy house is ok, and each illness is named with what to do."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from service import doctor
from service.archive import Archive
from service.config import Config, Deliver, Destination, Peer, Receive, Spool, StatusPage
from service.doctor import Grade, examine
from service.ledger import Ledger
from service.states import Event, Kind
from tests.service import scenes
from tests.service.conftest import free_port

pytestmark = [
    pytest.mark.integration,
    # pynetdicom 3.0.4 leaves the socket of a refused connection to the garbage collector
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]


def house(folder: Path, *destinations: Destination, **tables: object) -> Config:
    (folder / "spool").mkdir()
    values = {
        "spool": Spool(path=folder / "spool", reserve_mb=1),
        "receive": Receive(host="127.0.0.1", port=free_port(), peers=(Peer(ae_title="MR3T"),)),
        "deliver": Deliver(destinations=destinations),
        "status": StatusPage(port=free_port()),
        **tables,
    }
    return Config.model_validate(values)


def pacs(port: int, name: str = "pacs") -> Destination:
    return Destination(name=name, ae_title="PACS", host="127.0.0.1", port=port)


def graded(made_for: Config) -> dict[str, tuple[Grade, str]]:
    return {check.name: (check.grade, check.sentence) for check in examine(made_for)}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "archive", ae_title="PACS") as one:
        yield one


def test_a_healthy_house_is_ok(archive: Archive, tmp_path: Path) -> None:
    made_for = house(tmp_path, pacs(archive.port))
    Ledger(made_for.ledger_url).close()
    checks = examine(made_for)
    assert [str(check) for check in checks if check.grade is not Grade.OK] == []
    assert {"Python", "dcm2niix", "ledger", "spool", "disk", "clock", "receiver", "destination pacs"} <= {
        check.name for check in checks
    }


def test_without_a_configuration_only_the_environment_is_looked_at() -> None:
    checks = examine(None)
    assert all(check.good for check in checks)
    assert {check.name: check.grade for check in checks}["configuration"] is Grade.WARN


def test_looking_makes_no_ledger(tmp_path: Path) -> None:
    made_for = house(tmp_path)
    assert graded(made_for)["ledger"] == (Grade.OK, "not there yet; betz serve makes it")
    assert list(tmp_path.iterdir()) == [tmp_path / "spool"]


def test_a_destination_that_is_down_fails_and_the_others_are_still_asked(archive: Archive, tmp_path: Path) -> None:
    found = graded(house(tmp_path, pacs(free_port(), "down"), pacs(archive.port, "up")))
    assert found["destination down"][0] is Grade.FAIL
    assert "does not answer" in found["destination down"][1]
    assert found["destination up"][0] is Grade.OK


def test_a_missing_spool_and_a_full_disk_fail(tmp_path: Path) -> None:
    made_for = house(tmp_path, spool=Spool(path=tmp_path / "gone", reserve_mb=2**40))
    found = graded(made_for)
    assert found["spool"][0] is Grade.FAIL
    assert found["disk"][0] is Grade.FAIL


def test_a_ledger_of_another_schema_fails_with_the_way_out(tmp_path: Path) -> None:
    made_for = house(tmp_path)
    ledger = Ledger(made_for.ledger_url)
    with ledger.transaction() as connection:
        connection.exec_driver_sql("UPDATE facts SET value = '0' WHERE name = 'schema'")
    ledger.close()
    check = next(one for one in examine(made_for) if one.name == "ledger")
    assert check.grade is Grade.FAIL
    assert "--rebuild" in check.advice


def test_a_clock_behind_the_ledger_fails(tmp_path: Path) -> None:
    made_for = house(tmp_path)
    ledger = Ledger(made_for.ledger_url)
    scenes.NOW = time.time()
    scenes.happened(ledger, Kind.STUDY, "1.2", "1.2", Event.RECEIVED, "", "receiving", age_s=-3700)
    ledger.close()
    assert graded(made_for)["clock"] == (Grade.FAIL, "is 1 h 01 min behind the newest event of the ledger")


def test_ports_that_others_took_fail_and_betz_own_are_ok(tmp_path: Path) -> None:
    made_for = house(tmp_path)
    with (
        socket.create_server(("127.0.0.1", made_for.status.port)),
        socket.create_server(("127.0.0.1", made_for.receive.port)),
    ):
        doctor_of_strangers = graded(made_for)
    assert doctor_of_strangers["receiver"][0] is Grade.FAIL
    assert doctor_of_strangers["status page"][0] is Grade.FAIL
    with Archive(tmp_path / "a", made_for.receive.port, made_for.receive.ae_title):
        assert graded(made_for)["receiver"] == (Grade.OK, f"BETZ answers on port {made_for.receive.port}")
    with Archive(tmp_path / "b", made_for.receive.port, "OTHER"):
        assert graded(made_for)["receiver"][0] is Grade.FAIL


def test_nobody_to_hear_and_nobody_to_tell_are_warnings(tmp_path: Path) -> None:
    found = graded(house(tmp_path, receive=Receive(host="127.0.0.1", port=free_port())))
    assert found["senders"][0] is Grade.WARN
    assert found["destinations"][0] is Grade.WARN


def test_a_missing_dcm2niix_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.dcm2niix, "bin", "/nonexistent/dcm2niix")
    check = next(one for one in examine(None) if one.name == "dcm2niix")
    assert check.grade is Grade.FAIL
    assert not check.good


def test_a_check_reads_as_a_sentence_with_advice_below() -> None:
    check = doctor.Check("disk", Grade.FAIL, "3 GB free", "make room")
    assert click.unstyle(str(check)) == "fail  disk: 3 GB free\n      make room"
