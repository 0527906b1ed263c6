"""Which analyses run on which series of a study, and why not the others: from declared `Need`s only.

In: what each series is and its facts. Out: one `Planned` an analysis, in the registry's order, every choice explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from analyses.contract import Analysis, Body, Need, SeriesFacts
from dicom_io.classify import Role
from dicom_io.header import SeriesHeader

Candidate = tuple[SeriesHeader, Role, SeriesFacts]


@dataclass(frozen=True, slots=True)
class Planned:
    """One analysis of a study: the series for each need and why these, or why it is not run."""

    analysis: Analysis
    runnable: bool
    reason: str
    series: Mapping[str, str] = field(default_factory=dict)  # need -> series UID


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with a study."""

    jobs: tuple[Planned, ...]

    @property
    def runnable(self) -> tuple[Planned, ...]:
        """The analyses whose needs are all met."""
        return tuple(job for job in self.jobs if job.runnable)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a need found: a series, or none, and why."""

    series_uid: str | None
    reason: str


def plan(series: Sequence[Candidate], analyses: Iterable[Analysis]) -> Plan:
    """Plan every analysis on the series of one study; the order of `series` does not matter."""
    facts = sorted((facts for _, _, facts in series), key=lambda one: one.series_uid)
    return Plan(tuple(_planned(analysis, facts) for analysis in analyses))


def refuse_all(analyses: Iterable[Analysis], reason: str) -> Plan:
    """Plan nothing, for a study that must not be touched."""
    return Plan(tuple(Planned(analysis, False, reason) for analysis in analyses))


def _planned(analysis: Analysis, facts: Sequence[SeriesFacts]) -> Planned:
    answers = {need.name: _answer(need, facts) for need in analysis.needs}
    missing = [
        answers[need.name].reason for need in analysis.needs if need.required and not answers[need.name].series_uid
    ]
    if missing:
        return Planned(analysis, False, "; ".join(missing))
    chosen = {name: answer.series_uid for name, answer in answers.items() if answer.series_uid}
    return Planned(analysis, True, "; ".join(answer.reason for answer in answers.values()), chosen)


def _answer(need: Need, facts: Sequence[SeriesFacts]) -> _Answer:
    if need.prior:
        return _Answer(None, f"no earlier study of this patient with a {need.role} series")
    of_role = [one for one in facts if one.role is need.role]
    of_body = [one for one in of_role if one.body is need.body]
    if not of_body:
        return _Answer(None, _nothing(need, of_role))
    refusals = [(one, need.accept(one)) for one in of_body]
    accepted = sorted((one for one, refusal in refusals if refusal is None), key=_preference, reverse=True)
    if not accepted:
        return _Answer(None, "; ".join(f"{label(one)}: {refusal.reason}" for one, refusal in refusals if refusal))
    return _Answer(accepted[0].series_uid, _choice(need, accepted))


def _nothing(need: Need, of_role: Sequence[SeriesFacts]) -> str:
    if not of_role:
        return f"no {need.role} series" + (f" of the {need.body}" if need.body is not Body.BRAIN else "")
    return "; ".join(f"{label(one)} is {need.role} of {_whose(one.body)}, not of the {need.body}" for one in of_role)


def _whose(body: Body) -> str:
    return {Body.PHANTOM: "a phantom", Body.NONE: "an unknown part of the body"}.get(body, f"the {body}")


def _preference(facts: SeriesFacts) -> tuple[bool, bool, int, float, str, str]:
    """Order of choice: complete, original, more directions, finer voxels, then latest; the UID makes it total."""
    volume = 1.0
    for edge in facts.voxel_mm or (1e3, 1e3, 1e3):  # a size that is not said loses against any that is
        volume *= edge
    return facts.complete, facts.original, facts.directions, -round(volume, 3), facts.acquired, facts.series_uid


_PREFERRED_FOR = ("complete", "original", "more directions", "finer voxels", "later", "all else equal, by UID")


def _choice(need: Need, accepted: Sequence[SeriesFacts]) -> str:
    best = accepted[0]
    sentence = f"{need.name}: {label(best)}"
    if len(accepted) == 1:
        return f"{sentence}, the only one that fits"
    return f"{sentence}, before " + ", ".join(f"{label(other)} ({_advantage(best, other)})" for other in accepted[1:])


def _advantage(best: SeriesFacts, other: SeriesFacts) -> str:
    pairs = zip(_PREFERRED_FOR, _preference(best), _preference(other), strict=True)
    return next(word for word, ours, theirs in pairs if ours != theirs)


def label(facts: SeriesFacts) -> str:
    """How a person finds the series on the console: its number, else the end of its UID."""
    return f"series {facts.number}" if facts.number is not None else f"series …{facts.series_uid[-12:]}"
