"""Who of the receivers is alive: each holds a lock on a file of its own in spool/receivers.

The kernel drops the lock when the process ends, however it ends; so what a dead receiver did not get into the ledger is
known to be missing, and its associations are known to be lost.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path


class Presence:
    """One living receiver; its token begins the ids of its associations."""

    def __init__(self, spool: Path) -> None:
        """Take a new token and its lock."""
        self.token = datetime.now(UTC).strftime("%Y%m%dT%H%M%S") + "-" + secrets.token_hex(4)
        self.path = spool / "receivers" / self.token
        hidden = self.path.with_name(f".{self.token}")
        self._file = hidden.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        hidden.rename(self.path)  # locked before it has its name: nobody can take it for a dead one's

    def leave(self, *, filed: bool) -> None:
        """End; when not everything is `filed` the token stays, and reads like one of a receiver that died."""
        if filed:
            self.path.unlink(missing_ok=True)
        self._file.close()


def departed(spool: Path) -> Iterator[tuple[str, float]]:
    """Tokens of receivers that ended without filing all they took, and since when they lived (UTC seconds)."""
    for path in sorted((spool / "receivers").glob("[0-9]*")):
        try:
            with path.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path.name, os.fstat(file.fileno()).st_mtime
        except (BlockingIOError, FileNotFoundError):
            continue


def forget(spool: Path, token: str) -> None:
    """What the departed receiver left is in the ledger now."""
    (spool / "receivers" / token).unlink(missing_ok=True)


def leave_behind(spool: Path, since: float) -> None:
    """Say that a living receiver could not file everything it took after `since` (UTC seconds)."""
    path = spool / "receivers" / (datetime.now(UTC).strftime("%Y%m%dT%H%M%S") + "-" + secrets.token_hex(4))
    path.touch()
    os.utime(path, (since, since))
