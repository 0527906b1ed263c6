"""The tables of states are closed: every state is reachable, no event leads out of them, and what ends, ends."""

from __future__ import annotations

from enum import StrEnum

import pytest

from service.states import (
    TABLES,
    DeliveryState,
    Event,
    InstanceState,
    JobState,
    Kind,
    NotAllowed,
    SeriesState,
    StudyState,
    after,
)

STATES: dict[Kind, type[StrEnum]] = {
    Kind.SERIES: SeriesState,
    Kind.STUDY: StudyState,
    Kind.JOB: JobState,
    Kind.DELIVERY: DeliveryState,
}
FIRST = {
    Kind.SERIES: SeriesState.OPEN,
    Kind.STUDY: StudyState.RECEIVING,
    Kind.JOB: JobState.WAITING,
    Kind.DELIVERY: DeliveryState.QUEUED,
}
ENDS = {  # states that something may stay in for ever; everything else must be able to reach one of them
    Kind.SERIES: {SeriesState.CLASSIFIED},
    Kind.STUDY: {StudyState.FINISHED},
    Kind.JOB: {JobState.DONE, JobState.UNSUITABLE, JobState.DEAD, JobState.SUPERSEDED},
    Kind.DELIVERY: {DeliveryState.CONFIRMED, DeliveryState.SENT, DeliveryState.REFUSED, DeliveryState.WITHDRAWN},
}


def reachable(kind: Kind, start: str) -> set[str]:
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for step, new in TABLES[kind].items():
            if step.state == here and new not in seen:
                seen.add(new)
                todo.append(new)
    return seen


@pytest.mark.parametrize("kind", STATES)
def test_every_state_can_be_reached_and_none_is_unknown(kind: Kind) -> None:
    assert reachable(kind, FIRST[kind]) == set(STATES[kind])


@pytest.mark.parametrize("kind", STATES)
def test_nothing_can_get_stuck(kind: Kind) -> None:
    for state in STATES[kind]:
        assert reachable(kind, state) & ENDS[kind], f"a {kind} that is {state} can never end"


@pytest.mark.parametrize("state", StudyState)
def test_a_late_instance_reopens_a_study_whatever_it_is_doing(state: StudyState) -> None:
    assert after(Kind.STUDY, state, Event.RECEIVED) == StudyState.RECEIVING


@pytest.mark.parametrize("state", SeriesState)
def test_a_late_instance_reopens_its_series(state: SeriesState) -> None:
    assert after(Kind.SERIES, state, Event.RECEIVED) == SeriesState.OPEN


@pytest.mark.parametrize("state", set(JobState) - {JobState.SUPERSEDED})
def test_every_job_can_be_superseded(state: JobState) -> None:
    assert after(Kind.JOB, state, Event.REPLACED) == JobState.SUPERSEDED


def test_the_state_of_an_instance_never_changes() -> None:
    for state in InstanceState:
        for event in Event:
            with pytest.raises(NotAllowed):
                after(Kind.INSTANCE, state, event)


def test_a_forbidden_step_is_named() -> None:
    with pytest.raises(NotAllowed, match="a study that is receiving cannot be planned"):
        after(Kind.STUDY, StudyState.RECEIVING, Event.PLANNED)
