"""How the status page words times, sizes and names. A UID is shortened: enough to tell studies apart."""

from __future__ import annotations

from datetime import datetime

SHORT_UID = 8
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
SIZES = ("B", "kB", "MB", "GB", "TB")


def short_uid(uid: str) -> str:
    """Return the end of a UID, where UIDs of one scanner differ."""
    return uid if len(uid) <= SHORT_UID + 1 else f"…{uid[-SHORT_UID:]}"


def duration(seconds: float) -> str:
    """How long, in the two largest units."""
    whole = max(0, int(seconds))
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02d} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def moment(at: float) -> str:
    """Date and time of this machine's zone."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(at: float) -> str:
    """Machine-readable form of a moment."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def size(n: float) -> str:
    """Bytes in the unit that a person says."""
    unit = 0
    while n >= 1000 and unit < len(SIZES) - 1:
        n, unit = n / 1000, unit + 1
    return f"{n:.0f} {SIZES[unit]}" if n >= 10 or unit == 0 else f"{n:.1f} {SIZES[unit]}"


def count(n: int, noun: str, nouns: str = "") -> str:
    """Number and noun: "1 study", "2 studies"."""
    return f"{n} {noun if n == 1 else nouns or noun + 's'}"


def sentence(text: str) -> str:
    """Text with a capital first letter."""
    return text[:1].upper() + text[1:]
