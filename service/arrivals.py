"""Arrivals entered in the ledger: instances, and with them their series and studies, opened or reopened.

Everything here happens inside one transaction of `service.ledger.Ledger.file`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from service.spool import Kept, ledger_uid
from service.states import Event, InstanceState, Kind, SeriesState, StudyState, after
from service.tables import KEYS, instances

if TYPE_CHECKING:
    from service.ledger import Ledger

BATCH = 400  # arrivals a transaction: a commit costs as much as a hundred rows
ROWS_A_STATEMENT = 400  # far below the 32 766 parameters of SQLite and PostgreSQL


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance that came, as the receiver or the spool tells it; UIDs as `service.spool.ledger_uid` has them."""

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    state: InstanceState
    path: str  # relative to the spool
    size: int
    sha256: str
    received_at: float
    association_id: str = ""
    reason: str = ""


COLUMNS = tuple(field.name for field in fields(Arrival))


class Filing:
    """One transaction that enters arrivals.

    Rows are always touched in the same order (instances, studies, series; each sorted), so that two processes with the
    same study wait for each other instead of deadlocking.
    """

    def __init__(self, ledger: Ledger, connection: sa.Connection) -> None:
        self._ledger = ledger
        self._connection = connection

    def file(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Enter all; those that are refused because another file is the stored instance of their UID."""
        stored = [a for a in arrivals if a.state is InstanceState.STORED]
        new = self._enter_stored(stored)
        paths = self._stored_paths([a.sop_instance_uid for a in stored])
        self._name_sender([a for a in stored if a not in new and paths.get(a.sop_instance_uid) == a.path])
        self._enter_others([a for a in arrivals if a.state is not InstanceState.STORED])
        self._open_studies(new)
        self._open_series(new)
        return [a for a in stored if paths.get(a.sop_instance_uid) != a.path]

    def _enter_stored(self, stored: Sequence[Arrival]) -> list[Arrival]:
        """Insert stored instances that are not there; those that were inserted."""
        entered: set[str] = set()
        ordered = [a for _, a in sorted({a.sop_instance_uid: a for a in reversed(stored)}.items())]
        if ordered:
            statement = self._ledger.insert_if_new(instances).returning(instances.c.path)
            entered.update(self._connection.execute(statement, [_row(arrival) for arrival in ordered]).scalars())
        return [arrival for arrival in ordered if arrival.path in entered]

    def _stored_paths(self, uids: Sequence[str]) -> dict[str, str]:
        """Path of the stored instance by its UID."""
        found: dict[str, str] = {}
        for start in range(0, len(uids), ROWS_A_STATEMENT):
            query = sa.select(instances.c.sop_instance_uid, instances.c.path).where(
                instances.c.state == InstanceState.STORED,
                instances.c.sop_instance_uid.in_(uids[start : start + ROWS_A_STATEMENT]),
            )
            found.update((row.sop_instance_uid, row.path) for row in self._connection.execute(query))
        return found

    def _name_sender(self, known: Sequence[Arrival]) -> None:
        """Add the association to instances that were found on disk before their receiver had filed them."""
        for arrival in known:
            if arrival.association_id:
                self._connection.execute(
                    instances.update()
                    .where(
                        instances.c.sop_instance_uid == arrival.sop_instance_uid,
                        instances.c.state == InstanceState.STORED,
                        instances.c.association_id == "",
                    )
                    .values(association_id=arrival.association_id)
                )

    def _enter_others(self, others: Sequence[Arrival]) -> None:
        """Duplicates and quarantined instances: a row and an event each, so that a person can see them."""
        for arrival in others:
            key = self._connection.execute(instances.insert().values(**_row(arrival))).inserted_primary_key
            event = Event.CONFLICTED if arrival.state is InstanceState.QUARANTINED else Event.RECEIVED_AGAIN
            subject = str(key[0]) if key else arrival.sop_instance_uid
            self._note(Kind.INSTANCE, subject, arrival.study_uid, event, arrival.state, arrival.reason)

    def _open_studies(self, new: Sequence[Arrival]) -> None:
        for study_uid in sorted({a.study_uid for a in new}):
            times = [a.received_at for a in new if a.study_uid == study_uid]
            row = {
                "study_uid": study_uid,
                "state": StudyState.RECEIVING,
                "version": 1,
                "first_at": min(times),
                "last_instance_at": max(times),
            }
            self._open(Kind.STUDY, row, len(times))

    def _open_series(self, new: Sequence[Arrival]) -> None:
        for series_uid in sorted({a.series_uid for a in new}):
            here = [a for a in new if a.series_uid == series_uid]
            row = {
                "series_uid": series_uid,
                "study_uid": here[0].study_uid,
                "state": SeriesState.OPEN,
                "instances": 0,
                "last_instance_at": max(a.received_at for a in here),
            }
            self._open(Kind.SERIES, row, len(here))

    def _open(self, kind: Kind, row: dict[str, Any], arrived: int) -> None:
        """Make a series or study when it is unknown, reopen it when it had gone on, count in any case."""
        table, key_column = KEYS[kind]
        key = row[key_column.name]
        made = self._connection.execute(self._ledger.insert_if_new(table).returning(key_column), [row]).first()
        query = sa.select(table).where(key_column == key).with_for_update()
        held = self._connection.execute(query).mappings().one()
        columns: dict[str, Any] = {"last_instance_at": max(held["last_instance_at"], row["last_instance_at"])}
        if kind is Kind.SERIES:
            columns["instances"] = held["instances"] + arrived
        if made is not None:
            self._note(kind, key, held["study_uid"], Event.RECEIVED, held["state"])
        elif after(kind, held["state"], Event.RECEIVED) != held["state"]:
            if kind is Kind.STUDY:
                columns["version"] = held["version"] + 1
            reason = f"{arrived} late instance{'s' if arrived > 1 else ''} arrived"
            self._ledger.move(kind, key, Event.RECEIVED, reason, connection=self._connection, **columns)
            return
        self._connection.execute(table.update().where(key_column == key).values(**columns))

    def _note(self, kind: Kind, subject: str, study_uid: str, event: Event, now: str, reason: str = "") -> None:
        self._ledger.note(self._connection, kind, subject, study_uid, event, "", now, reason)


def _row(arrival: Arrival) -> dict[str, Any]:
    return {**{name: getattr(arrival, name) for name in COLUMNS}, "state": str(arrival.state)}


def arrival_of(kept: Kept) -> Arrival:
    """What a file of the spool tells of its arrival; by which association it came is not written there."""
    return Arrival(
        sop_instance_uid=ledger_uid(kept.uids.sop_instance_uid),
        sop_class_uid=ledger_uid(kept.uids.sop_class_uid),
        series_uid=ledger_uid(kept.uids.series_uid),
        study_uid=ledger_uid(kept.uids.study_uid),
        state=kept.state,
        path=kept.path,
        size=kept.size,
        sha256=kept.sha256,
        received_at=kept.received_at,
        reason=kept.reason,
    )
