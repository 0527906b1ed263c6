"""A wrong configuration is explained, all of it at once; the one that we ship explains every key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from service.config import LEDGER_URL_VARIABLE, Config, ConfigError, Spool, load

SHIPPED = Path(__file__).parents[2] / "deploy" / "betz.toml"
EXAMPLES = {"spool.path", "receive.peers", "roles", "deliver.destinations"}  # a site must decide these itself


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "betz.toml"
    path.write_text('[spool]\npath = "/srv/betz/spool"\n' + text)
    return load(path)


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config(tmp_path, text)
    return str(error.value).splitlines()


def model_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def keys_of_model(table: type[BaseModel], place: str = "") -> set[str]:
    found = set()
    for name, field in table.model_fields.items():
        found.add(f"{place}{name}")
        if inner := model_of(field.annotation):
            found |= keys_of_model(inner, f"{place}{name}.")
    return found


def keys_of_file(table: dict[str, Any], place: str = "") -> set[str]:
    found = set()
    for name, value in table.items():
        found.add(f"{place}{name}")
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                found |= keys_of_file(inner, f"{place}{name}.")
    return found


def test_the_shipped_file_has_every_key_and_no_other() -> None:
    assert keys_of_file(tomllib.loads(SHIPPED.read_text())) == keys_of_model(Config)


def test_the_shipped_file_shows_the_defaults(tmp_path: Path) -> None:
    shipped, bare = load(SHIPPED).model_dump(), config(tmp_path, "").model_dump()
    for place in EXAMPLES:
        table, _, key = place.rpartition(".")
        for one in (shipped, bare):
            (one[table] if table else one).pop(key)
    assert shipped == bare


def test_every_fault_is_named_with_its_line_its_value_and_what_was_expected(tmp_path: Path) -> None:
    said = faults(
        tmp_path,
        "\n".join(
            (
                "reserve_mb = -1",  # line 3
                "[receive]",
                'port = "11112"',
                "processes = true",
                "[[receive.peers]]",
                'ae_title = "GOOD"',
                "[[receive.peers]]",
                'ae_title = "MUCH TOO LONG FOR AN AE"',
                'addresses = ["10.1.2.0/24", "10.1.2.3.4"]',
                "[[deliver.destinations]]",
                'name = "pacs"',
                'kinds = ["sr", "pages"]',
                "[settle]",
                "quite_s = 5",
            )
        ),
    )
    wanted = (
        ":3: spool.reserve_mb = -1: should be greater than or equal to 0",
        ':5: receive.port = "11112": should be a valid integer',
        ":6: receive.processes = true: should be a valid integer",
        ":10: receive.peers.1.ae_title",
        ':11: receive.peers.1.addresses.1 = "10.1.2.3.4": this is neither an address',
        ":12: deliver.destinations.0.ae_title: this key is needed",
        ":12: deliver.destinations.0.host: this key is needed",
        ':14: deliver.destinations.0.kinds.1 = "pages": must be one of: sr, map, page',
        ":16: settle.quite_s: there is no such key; did you mean quiet_s?",
    )
    for sentence in wanted:
        assert any(sentence in line for line in said), (sentence, said)
    assert len(said) == len(wanted) + 1, said  # and the port of the destination


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[ledger]\nurl = "postgresql+pg8000://betz:Geheimwort@db/betz"', "a password has no place in this file"),
        ('[ledger]\nurl = "mysql://db/betz"', "must begin with one of: sqlite://"),
        ('[ledger]\nurl_file = "/nowhere/url"', "there is no such file"),
        ("[settle]\nquiet_s = 60\ngive_up_s = 5", "give_up_s (5) must not be shorter than quiet_s (60)"),
        ('[[roles]]\nrole = "DWI"', "true for every series"),
        ('[[roles]]\nrole = "DWI"\nprotocol_name = "("', "no regular expression"),
        ('[[roles]]\nrole = "dti"\nprotocol_name = "x"', "must be one of: T1, T2"),
        ('[site]\ntimezone = "CET"', "an offset from UTC like +0100"),
        ("[site\n", "not TOML"),
        ("[engine]\nworkers = 0", "greater than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert any(sentence in line for line in faults(tmp_path, text)), faults(tmp_path, text)


def test_a_secret_is_never_repeated(tmp_path: Path) -> None:
    assert "Geheimwort" not in "".join(
        faults(tmp_path, '[ledger]\nurl = "postgresql+pg8000://betz:Geheimwort@db/betz"')
    )


def test_two_destinations_of_one_name_are_refused(tmp_path: Path) -> None:
    one = '[[deliver.destinations]]\nname = "pacs"\nae_title = "A"\nhost = "h"\nport = 104\n'
    assert "two destinations are called pacs" in faults(tmp_path, one + one)[0]


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nowhere.toml")


def test_a_relative_spool_is_found_from_every_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Spool(path=Path("spool")).path == tmp_path / "spool"


def test_the_ledger_url_comes_from_environment_file_key_or_beside_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LEDGER_URL_VARIABLE, raising=False)
    assert config(tmp_path, "").ledger_url == "sqlite:////srv/betz/betz.db"
    keyed = config(tmp_path, '[ledger]\nurl = "sqlite:////other.db"')
    assert keyed.ledger_url == "sqlite:////other.db"
    secret = tmp_path / "url"
    secret.write_text("postgresql+pg8000://betz:word@db/betz\n")
    filed = config(tmp_path, f'[ledger]\nurl_file = "{secret}"')
    assert filed.ledger_url == "postgresql+pg8000://betz:word@db/betz"
    monkeypatch.setenv(LEDGER_URL_VARIABLE, "sqlite:////environment.db")
    assert filed.ledger_url == "sqlite:////environment.db"
