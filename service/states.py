"""States of everything and the only ways between them: (state, event) -> state, one table a kind.

`service.ledger.Ledger.move` applies these tables and appends an event for every change; nothing else changes a state.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What has a state."""

    INSTANCE = "instance"
    SERIES = "series"
    STUDY = "study"
    JOB = "job"
    DELIVERY = "delivery"


class InstanceState(StrEnum):
    """Where a received object is."""

    STORED = "stored"
    DUPLICATE = "duplicate"  # same UID, same bytes: nothing kept twice
    QUARANTINED = "quarantined"  # unparsable, or same UID with other bytes


class SeriesState(StrEnum):
    """Is the series whole, and is it known what it is?"""

    OPEN = "open"
    SETTLED = "settled"
    CLASSIFIED = "classified"


class StudyState(StrEnum):
    """How far a study has come."""

    RECEIVING = "receiving"
    SETTLED = "settled"
    PLANNED = "planned"
    RUNNING = "running"
    FINISHED = "finished"


class JobState(StrEnum):
    """One analysis (or the report) of one study version."""

    WAITING = "waiting"  # for an input, a prior or a product: the reason names it
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    UNSUITABLE = "unsuitable"  # a normal end: the data cannot answer
    FAILED = "failed"  # will be tried again
    DEAD = "dead"  # will not be tried again unless replayed
    SUPERSEDED = "superseded"  # by a newer version of its study


class DeliveryState(StrEnum):
    """One object on its way to one destination."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    CONFIRMED = "confirmed"  # found again at the destination by query
    HELD = "held"  # destination down: tried again at next_try_at
    REFUSED = "refused"  # the destination said no for good, or says yes and keeps nothing
    WITHDRAWN = "withdrawn"  # superseded before it was sent


class Event(StrEnum):
    """What happens to a thing."""

    RECEIVED = "received"
    RECEIVED_AGAIN = "received again"
    CONFLICTED = "conflicted"
    SETTLED = "settled"
    CLASSIFIED = "classified"
    PLANNED = "planned"
    STARTED = "started"
    FINISHED = "finished"
    SUBMITTED = "submitted"
    WORKER_LOST = "worker lost"
    RAISED = "raised"
    GAVE_UP = "gave up"
    REFUSED_INPUT = "refused input"
    REPLAYED = "replayed"
    REPLACED = "replaced"
    SENT = "sent"
    FOUND = "found"
    NOT_FOUND = "not found"
    PEER_DOWN = "peer down"
    PEER_REFUSED = "peer refused"


class Step(NamedTuple):
    """From this state, on this event."""

    state: str
    event: Event


SERIES: dict[Step, SeriesState] = {
    Step(SeriesState.OPEN, Event.RECEIVED): SeriesState.OPEN,
    Step(SeriesState.OPEN, Event.SETTLED): SeriesState.SETTLED,
    Step(SeriesState.SETTLED, Event.CLASSIFIED): SeriesState.CLASSIFIED,
    Step(SeriesState.SETTLED, Event.RECEIVED): SeriesState.OPEN,
    Step(SeriesState.CLASSIFIED, Event.RECEIVED): SeriesState.OPEN,
}

STUDY: dict[Step, StudyState] = {
    Step(StudyState.RECEIVING, Event.RECEIVED): StudyState.RECEIVING,
    Step(StudyState.RECEIVING, Event.SETTLED): StudyState.SETTLED,
    Step(StudyState.SETTLED, Event.PLANNED): StudyState.PLANNED,
    Step(StudyState.PLANNED, Event.STARTED): StudyState.RUNNING,
    Step(StudyState.RUNNING, Event.FINISHED): StudyState.FINISHED,
    Step(StudyState.FINISHED, Event.REPLAYED): StudyState.RUNNING,
    # a late instance: the study is open again, version + 1
    Step(StudyState.SETTLED, Event.RECEIVED): StudyState.RECEIVING,
    Step(StudyState.PLANNED, Event.RECEIVED): StudyState.RECEIVING,
    Step(StudyState.RUNNING, Event.RECEIVED): StudyState.RECEIVING,
    Step(StudyState.FINISHED, Event.RECEIVED): StudyState.RECEIVING,
}

JOB: dict[Step, JobState] = {
    Step(JobState.WAITING, Event.SUBMITTED): JobState.QUEUED,
    Step(JobState.WAITING, Event.REPLACED): JobState.SUPERSEDED,
    Step(JobState.QUEUED, Event.STARTED): JobState.RUNNING,
    Step(JobState.QUEUED, Event.WORKER_LOST): JobState.FAILED,
    Step(JobState.QUEUED, Event.REPLACED): JobState.SUPERSEDED,
    Step(JobState.RUNNING, Event.FINISHED): JobState.DONE,
    Step(JobState.RUNNING, Event.REFUSED_INPUT): JobState.UNSUITABLE,
    Step(JobState.RUNNING, Event.RAISED): JobState.FAILED,
    Step(JobState.RUNNING, Event.WORKER_LOST): JobState.FAILED,
    Step(JobState.RUNNING, Event.REPLACED): JobState.SUPERSEDED,
    Step(JobState.RUNNING, Event.GAVE_UP): JobState.DEAD,
    Step(JobState.QUEUED, Event.GAVE_UP): JobState.DEAD,
    Step(JobState.FAILED, Event.SUBMITTED): JobState.QUEUED,
    Step(JobState.FAILED, Event.GAVE_UP): JobState.DEAD,
    Step(JobState.FAILED, Event.REPLACED): JobState.SUPERSEDED,
    Step(JobState.DEAD, Event.REPLAYED): JobState.WAITING,
    Step(JobState.UNSUITABLE, Event.REPLAYED): JobState.WAITING,
    Step(JobState.DONE, Event.REPLAYED): JobState.WAITING,
    Step(JobState.DEAD, Event.REPLACED): JobState.SUPERSEDED,
    Step(JobState.UNSUITABLE, Event.REPLACED): JobState.SUPERSEDED,
    Step(JobState.DONE, Event.REPLACED): JobState.SUPERSEDED,
    # an earlier input set came back (the late instance was removed from the plan again)
    Step(JobState.SUPERSEDED, Event.REPLAYED): JobState.WAITING,
}

DELIVERY: dict[Step, DeliveryState] = {
    Step(DeliveryState.QUEUED, Event.STARTED): DeliveryState.SENDING,
    Step(DeliveryState.HELD, Event.STARTED): DeliveryState.SENDING,
    Step(DeliveryState.SENDING, Event.SENT): DeliveryState.SENT,
    Step(DeliveryState.SENDING, Event.PEER_DOWN): DeliveryState.HELD,
    Step(DeliveryState.SENDING, Event.PEER_REFUSED): DeliveryState.REFUSED,
    Step(DeliveryState.SENDING, Event.REPLAYED): DeliveryState.QUEUED,  # the sender stopped in the middle
    Step(DeliveryState.SENT, Event.FOUND): DeliveryState.CONFIRMED,
    Step(DeliveryState.SENT, Event.NOT_FOUND): DeliveryState.HELD,
    Step(DeliveryState.SENT, Event.PEER_DOWN): DeliveryState.SENT,
    Step(DeliveryState.SENT, Event.GAVE_UP): DeliveryState.REFUSED,  # accepted several times, never found again
    Step(DeliveryState.QUEUED, Event.REPLACED): DeliveryState.WITHDRAWN,
    Step(DeliveryState.HELD, Event.REPLACED): DeliveryState.WITHDRAWN,
    Step(DeliveryState.REFUSED, Event.REPLAYED): DeliveryState.QUEUED,
    Step(DeliveryState.WITHDRAWN, Event.REPLAYED): DeliveryState.QUEUED,  # an earlier input set came back
}

INSTANCE: dict[Step, InstanceState] = {}  # an instance's state is given at reception and never changes

TABLES: dict[
    Kind,
    dict[Step, InstanceState]
    | dict[Step, SeriesState]
    | dict[Step, StudyState]
    | dict[Step, JobState]
    | dict[Step, DeliveryState],
] = {
    Kind.INSTANCE: INSTANCE,
    Kind.SERIES: SERIES,
    Kind.STUDY: STUDY,
    Kind.JOB: JOB,
    Kind.DELIVERY: DELIVERY,
}


class NotAllowed(Exception):
    """There is no way from that state by that event: a bug, or somebody else was faster."""


def after(kind: Kind, state: str, event: Event) -> str:
    """State of a `kind` after `event`; `NotAllowed` names what was tried."""
    table: dict[Step, str] = {step: str(new) for step, new in TABLES[kind].items()}
    try:
        return table[Step(state, event)]
    except KeyError:
        raise NotAllowed(f"a {kind} that is {state} cannot be {event}") from None
