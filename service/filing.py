"""What was received, entered in the ledger behind the receiver's back: Success never waits for a database.

In: arrivals and associations, in the order in which they happened. Out: rows, a batch a transaction. When the ledger is
away they wait here; what no longer fits is left to `service.settle.reconcile`, because the spool has it all.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import takewhile

from sqlalchemy.exc import SQLAlchemyError

from service.arrivals import BATCH, Arrival
from service.ledger import Ledger, enter
from service.presence import leave_behind
from service.spool import Spool

LOG = logging.getLogger("betz.filing")
GATHER_S = 0.2  # a transaction of one costs as much as one of fifty
FIRST_RETRY_S, LONGEST_RETRY_S = 0.2, 10.0
WAITING_AT_MOST = 200_000  # records kept while the ledger is away, about 200 MB


@dataclass(frozen=True, slots=True)
class Opened:
    """An association that has sent its first instance."""

    association_id: str
    calling_ae: str
    address: str
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An association that is over: released, aborted or lost."""

    association_id: str
    outcome: str
    at: float


Record = Arrival | Opened | Ended


class Filer:
    """A thread that writes the ledger; `put` never blocks and never fails."""

    def __init__(self, ledger_url: str, spool: Spool) -> None:
        """Start filing into the ledger at `ledger_url`, which need not be there yet."""
        self._url = ledger_url
        self._spool = spool
        self._ledger: Ledger | None = None
        self._records: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._left_since: float | None = None  # when the first record was dropped for want of room
        self._filed_all = True
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="filer", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Take a record to be filed soon."""
        if self._records.qsize() < WAITING_AT_MOST:
            self._records.put(record)
        elif self._left_since is None:
            self._left_since = time.time()
            LOG.error("ledger.away dropped=true the spool keeps everything, the ledger catches up later")

    def close(self, within_s: float) -> bool:
        """File what is left, for at most `within_s`; True when nothing is left to reconcile."""
        self._closing.set()
        self._records.put(None)
        self._thread.join(within_s)
        return not self._thread.is_alive() and self._filed_all

    def _run(self) -> None:
        more = True
        while more:
            batch: deque[Record] = deque()
            record = self._records.get()
            if record is not None:
                self._closing.wait(GATHER_S)
            while record is not None:
                batch.append(record)
                if len(batch) >= BATCH:
                    break
                try:
                    record = self._records.get_nowait()
                except queue.Empty:
                    break
            more = record is not None
            self._file_until_done(batch)
        if self._ledger is not None:
            self._ledger.close()

    def _file_until_done(self, batch: deque[Record]) -> None:
        wait_s = FIRST_RETRY_S
        self._filed_all = False
        while batch:
            try:
                self._file(batch)
            except (SQLAlchemyError, OSError, ValueError) as error:  # away, or of another schema: a person can help
                waiting = len(batch) + self._records.qsize()
                LOG.warning("ledger.away error=%s waiting=%d", type(error).__name__, waiting)
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_RETRY_S)
        if self._left_since is not None:
            leave_behind(self._spool.path, self._left_since)
            self._left_since = None
        self._filed_all = True

    def _file(self, batch: deque[Record]) -> None:
        """File a batch in its order; what is filed is gone from it."""
        if self._ledger is None:
            self._ledger = Ledger(self._url)
        while batch:
            record = batch[0]
            if isinstance(record, Arrival):
                together = list(takewhile(lambda one: isinstance(one, Arrival), batch))
                enter(self._ledger, self._spool, [one for one in together if isinstance(one, Arrival)])
                for _ in together:
                    batch.popleft()
                continue
            if isinstance(record, Opened):
                self._ledger.open_association(record.association_id, record.calling_ae, record.address, record.at)
            else:
                self._ledger.end_association(record.association_id, record.outcome, record.at)
            batch.popleft()
