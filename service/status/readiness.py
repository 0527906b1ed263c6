"""Can this Betz do its work? The same few questions for `/readyz` and `betz doctor`: ledger, spool, disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from service.config import Config
from service.ledger import Ledger
from service.status.overview import disk
from service.status.wording import size
from service.tables import SCHEMA, facts


@dataclass(frozen=True, slots=True)
class Condition:
    """One question and its answer."""

    name: str
    met: bool
    sentence: str
    advice: str = ""


def conditions(config: Config, ledger: Callable[[], Ledger] | None) -> Iterator[Condition]:
    """Ask all; `ledger` opens it and may raise what opening a ledger raises, None leaves the ledger out."""
    if ledger is not None:
        yield _ledger(ledger)
    yield _spool(config)
    yield _disk(config)


def _ledger(ledger: Callable[[], Ledger]) -> Condition:
    try:
        row = ledger().one(sa.select(facts.c.value).where(facts.c.name == "schema"))
    except sa.exc.SQLAlchemyError as error:
        # the first line only: the rest repeats the statement, and an address may hold a user's name
        why = str(getattr(error, "orig", None) or error).splitlines()[0]
        return Condition("ledger", False, f"cannot be reached: {why}", "check ledger.url, and that its database runs")
    except ImportError as error:
        return Condition("ledger", False, f"has no driver: {error}", "install betz[postgres]")
    except ValueError as error:
        return Condition("ledger", False, str(error), "run betz doctor --rebuild")
    held = row["value"] if row else "none"
    if held != str(SCHEMA):
        return Condition("ledger", False, f"has schema {held}, {SCHEMA} is needed", "run betz doctor --rebuild")
    return Condition("ledger", True, f"reached, schema {held}")


def _spool(config: Config) -> Condition:
    path = config.spool.path
    if not path.is_dir():
        return Condition("spool", False, f"{path} is not a folder", "make or mount it, or correct spool.path")
    if not os.access(path, os.W_OK | os.X_OK):
        return Condition("spool", False, f"{path} cannot be written", "give Betz's user the right to write there")
    return Condition("spool", True, f"{path} can be written")


def _disk(config: Config) -> Condition:
    room = disk(config)
    sentence = f"{size(room.free)} of {size(room.total)} free, reserve {size(room.reserve)}"
    advice = "" if room.enough else "make room: below the reserve senders are answered 0xA700"
    return Condition("disk", room.enough, sentence, advice)
