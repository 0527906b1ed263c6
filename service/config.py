"""Configuration: one TOML file, typed; every fault at once, each with its key, line, value and what was expected.

`deploy/betz.toml` documents every key. Secrets never stand in the TOML; they come from files that it names, or the environment.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

AETitle = Annotated[str, StringConstraints(pattern=r"^[\x20-\x5b\x5d-\x7e]{1,16}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
OBJECT_KINDS = ("sr", "map", "page")


def _network(text: str) -> str:
    ip_network(text, strict=False)
    return text


Network = Annotated[str, AfterValidator(_network)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(_Table):
    """Who we are in the objects we make."""

    name: str = "unnamed site"
    device_serial: str = "betz-1"
    timezone: str = ""  # +hhmm, used when a source has no TimezoneOffsetFromUTC


class Spool(_Table):
    """Where everything lies."""

    path: Path
    reserve_mb: Annotated[int, Field(ge=0)] = 5120  # below it the receiver answers 0xA700


class LedgerSettings(_Table):
    """Database; empty = SQLite beside the spool."""

    url: str = ""


class Peer(_Table):
    """Somebody who may send to us."""

    ae_title: AETitle
    addresses: tuple[Network, ...] = ("127.0.0.1/32", "::1/128")


class Receive(_Table):
    """The Storage and Verification SCP."""

    ae_title: AETitle = "BETZ"
    host: str = "0.0.0.0"  # noqa: S104  scanners connect from outside; who may is in `peers`
    port: Port = 11112
    processes: Annotated[int, Field(ge=1, le=32)] = 2
    max_associations: Annotated[int, Field(ge=1)] = 20
    idle_timeout_s: Seconds = 60
    peers: tuple[Peer, ...] = ()


class Settle(_Table):
    """When a study is whole."""

    quiet_s: Seconds = 60
    give_up_s: Seconds = 900


class Engine(_Table):
    """Where analyses run."""

    scheduler: str = ""  # tcp://…; empty = a cluster of our own
    workers: Annotated[int, Field(ge=1)] = 1
    threads: Annotated[int, Field(ge=0)] = 0  # 0 = all cores
    memory_mb: Annotated[int, Field(ge=0)] = 0  # 0 = three quarters of the machine's


class Destination(_Table):
    """A PACS (or anything with a Storage SCP) that gets results."""

    name: str
    ae_title: AETitle
    host: str
    port: Port
    calling_ae_title: AETitle = "BETZ"
    kinds: tuple[str, ...] = OBJECT_KINDS
    confirm: bool = True  # delivered means found again by query


class Deliver(_Table):
    """Results on their way out."""

    destinations: tuple[Destination, ...] = ()
    first_retry_s: Seconds = 60
    longest_retry_s: Seconds = 3600


class StatusPage(_Table):
    """The page for hospital IT; loopback unless configured."""

    host: str = "127.0.0.1"
    port: Port = 8042


class RoleRule(_Table):
    """A site's own word on what a series is; regular expressions, all that are given must match."""

    role: str
    body: str = "brain"
    manufacturer: str = ""
    series_description: str = ""
    protocol_name: str = ""
    sequence_name: str = ""


class Config(_Table):
    """All of betz.toml."""

    site: Site = Site()
    spool: Spool
    ledger: LedgerSettings = LedgerSettings()
    receive: Receive = Receive()
    settle: Settle = Settle()
    roles: tuple[RoleRule, ...] = ()
    engine: Engine = Engine()
    deliver: Deliver = Deliver()
    status: StatusPage = StatusPage()

    @property
    def ledger_url(self) -> str:
        """URL of the ledger: $BETZ_LEDGER_URL (it may hold a password), the file's, or SQLite beside the spool."""
        return os.environ.get("BETZ_LEDGER_URL") or self.ledger.url or f"sqlite:///{self.spool.path.parent / 'betz.db'}"


class ConfigError(Exception):
    """What is wrong in the file, one sentence a line."""


def load(path: Path) -> Config:
    """Read and check a configuration file; `ConfigError` names every fault."""
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(_sentence(path, text, fault) for fault in error.errors())
        raise ConfigError(faults) from None


def _sentence(path: Path, text: str, fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    key = str(fault["loc"][-1])
    line = next((n for n, row in enumerate(text.splitlines(), 1) if row.split("=")[0].strip() == key), None)
    where = f"{path}:{line}" if line else str(path)
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _known_keys(Config), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{where}: {place}: there is no such key{hint}"
    if fault["type"] == "missing":
        return f"{where}: {place}: this key is needed"
    return f"{where}: {place} = {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _known_keys(table: type[BaseModel]) -> Iterator[str]:
    for name, field in table.model_fields.items():
        yield name
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                yield from _known_keys(candidate)
