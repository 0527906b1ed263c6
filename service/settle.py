"""Is the study whole? Evidence in order of strength, the strongest that is there wins, and the decision says which.

Complete by its own headers and released · released and quiet for `settle.quiet_s` · quiet for `settle.give_up_s`.
A study settles when each of its series has, and nobody who sent to it is still connected. Also here: the ledger
catches up with a spool that knows more than it does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from dicom_io.completeness import Completeness, completeness
from dicom_io.header import Unreadable
from service import headers
from service.arrivals import BATCH, arrival_of
from service.config import Config
from service.ledger import Ledger, Row, associations, enter, instances, series, studies
from service.presence import departed, forget
from service.spool import Spool, is_uid
from service.states import Event, InstanceState, Kind, SeriesState, StudyState

LOG = logging.getLogger("betz.settle")
RELEASED, LOST, UNKNOWN = "released", "lost", "unknown"
CLOCK_MARGIN_S = 2.0  # file times come from the kernel's coarse clock


@dataclass(frozen=True, slots=True)
class Standing:
    """What the network knows of a series or a study."""

    connected: bool  # somebody who sent to it still is
    ends: tuple[str, ...]  # how the other associations ended, each once, sorted; "unknown" for what was found on disk
    quiet_s: float

    @property
    def released(self) -> bool:
        """Whether every sender said goodbye."""
        return not self.connected and set(self.ends) == {RELEASED}

    @property
    def farewell(self) -> str:
        """How the senders ended, in words."""
        return "an association still open" if self.connected else f"association {' and '.join(self.ends)}"


def settle_due(ledger: Ledger, spool: Spool, config: Config, now: float) -> list[str]:
    """Settle every series and study that has evidence enough at `now` (UTC seconds); the studies that settled."""
    receiving = ledger.all(sa.select(studies).where(studies.c.state == StudyState.RECEIVING))
    return [study["study_uid"] for study in receiving if _settle_study(ledger, spool, config, study, now)]


def reconcile(ledger: Ledger, spool: Spool) -> int:
    """Enter what the spool has and the ledger has not; how many instances.

    The first time for a `Spool` it looks at everything. After that there is something to do only when a receiver went
    without filing what it took; its associations are lost then.
    """
    gone = list(departed(spool.path))
    if spool.reconciled and not gone:
        return 0
    since = min(lived for _, lived in gone) - CLOCK_MARGIN_S if spool.reconciled else 0.0
    filed = 0
    for folder in spool.series_folders(since):
        filed += _enter_missing(ledger, spool, sorted(folder.glob("*.dcm")), _known_paths(ledger, spool, folder))
    held = ledger.all(sa.select(instances.c.path).where(instances.c.state == InstanceState.QUARANTINED))
    filed += _enter_missing(ledger, spool, spool.quarantined(since), {row["path"] for row in held})
    for token, _ in gone:
        _lose(ledger, token, time.time())
        forget(spool.path, token)
    spool.reconciled = True
    if filed:
        LOG.info("ledger.caught_up instances=%d", filed)
    return filed


def evidence(standing: Standing, judged: Completeness, quiet_s: float, give_up_s: float) -> str | None:
    """Why a series is taken as whole now, as a sentence; None = it is not yet."""
    if judged.complete and standing.released:
        return f"complete by its own headers, {standing.farewell}: {judged.sentence}"
    if not standing.connected and standing.quiet_s >= quiet_s:
        return f"{standing.farewell} and quiet for {standing.quiet_s:.0f} s: {judged.sentence}"
    if standing.quiet_s >= give_up_s:
        return f"{standing.farewell} but quiet for {standing.quiet_s:.0f} s: {judged.sentence}"
    return None


def _settle_study(ledger: Ledger, spool: Spool, config: Config, study: Row, now: float) -> bool:
    settings = config.settle
    senders = _senders(ledger, study["study_uid"])
    for row in ledger.all(
        sa.select(series).where(series.c.study_uid == study["study_uid"], series.c.state == SeriesState.OPEN)
    ):
        here = [sender for sender in senders if sender["series_uid"] == row["series_uid"]]
        standing = _standing(here, now - row["last_instance_at"])
        due = standing.quiet_s >= (settings.give_up_s if standing.connected else settings.quiet_s)
        if not due and not standing.released:
            continue
        judged = _judge(ledger, spool, row)
        reason = evidence(standing, judged, settings.quiet_s, settings.give_up_s)
        if reason is not None:
            _settle_series(ledger, row, reason)
    standing = _standing(senders, now - study["last_instance_at"])
    if standing.connected and standing.quiet_s < settings.give_up_s:
        return False
    return _settle_if_all_have(ledger, study["study_uid"], standing)


def _settle_series(ledger: Ledger, judged: Row, reason: str) -> None:
    """Settle a series unless an instance came since it was judged."""
    key = judged["series_uid"]
    with ledger.transaction() as connection:
        now = connection.execute(sa.select(series).where(series.c.series_uid == key).with_for_update()).mappings().one()
        if (now["state"], now["instances"]) == (SeriesState.OPEN, judged["instances"]):
            ledger.move(Kind.SERIES, key, Event.SETTLED, reason, connection=connection)


def _settle_if_all_have(ledger: Ledger, study_uid: str, standing: Standing) -> bool:
    with ledger.transaction() as connection:
        study = sa.select(studies.c.state).where(studies.c.study_uid == study_uid).with_for_update()
        if connection.execute(study).scalar() != StudyState.RECEIVING:
            return False
        rows = connection.execute(sa.select(series).where(series.c.study_uid == study_uid)).mappings().all()
        if any(row["state"] == SeriesState.OPEN for row in rows):
            return False
        reason = _study_evidence(rows, standing)
        ledger.move(Kind.STUDY, study_uid, Event.SETTLED, reason, connection=connection)
    LOG.info("study.settled study=%s reason=%r", study_uid, reason)
    return True


def _study_evidence(rows: Sequence[Row], standing: Standing) -> str:
    complete = sum(row["complete"] == 1 for row in rows)
    incomplete = sum(row["complete"] == 0 for row in rows)
    silent = len(rows) - complete - incomplete
    parts = [f"{complete} of {len(rows)} series complete by their own headers"]
    if incomplete:
        parts.append(f"{incomplete} incomplete")
    if silent:
        parts.append(f"{silent} with headers that do not say")
    return f"{', '.join(parts)}; {standing.farewell}, quiet for {standing.quiet_s:.0f} s"


def _senders(ledger: Ledger, study_uid: str) -> list[Row]:
    """Which association sent to which series of a study, and how it ended."""
    sent = (
        sa.select(instances.c.series_uid, instances.c.association_id)
        .where(instances.c.study_uid == study_uid, instances.c.state == InstanceState.STORED)
        .distinct()
        .subquery()
    )
    return ledger.all(
        sa.select(sent.c.series_uid, associations.c.association_id, associations.c.ended_at, associations.c.outcome)
        .select_from(sent.outerjoin(associations, associations.c.association_id == sent.c.association_id))
        .order_by(sent.c.series_uid)
    )


def _standing(senders: Sequence[Row], quiet_s: float) -> Standing:
    connected = any(row["association_id"] is not None and row["ended_at"] is None for row in senders)
    ends = {row["outcome"] or UNKNOWN for row in senders if row["association_id"] is None or row["ended_at"]}
    return Standing(connected, tuple(sorted(ends)), quiet_s)


def _judge(ledger: Ledger, spool: Spool, row: Row) -> Completeness:
    """Completeness of a series as its headers tell it; they are read once for each number of instances."""
    if row["judged"] == row["instances"]:
        flag = None if row["complete"] is None else bool(row["complete"])
        return Completeness(flag, row["instances"], None, row["completeness"])
    held = ledger.all(
        sa.select(instances.c.path).where(
            instances.c.series_uid == row["series_uid"], instances.c.state == InstanceState.STORED
        )
    )
    judged = _completeness_of([spool.path / one["path"] for one in held])
    with ledger.transaction() as connection:
        connection.execute(
            series.update()
            .where(series.c.series_uid == row["series_uid"])
            .values(
                judged=row["instances"],
                complete=None if judged.complete is None else int(judged.complete),
                completeness=judged.sentence,
            )
        )
    return judged


def _completeness_of(paths: Sequence[Path]) -> Completeness:
    try:
        found, unreadable = headers.read_series(paths)
    except Unreadable:
        return Completeness(None, 0, None, f"none of {len(paths)} headers can be read")
    for _, reason in unreadable:
        LOG.warning("instance.unreadable reason=%r", reason)
    return completeness(found)


def _known_paths(ledger: Ledger, spool: Spool, folder: Path) -> set[str]:
    """Paths that the ledger has of one series folder."""
    query = sa.select(instances.c.path).where(instances.c.state == InstanceState.STORED)
    if is_uid(folder.name):
        query = query.where(instances.c.series_uid == folder.name)
    else:
        query = query.where(instances.c.path.startswith(f"{folder.relative_to(spool.path).as_posix()}/"))
    return {row["path"] for row in ledger.all(query)}


def _enter_missing(ledger: Ledger, spool: Spool, paths: Iterable[Path], known: set[str]) -> int:
    missing = [path for path in paths if path.relative_to(spool.path).as_posix() not in known]
    for start in range(0, len(missing), BATCH):
        enter(ledger, spool, [arrival_of(spool.read(path)) for path in missing[start : start + BATCH]])
    return len(missing)


def _lose(ledger: Ledger, token: str, at: float) -> None:
    """Associations that a departed receiver left open are lost."""
    open_ones = ledger.all(
        sa.select(associations.c.association_id).where(
            associations.c.association_id.startswith(f"{token}-"), associations.c.ended_at.is_(None)
        )
    )
    for row in open_ones:
        ledger.end_association(row["association_id"], LOST, at)
