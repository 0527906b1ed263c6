"""One instance from the wire into the spool, and the status that its sender gets; knows no network library.

Statuses: PS3.4 B.2.3 and PS3.7 annex C. Success is answered only after `Spool.place` has returned.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from dicom_io.part10 import Origin, Uids, Undecodable, scan_uids
from service.arrivals import Arrival
from service.filing import Filer
from service.spool import Placed, Spool, ledger_uid
from service.states import InstanceState

LOG = logging.getLogger("betz.receive")

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
UNDECODABLE = 0xC001


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and Error Comment (LO: 64 characters) of a C-STORE response."""

    status: int
    comment: str = ""


class Intake:
    """Takes instances of one receiver process; several threads may take at once."""

    def __init__(self, spool: Spool, filer: Filer, reserve_mb: int) -> None:
        """Keep instances in `spool` while more than `reserve_mb` are free there."""
        self._spool = spool
        self._filer = filer
        self._reserve_mb = reserve_mb

    def take(self, origin: Origin, data_set: memoryview, association_id: str) -> Answer:
        """Keep one encoded data set durably and say how that went."""
        if self._spool.free_mb() < self._reserve_mb:
            return Answer(OUT_OF_RESOURCES, "disk below its reserve")
        try:
            return self._take(origin, data_set, association_id)
        except OSError as error:
            LOG.error("instance.failed errno=%s instance=%s", error.errno, ledger_uid(origin.sop_instance_uid))
            return Answer(OUT_OF_RESOURCES, "the disk does not take it")

    def _take(self, origin: Origin, data_set: memoryview, association_id: str) -> Answer:
        try:
            uids = scan_uids(data_set, origin.transfer_syntax_uid)
        except Undecodable as error:
            nowhere = Uids(origin.sop_class_uid, origin.sop_instance_uid, "", "")
            return self._refuse(origin, data_set, nowhere, association_id, UNDECODABLE, str(error))
        if not uids.study_uid or not uids.series_uid:
            missing = "Study" if not uids.study_uid else "Series"
            LOG.warning("instance.refused status=C000 missing=%sInstanceUID", missing)
            return Answer(CANNOT_UNDERSTAND, f"no {missing} Instance UID")
        if (uids.sop_class_uid, uids.sop_instance_uid) != (origin.sop_class_uid, origin.sop_instance_uid):
            reason = "SOP Class or Instance UID of the data set is not the command's"
            return self._refuse(origin, data_set, uids, association_id, DATA_SET_MISMATCH, reason)
        placed = self._spool.place(origin, uids, data_set)
        if placed.state is InstanceState.QUARANTINED:
            LOG.warning("instance.quarantined series=%s path=%s", ledger_uid(uids.series_uid), placed.path)
        self._file(uids, placed, association_id)
        return Answer(SUCCESS)

    def _refuse(
        self, origin: Origin, data_set: memoryview, uids: Uids, association_id: str, status: int, reason: str
    ) -> Answer:
        placed = self._spool.quarantine(origin, data_set, reason)
        LOG.warning("instance.quarantined status=%04X path=%s", status, placed.path)
        self._file(uids, placed, association_id)
        return Answer(status, reason)

    def _file(self, uids: Uids, placed: Placed, association_id: str) -> None:
        self._filer.put(
            Arrival(
                sop_instance_uid=ledger_uid(uids.sop_instance_uid),
                sop_class_uid=ledger_uid(uids.sop_class_uid),
                series_uid=ledger_uid(uids.series_uid),
                study_uid=ledger_uid(uids.study_uid),
                state=placed.state,
                path=placed.path,
                size=placed.size,
                sha256=placed.sha256,
                received_at=time.time(),
                association_id=association_id,
                reason=placed.reason,
            )
        )
