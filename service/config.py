"""Configuration: one TOML file, typed; every fault at once, each with its key, line, value and what was expected.

`deploy/betz.toml` documents every key. Secrets never stand in the TOML: they come from files that it names, or from
the environment.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from analyses.contract import Body, RoleKind

AE_TITLE = re.compile(r"(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )")  # PS3.5 table 6.2-1; spaces at the ends mean nothing
TIMEZONE = re.compile(r"[+-](0[0-9]|1[0-4])[0-5][0-9]|")  # PS3.3 C.12.1.1.8
LEDGERS = ("sqlite", "postgresql+pg8000")
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
LEDGER_URL_VARIABLE = "BETZ_LEDGER_URL"
OBJECT_KINDS = ("sr", "map", "page")


def _ae_title(text: str) -> str:
    if not AE_TITLE.fullmatch(text):
        raise ValueError("an AE title has 1 to 16 ASCII characters, no backslash, no space at its ends")
    return text


def _network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError("this is neither an address like 10.1.2.3 nor a network like 10.1.2.0/24") from None
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"this is no regular expression: {error}") from None
    return text


def _one_of(text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise ValueError(f"must be one of: {', '.join(allowed)}")
    return text


def _timezone(text: str) -> str:
    if not TIMEZONE.fullmatch(text):
        raise ValueError("must be an offset from UTC like +0100")
    return text


def _ledger_url(text: str) -> str:
    if not text:
        return text
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise ValueError("this is no database URL like sqlite:////var/lib/betz/betz.db") from None
    if url.drivername not in LEDGERS:
        raise ValueError(f"must begin with one of: {', '.join(f'{name}://' for name in LEDGERS)}")
    return text


AETitle = Annotated[str, AfterValidator(_ae_title)]
Network = Annotated[str, AfterValidator(_network)]
Pattern = Annotated[str, AfterValidator(_pattern)]
ObjectKind = Annotated[str, AfterValidator(lambda text: _one_of(text, OBJECT_KINDS))]
RoleName = Annotated[str, AfterValidator(lambda text: _one_of(text, tuple(RoleKind)))]
BodyName = Annotated[str, AfterValidator(lambda text: _one_of(text, tuple(Body)))]
Timezone = Annotated[str, AfterValidator(_timezone)]
LedgerUrl = Annotated[str, AfterValidator(_ledger_url)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(_Table):
    """Who we are in the objects we make."""

    name: str = "unnamed site"
    device_serial: str = "betz-1"
    timezone: Timezone = ""  # +hhmm, used when a source has no TimezoneOffsetFromUTC


class Spool(_Table):
    """Where everything lies."""

    path: Annotated[Path, AfterValidator(Path.absolute)]  # jobs have a working folder of their own
    reserve_mb: Annotated[int, Field(ge=0)] = 5120  # below it the receiver answers 0xA700


class LedgerSettings(_Table):
    """Database; empty = SQLite beside the spool."""

    url: LedgerUrl = ""
    url_file: str = ""  # a file that holds the URL, for one with a password

    @model_validator(mode="after")
    def _no_secret(self) -> Self:
        if self.url and sa.make_url(self.url).password is not None:
            raise ValueError("a password has no place in this file: put the URL into a file and name it in url_file")
        if self.url and self.url_file:
            raise ValueError("url and url_file exclude each other")
        return self


class Peer(_Table):
    """Somebody who may send to us."""

    ae_title: AETitle
    addresses: tuple[Network, ...] = ("127.0.0.1/32", "::1/128")


class Receive(_Table):
    """The Storage and Verification SCP."""

    ae_title: AETitle = "BETZ"
    host: str = "0.0.0.0"  # scanners connect from outside; who may is in `peers`
    port: Port = 11112
    processes: Annotated[int, Field(ge=1, le=32)] = 2
    max_associations: Annotated[int, Field(ge=1)] = 20  # at once, in each process
    idle_timeout_s: Seconds = 60
    peers: tuple[Peer, ...] = ()


class Settle(_Table):
    """When a study is whole."""

    quiet_s: Seconds = 60
    give_up_s: Seconds = 900

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.give_up_s < self.quiet_s:
            raise ValueError(f"give_up_s ({self.give_up_s:g}) must not be shorter than quiet_s ({self.quiet_s:g})")
        return self


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
    kinds: tuple[ObjectKind, ...] = OBJECT_KINDS
    confirm: bool = True  # delivered means found again by query


class Deliver(_Table):
    """Results on their way out."""

    destinations: tuple[Destination, ...] = ()
    first_retry_s: Seconds = 60
    longest_retry_s: Seconds = 3600

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [destination.name for destination in self.destinations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two destinations are called {twice[0]}: deliveries are remembered by that name")
        return self


class StatusPage(_Table):
    """The page for hospital IT; loopback unless configured."""

    host: str = "127.0.0.1"
    port: Port = 8042


class RoleRule(_Table):
    """A site's own word on what a series is; regular expressions, all that are given must match."""

    role: RoleName
    body: BodyName = "brain"
    manufacturer: Pattern = ""
    series_description: Pattern = ""
    protocol_name: Pattern = ""
    sequence_name: Pattern = ""

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if not (self.manufacturer or self.series_description or self.protocol_name or self.sequence_name):
            raise ValueError("a rule without any expression would be true for every series")
        return self


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
        """URL of the ledger: $BETZ_LEDGER_URL, `ledger.url_file`'s, `ledger.url`, or SQLite beside the spool."""
        if from_environment := os.environ.get(LEDGER_URL_VARIABLE):
            return from_environment
        if self.ledger.url_file:
            return Path(self.ledger.url_file).read_text("utf-8").strip()
        return self.ledger.url or f"sqlite:///{self.spool.path.parent / 'betz.db'}"


class ConfigError(Exception):
    """What is wrong in the file, one sentence a line."""


def load(path: Path) -> Config:
    """Read and check a configuration file; `ConfigError` names every fault."""
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    try:
        # by way of JSON, where strict means what a reader of TOML means: "11112" is no number, true is no number
        config = Config.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        faults = "\n".join(_sentence(path, text, fault) for fault in error.errors())
        raise ConfigError(faults) from None
    if config.ledger.url_file and not Path(config.ledger.url_file).is_file():
        raise ConfigError(f"{path}: ledger.url_file = {config.ledger.url_file!r}: there is no such file")
    return config


def _sentence(path: Path, text: str, fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    line = _line_of(text, fault["loc"])
    where = f"{path}:{line}" if line else str(path)
    key = str(fault["loc"][-1])
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, [*_known_keys(Config)], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{where}: {place}: there is no such key{hint}"
    if fault["type"] == "missing":
        return f"{where}: {place}: this key is needed"
    wanted = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    value = "" if isinstance(fault["input"], dict) else f" = {json.dumps(fault['input'], ensure_ascii=False)}"
    return f"{where}: {place}{value}: {wanted}"


def _line_of(text: str, location: tuple[str | int, ...]) -> int | None:
    """Line of the key, or of the table that should hold it; keys written inline have the line of their table."""
    best: tuple[int, int] | None = None
    table: tuple[str | int, ...] = ()
    seen: dict[str, int] = {}
    for number, row in enumerate(text.splitlines(), 1):
        if header := re.fullmatch(r"\s*(\[\[?)\s*([\w.-]+)\s*\]\]?\s*(#.*)?", row):
            table = tuple(header[2].split("."))
            if header[1] == "[[":
                seen[header[2]] = seen.get(header[2], -1) + 1
                table = (*table, seen[header[2]])
            here = table
        elif key := re.match(r"\s*([\w-]+)\s*=", row):
            here = (*table, key[1])
        else:
            continue
        if location[: len(here)] == here and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return best[1] if best else None


def _known_keys(table: type[BaseModel]) -> Iterator[str]:
    for name, field in table.model_fields.items():
        yield name
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                yield from _known_keys(candidate)
