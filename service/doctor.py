"""`betz doctor`: is everything there that Betz needs, and do its peers answer? One sentence a check, with advice.

Changes nothing; `betz doctor --rebuild` (service.ledger.rebuild) is another thing.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

import click
import dcm2niix
import sqlalchemy as sa

from service import __version__
from service.config import Config, Destination
from service.ledger import Ledger
from service.peer import Down, Peer
from service.status.readiness import Condition, conditions
from service.status.wording import count, duration
from service.tables import deliveries, events

OLDEST_PYTHON = (3, 11)
RUN_WITHIN_S = 20.0
PROBE_WITHIN_S = 3.0
ECHO_WITHIN_S = 10.0
BUILT_IN = 2026  # a clock before the year of this version is wrong
CLOCK_MAY_LAG_S = 5.0  # behind the newest event of the ledger
DICOM_PROBE = "BETZDOCTOR"


class Grade(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"  # Betz works, but perhaps not as it was meant
    FAIL = "fail"


COLOURS = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "red"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` says what to do when it is not ok."""

    name: str
    grade: Grade
    sentence: str
    advice: str = ""

    @property
    def good(self) -> bool:
        """Whether Betz can work with this."""
        return self.grade is not Grade.FAIL

    def __str__(self) -> str:
        line = f"{click.style(f'{self.grade:<4}', fg=COLOURS[self.grade], bold=True)}  {self.name}: {self.sentence}"
        return f"{line}\n      {self.advice}" if self.advice else line


def examine(config: Config | None) -> list[Check]:
    """Look at the environment, and with a configuration at everything that it names."""
    checks = [_python(), _dcm2niix(), *_clock_alone()]
    if config is None:
        checks.append(Check("configuration", Grade.WARN, "not looked at", "give it with --config"))
        return checks
    checks += _configuration(config)
    checks += _house(config)
    checks += [_receive_port(config), _status_port(config)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        checks += pool.map(_destination, config.deliver.destinations)
    return checks


def _house(config: Config) -> Iterator[Check]:
    """Ledger, spool and disk, and what the ledger tells of the clock and of the destinations."""
    database = sa.make_url(config.ledger_url)
    if database.get_backend_name() == "sqlite" and not Path(database.database or "").exists():
        # looking must not make it
        yield Check("ledger", Grade.OK, "not there yet; betz serve makes it")
        yield from (_of_condition(one) for one in conditions(config, None))
        return
    opened: list[Ledger] = []

    def ledger() -> Ledger:
        opened.append(Ledger(config.ledger_url))
        return opened[0]

    yield from (_of_condition(one) for one in conditions(config, ledger))
    for one in opened:
        yield from _clock_behind(one)
        yield from _orphans(one, config)
        one.close()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        return Check("Python", Grade.FAIL, f"{version}, {needed} or newer is needed", "make the environment again")
    return Check("Python", Grade.OK, f"{version}, Betz {__version__}")


def _dcm2niix() -> Check:
    advice = "install Betz's requirements again: the wheel dcm2niix carries the program"
    try:
        done = subprocess.run(
            [dcm2niix.bin, "--version"], capture_output=True, text=True, timeout=RUN_WITHIN_S, check=False
        )
    except OSError as error:
        return Check("dcm2niix", Grade.FAIL, f"does not start: {error.strerror}", advice)
    except subprocess.TimeoutExpired:
        return Check("dcm2niix", Grade.FAIL, f"did not answer within {RUN_WITHIN_S:.0f} s", advice)
    lines = done.stdout.split()
    version = next((word for word in reversed(lines) if word.startswith("v")), "")
    if not version:
        return Check("dcm2niix", Grade.FAIL, f"ended with code {done.returncode} and no version", advice)
    return Check("dcm2niix", Grade.OK, version)


def _configuration(config: Config) -> Iterator[Check]:
    if not config.receive.peers:
        yield Check("senders", Grade.WARN, "nobody is allowed to send", "add a [[receive.peers]] for each scanner")
    else:
        names = ", ".join(peer.ae_title for peer in config.receive.peers)
        yield Check("senders", Grade.OK, f"{names} may send to {config.receive.ae_title}")
    if not config.deliver.destinations:
        advice = "add a [[deliver.destinations]]; until then results stay in the spool"
        yield Check("destinations", Grade.WARN, "there is none", advice)
    if not _is_loopback(config.status.host):
        advice = "it names no patient, but let only hospital IT reach it: it asks for no password"
        yield Check("status page", Grade.WARN, f"can be reached from outside ({config.status.host})", advice)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _of_condition(condition: Condition) -> Check:
    return Check(condition.name, Grade.OK if condition.met else Grade.FAIL, condition.sentence, condition.advice)


def _clock_alone() -> Iterator[Check]:
    now = datetime.now(UTC).astimezone()
    zone = now.strftime("%z")
    if now.year < BUILT_IN:
        yield Check("clock", Grade.FAIL, f"says {now:%Y-%m-%d %H:%M}", "set it, and let NTP keep it")
    yield Check("time zone", Grade.OK, f"{now.tzname()} ({zone}), it is {now:%Y-%m-%d %H:%M:%S}")


def _clock_behind(ledger: Ledger) -> Iterator[Check]:
    row = ledger.one(sa.select(sa.func.max(events.c.at).label("at")))
    lag_s = (row["at"] or 0.0) - time.time() if row else 0.0
    if lag_s > CLOCK_MAY_LAG_S:
        advice = "set the clock, and let NTP keep it: waits and retries follow it"
        yield Check("clock", Grade.FAIL, f"is {duration(lag_s)} behind the newest event of the ledger", advice)
    else:
        yield Check("clock", Grade.OK, "not behind the ledger")


def _orphans(ledger: Ledger, config: Config) -> Iterator[Check]:
    known = [one.name for one in config.deliver.destinations]
    query = (
        sa.select(deliveries.c.destination, sa.func.count().label("n"))
        .where(deliveries.c.state.in_(("queued", "held", "sending")), deliveries.c.destination.not_in(known))
        .group_by(deliveries.c.destination)
    )
    for row in ledger.all(query):
        sentence = f"{count(row['n'], 'object')} for {row['destination']}, which is not in the configuration"
        yield Check("deliveries", Grade.WARN, sentence, "give the destination back its name, or leave them")


def _receive_port(config: Config) -> Check:
    receive = config.receive
    place = f"port {receive.port}"
    refusal = _cannot_bind(receive.host, receive.port)
    if refusal is None:
        return Check("receiver", Grade.OK, f"{place} is free")
    if "in use" not in refusal:
        return Check("receiver", Grade.FAIL, f"{place}: {refusal}", "take another port, or give Betz the right to this")
    ourselves = Destination(
        name="receiver",
        ae_title=receive.ae_title,
        host=_reachable(receive.host),
        port=receive.port,
        calling_ae_title=receive.peers[0].ae_title if receive.peers else DICOM_PROBE,
    )
    try:
        Peer(ourselves, PROBE_WITHIN_S).echo()
    except Down as down:
        if "rejects the association" in down.reason and "Called AE" not in down.reason:
            return Check(
                "receiver", Grade.OK, f"{receive.ae_title} listens on {place}; this machine may not send to it"
            )
        return Check(
            "receiver", Grade.FAIL, f"{place} is taken, and not by {receive.ae_title}", "end what listens there"
        )
    return Check("receiver", Grade.OK, f"{receive.ae_title} answers on {place}")


def _status_port(config: Config) -> Check:
    place = f"port {config.status.port}"
    refusal = _cannot_bind(config.status.host, config.status.port)
    if refusal is None:
        return Check("status page", Grade.OK, f"{place} is free")
    address = f"http://{_reachable(config.status.host)}:{config.status.port}/healthz"
    try:
        with urllib.request.urlopen(address, timeout=PROBE_WITHIN_S) as answer:
            ours = answer.read(16) == b"ok\n"
    except (OSError, urllib.error.URLError, ValueError):
        ours = False
    if ours:
        return Check("status page", Grade.OK, f"answers on {place}")
    return Check("status page", Grade.FAIL, f"{place}: {refusal}", "end what listens there, or take another port")


def _cannot_bind(host: str, port: int) -> str | None:
    """Why a port cannot be listened on; None when it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
            one.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _reachable(host: str) -> str:
    """Address of this machine where it listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _destination(destination: Destination) -> Check:
    name = f"destination {destination.name}"
    try:
        Peer(destination, ECHO_WITHIN_S).echo()
    except Down as down:
        advice = f"nothing is lost meanwhile. Is it configured there that {destination.calling_ae_title} may send?"
        return Check(name, Grade.FAIL, down.reason, advice)
    return Check(name, Grade.OK, f"{destination.ae_title} answers at {destination.host}:{destination.port}")
