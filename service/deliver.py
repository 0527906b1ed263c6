"""Delivery: results in the outbox (`deliveries` of the ledger) go to their destinations and are looked for there.

One thread a destination, so that one that is down or slow never holds up another; one association a study and
destination, in the order map, sr, page, so that references resolve on arrival. All state is in the ledger: a restart
continues.
Delivered means found again by query (PS3.4 C.6.2, IMAGE level). Storage Commitment (PS3.4 J) will be a second way to
become `confirmed`: it replaces `look_for` where a destination offers it, and nothing else here changes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from service import tables
from service.config import Config, Destination
from service.ledger import Ledger, Row
from service.peer import Answer, Broken, Down, NoQuery, Parcel, Peer, Verdict
from service.states import DeliveryState, Event, JobState, Kind, NotAllowed

log = logging.getLogger(__name__)

POLL_S = 1.0  # between looks into the outbox
STOP_WITHIN_S = 5.0  # an interrupted sending is repeated, so there is nothing to wait for
ORDER = ("map", "sr", "page")  # what is referred to goes before what refers to it
# Seconds after Success at which the destination is asked whether it has it: most index at once, some take minutes.
LOOK_AFTER_S = (0.0, 2.0, 10.0, 60.0, 300.0, 900.0)
NEVER = 0.0  # `next_try_at` of a delivery that nobody will ask for any more
INTERRUPTED = "the sending was interrupted"
NOT_ASKED = "sent; this destination is not asked whether it kept it (confirm = false)"
MOST_SENDS = 3  # accepted that often and never found: sending again will not help, a person must look


@dataclass(frozen=True, slots=True)
class Times:
    """The waits of one destination; `look_after_s` ends with the last look."""

    first_retry_s: float
    longest_retry_s: float
    look_after_s: tuple[float, ...]

    def retry_s(self, failures: int) -> float:
        """Wait after so many failures in a row: doubling, up to the longest."""
        doubled = self.first_retry_s * 2.0 ** min(max(failures - 1, 0), 62)
        return min(doubled, self.longest_retry_s)


def run(config: Config, stop: threading.Event) -> None:
    """Deliver until `stop`; returns within some seconds of it."""
    ledger = Ledger(config.ledger_url)
    try:
        requeue_interrupted(ledger)
        times = Times(config.deliver.first_retry_s, config.deliver.longest_retry_s, LOOK_AFTER_S)
        couriers = [Courier(config, ledger, destination, times, stop) for destination in config.deliver.destinations]
        threads = [threading.Thread(target=one.run, name=one.name, daemon=True) for one in couriers]
        for thread in threads:
            thread.start()
        stop.wait()
        for courier in couriers:
            courier.peer.hang_up()
        until = time.monotonic() + STOP_WITHIN_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
    finally:
        ledger.close()


def requeue_interrupted(ledger: Ledger, destination: str | None = None) -> int:
    """Queue again what was being sent (to one destination, or to all) when that ended; returns how many."""
    table = tables.deliveries
    query = sa.select(table.c.id).where(table.c.state == DeliveryState.SENDING)
    if destination is not None:
        query = query.where(table.c.destination == destination)
    rows = ledger.all(query)
    for row in rows:
        ledger.move(Kind.DELIVERY, row["id"], Event.REPLAYED, INTERRUPTED, next_try_at=0.0)
    return len(rows)


def resend(ledger: Ledger, destination: str) -> int:
    """Queue again what a destination refused, after a person has put right why; returns how many."""
    table, results = tables.deliveries, tables.results
    query = (
        sa.select(table.c.id)
        .join(results, results.c.sop_instance_uid == table.c.sop_instance_uid)
        .where(table.c.state == DeliveryState.REFUSED, table.c.destination == destination)
        .where(results.c.job_id.not_in(_superseded_jobs()))
    )
    rows = ledger.all(query)
    for row in rows:
        ledger.move(Kind.DELIVERY, row["id"], Event.REPLAYED, "sent again by hand", attempts=0, next_try_at=0.0)
    return len(rows)


def _superseded_jobs() -> sa.Select[tuple[str]]:
    return sa.select(tables.jobs.c.job_id).where(tables.jobs.c.state == JobState.SUPERSEDED)


class Courier:
    """Brings everything that is due to one destination, and looks for what was brought."""

    def __init__(
        self, config: Config, ledger: Ledger, destination: Destination, times: Times, stop: threading.Event
    ) -> None:
        """`stop` ends `run`; nothing is sent before `run` or `round`."""
        self.name = destination.name
        self.peer = Peer(destination)
        self._confirm = destination.confirm
        self._spool = config.spool.path
        self._ledger = ledger
        self._times = times
        self._stop = stop
        self._failures = 0  # in a row, to reach the destination at all
        self._pause_until = 0.0  # monotonic

    def run(self) -> None:
        """Rounds until stopped."""
        while not self._stop.is_set():
            try:
                requeue_interrupted(self._ledger, self.name)
                while not self._stop.wait(POLL_S):
                    self.round()
            except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
                log.warning("delivery to %s waits for the ledger: %s", self.name, error.orig)
                self._stop.wait(self._times.first_retry_s)
            except Exception:  # the rim: a fault on the way to one destination stays with that destination
                log.exception("delivery to %s failed; it continues", self.name)
                self._stop.wait(self._times.first_retry_s)

    def round(self) -> None:
        """Send what is due, study by study, oldest first; then look for what was sent."""
        if time.monotonic() < self._pause_until:
            return
        for study in self._due():
            if self._stop.is_set() or not self._send_study(study):
                return
        if self._confirm and not self._stop.is_set():
            self._look()

    def _due(self) -> list[list[Row]]:
        deliveries, results = tables.deliveries, tables.results
        due = sa.or_(
            deliveries.c.state == DeliveryState.QUEUED,
            sa.and_(deliveries.c.state == DeliveryState.HELD, deliveries.c.next_try_at <= time.time()),
        )
        query = (
            sa.select(
                deliveries,
                results.c.kind,
                results.c.path,
                results.c.sop_class_uid,
                results.c.job_id.in_(_superseded_jobs()).label("superseded"),
            )
            .join(results, results.c.sop_instance_uid == deliveries.c.sop_instance_uid)
            .where(deliveries.c.destination == self.name, due)
            .order_by(deliveries.c.queued_at, deliveries.c.id)
        )
        studies: dict[str, list[Row]] = {}
        for row in self._ledger.all(query):
            if row["superseded"]:  # it was on its way when that happened, and did not arrive
                self._ledger.try_move(Kind.DELIVERY, row["id"], Event.REPLACED, "replaced while it was on its way")
            else:
                studies.setdefault(row["study_uid"], []).append(row)
        return [sorted(rows, key=lambda row: ORDER.index(row["kind"])) for rows in studies.values()]

    def _send_study(self, rows: Sequence[Row]) -> bool:
        """Send the objects of one study; False when the round ends here (destination down, or stopped)."""
        moving = self._start(rows)
        while moving:
            try:
                self._send(moving)
            except Broken as broken:
                if self._stop.is_set():
                    break
                # it may be this object that ends associations: it waits, the others get another association
                self._hold(moving.popleft(), broken.reason)
            except Down as down:
                if self._stop.is_set():
                    break
                self._destination_down(moving, down.reason)
                return False
            else:
                self._failures = 0
        for row in moving:
            self._ledger.try_move(Kind.DELIVERY, row["id"], Event.REPLAYED, INTERRUPTED, next_try_at=0.0)
        return not moving

    def _start(self, rows: Iterable[Row]) -> deque[Row]:
        """Mark as being sent, and return, what nobody has withdrawn since it was read."""
        started: deque[Row] = deque()
        with self._ledger.transaction() as connection:
            for row in rows:
                attempts = row["attempts"] + 1
                with suppress(NotAllowed):
                    self._ledger.move(Kind.DELIVERY, row["id"], Event.STARTED, connection=connection, attempts=attempts)
                    started.append(row)
        return started

    def _send(self, moving: deque[Row]) -> None:
        """Send over one association, taking each object from `moving` as its fate is known."""
        parcels = {row["id"]: Parcel(row["sop_class_uid"], self._spool / row["path"]) for row in moving}
        with self.peer.storing(list(parcels.values())) as association:
            while moving:
                if self._stop.is_set():
                    raise Broken(INTERRUPTED)
                answer = association.store(parcels[moving[0]["id"]])
                self._note(moving.popleft(), answer)

    def _note(self, row: Row, answer: Answer) -> None:
        if answer.verdict is Verdict.SENT:
            now = time.time()
            look_at = now + self._times.look_after_s[0] if self._confirm else NEVER
            reason = answer.reason if self._confirm else "; ".join(filter(None, (answer.reason, NOT_ASKED)))
            self._ledger.move(Kind.DELIVERY, row["id"], Event.SENT, reason, sent_at=now, next_try_at=look_at)
        elif answer.verdict is Verdict.REFUSED:
            log.warning("%s refused a %s: %s", self.name, row["kind"], answer.reason)
            self._ledger.move(Kind.DELIVERY, row["id"], Event.PEER_REFUSED, answer.reason)
        else:
            self._hold(row, answer.reason)

    def _hold(self, row: Row, reason: str) -> None:
        # twice what a destination that is down waits: next time the others go first
        wait_s = self._times.retry_s(row["attempts"] + 2)
        log.warning("a %s for %s waits %.0f s: %s", row["kind"], self.name, wait_s, reason)
        self._ledger.move(Kind.DELIVERY, row["id"], Event.PEER_DOWN, reason, next_try_at=time.time() + wait_s)

    def _destination_down(self, rows: Iterable[Row], reason: str) -> None:
        wait_s = self._pause(reason)
        next_try_at = time.time() + wait_s
        with self._ledger.transaction() as connection:
            for row in rows:
                self._ledger.move(
                    Kind.DELIVERY, row["id"], Event.PEER_DOWN, reason, connection=connection, next_try_at=next_try_at
                )

    def _pause(self, reason: str) -> float:
        self._failures += 1
        wait_s = self._times.retry_s(self._failures)
        self._pause_until = time.monotonic() + wait_s
        log.warning("%s is left alone for %.0f s: %s", self.name, wait_s, reason)
        return wait_s

    def _look(self) -> None:
        """Ask the destination for what it should have by now."""
        rows = self._sought()
        if not rows:
            return
        try:
            held = self.peer.held({(row["study_uid"], row["series_uid"]): None for row in rows})
        except NoQuery as refusal:
            for row in rows:
                self._cannot_ask(row, refusal.reason)
            return
        except Down as down:
            if not self._stop.is_set():
                next_try_at = time.time() + self._pause(down.reason)
                for row in rows:
                    reason = f"sent; not confirmed yet: {down.reason}"
                    self._ledger.move(Kind.DELIVERY, row["id"], Event.PEER_DOWN, reason, next_try_at=next_try_at)
            return
        self._failures = 0
        now = time.time()
        with self._ledger.transaction() as connection:
            for row in rows:
                if row["sop_instance_uid"] in held:
                    self._ledger.move(
                        Kind.DELIVERY,
                        row["id"],
                        Event.FOUND,
                        connection=connection,
                        confirmed_at=now,
                        next_try_at=NEVER,
                    )
        for row in rows:
            if row["sop_instance_uid"] not in held:
                self._not_found(row)

    def _sought(self) -> list[Row]:
        deliveries, results = tables.deliveries, tables.results
        query = (
            sa.select(deliveries, results.c.kind, results.c.series_uid)
            .join(results, results.c.sop_instance_uid == deliveries.c.sop_instance_uid)
            .where(
                deliveries.c.destination == self.name,
                deliveries.c.state == DeliveryState.SENT,
                deliveries.c.next_try_at > NEVER,
                deliveries.c.next_try_at <= time.time(),
            )
        )
        return self._ledger.all(query)

    def _cannot_ask(self, row: Row, reason: str) -> None:
        look_at = self._next_look(row)
        again = "asked again later" if look_at > NEVER else "nobody has seen it there"
        self._postpone(row, f"sent; {again}: {reason}", look_at)

    def _not_found(self, row: Row) -> None:
        look_at = self._next_look(row)
        if look_at > NEVER:
            self._postpone(row, "sent; not found by query yet", look_at)
        elif self._times_sent(row) < MOST_SENDS:
            log.warning("a %s was accepted by %s and is not there: it is sent again", row["kind"], self.name)
            reason = "accepted, but not found by query: sent again"
            self._ledger.move(Kind.DELIVERY, row["id"], Event.NOT_FOUND, reason, next_try_at=time.time())
        else:
            reason = f"accepted {MOST_SENDS} times and never found by query: ask who runs the destination where it went"
            log.warning("a %s for %s was %s", row["kind"], self.name, reason)
            self._ledger.move(Kind.DELIVERY, row["id"], Event.GAVE_UP, reason, next_try_at=NEVER)

    def _next_look(self, row: Row) -> float:
        """When to ask again, NEVER after the last look. A look that came late (destination down) is the last one."""
        now = time.time()
        looks = (row["sent_at"] + after_s for after_s in self._times.look_after_s)
        return next((at for at in looks if at > now), NEVER)

    def _postpone(self, row: Row, reason: str, look_at: float) -> None:
        # no change of state, so no event
        table = tables.deliveries
        with self._ledger.transaction() as connection:
            connection.execute(
                table.update()
                .where(table.c.id == row["id"], table.c.state == DeliveryState.SENT)
                .values(reason=reason, next_try_at=look_at)
            )

    def _times_sent(self, row: Row) -> int:
        table = tables.events
        query = sa.select(sa.func.count().label("n")).where(
            table.c.kind == Kind.DELIVERY, table.c.subject == str(row["id"]), table.c.event == Event.SENT
        )
        found = self._ledger.one(query)
        return int(found["n"]) if found else 0
