"""What a rule of classification says: a kind with its sentence, and what names may choose instead."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.contract import RoleKind


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind` by physics with its sentence; `open_to`: kinds that physics cannot tell from it, names decide."""

    kind: RoleKind
    sentence: str
    open_to: tuple[RoleKind, ...] = ()


def number(value: float | None) -> str:
    """A number for a sentence: no needless decimals."""
    return "?" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def timing(tr_ms: float | None, te_ms: float | None, flip_deg: float | None = None, ti_ms: float | None = None) -> str:
    """Timing for a sentence: what is known of TR, TE, TI and flip angle."""
    parts = [f"TR {number(tr_ms)} ms" if tr_ms else "", f"TE {number(te_ms)} ms" if te_ms else ""]
    parts += [f"TI {number(ti_ms)} ms" if ti_ms else "", f"flip {number(flip_deg)} degrees" if flip_deg else ""]
    return ", ".join(part for part in parts if part)
