"""Planning: which series a need gets, why, and what is said when it gets none."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import pytest

from analyses.contract import Body, Cost, Need, Refusal, RoleKind, SeriesFacts, Technique
from dicom_io.classify import Role
from dicom_io.header import SeriesHeader
from service.plan import Candidate, Plan, plan, refuse_all

LEAST_DIRECTIONS = 6


def enough_directions(facts: SeriesFacts) -> Refusal | None:
    if facts.directions < LEAST_DIRECTIONS:
        return Refusal(f"has only {facts.directions} directions, {LEAST_DIRECTIONS} are needed")
    return None


@dataclass(frozen=True)
class Wish:
    """An analysis as the planner sees it."""

    needs: tuple[Need, ...]
    name: str = "wish"
    version: str = "1"
    technique: Technique = Technique.DTI
    produces: tuple[()] = ()
    cost: Cost = field(default_factory=lambda: Cost(1, 100, 10))


DWI = Wish((Need("dwi", RoleKind.DWI, accept=enough_directions),))
T1 = Wish((Need("t1", RoleKind.T1),))

PLAIN = SeriesFacts(
    series_uid="1.1",
    number=1,
    description="",
    role=RoleKind.DWI,
    body=Body.BRAIN,
    complete=True,
    completeness="all there",
    original=True,
    three_d=False,
    tr_ms=None,
    te_ms=(),
    ti_ms=None,
    flip_deg=None,
    field_t=3.0,
    volumes=33,
    slices=60,
    voxel_mm=(2.0, 2.0, 2.0),
    coverage_mm=120.0,
    bvals=(),
    directions=32,
    has_phase=False,
    acquired="20260101100000",
)


def candidate(facts: SeriesFacts) -> Candidate:
    role = Role(facts.role, facts.body, facts.body is Body.PHANTOM, "as said", ())
    return SeriesHeader(()), role, facts


def planned(analysis: Wish, *facts: SeriesFacts) -> Plan:
    return plan([candidate(one) for one in facts], [analysis])


def chosen(analysis: Wish, *facts: SeriesFacts) -> str:
    (job,) = planned(analysis, *facts).jobs
    assert job.runnable, job.reason
    return next(iter(job.series.values()))


BEST = replace(PLAIN, series_uid="1.5", number=5)


@pytest.mark.parametrize(
    ("worse", "word"),
    [
        (replace(PLAIN, complete=False, directions=64, acquired="20270101"), "complete"),
        (replace(PLAIN, original=False, directions=64, acquired="20270101"), "original"),
        (replace(PLAIN, directions=31, voxel_mm=(1.0, 1.0, 1.0), acquired="20270101"), "more directions"),
        (replace(PLAIN, voxel_mm=(2.0, 2.0, 2.5), acquired="20270101"), "finer voxels"),
        (replace(PLAIN, voxel_mm=None, acquired="20270101"), "finer voxels"),
        (replace(PLAIN, acquired="20260101095959"), "later"),
        (replace(PLAIN, series_uid="1.4"), "UID"),
    ],
)
def test_the_better_series_is_chosen_in_the_order_of_the_rules_and_the_reason_names_the_advantage(
    worse: SeriesFacts, word: str
) -> None:
    worse = replace(worse, series_uid=worse.series_uid if word == "UID" else "1.9", number=9)
    (job,) = planned(DWI, worse, BEST).jobs
    assert job.series == {"dwi": "1.5"}
    assert f"dwi: series 5, before series 9 ({'all else equal, by UID' if word == 'UID' else word})" in job.reason


def test_the_choice_does_not_depend_on_the_order_of_arrival() -> None:
    several = [
        replace(PLAIN, series_uid="1.2", directions=30),
        replace(PLAIN, series_uid="1.3", original=False),
        replace(PLAIN, series_uid="1.4", acquired="20260102"),
        BEST,
    ]
    plans = {repr(planned(DWI, *order)) for order in itertools.permutations(several)}
    assert len(plans) == 1


def test_a_missing_series_is_named() -> None:
    (job,) = planned(T1, PLAIN).jobs
    assert not job.runnable
    assert job.reason == "no T1 series"
    assert job.series == {}


def test_a_series_that_is_refused_is_named_by_its_number_with_the_reason() -> None:
    (job,) = planned(DWI, replace(PLAIN, number=2201, directions=3)).jobs
    assert not job.runnable
    assert job.reason == "series 2201: has only 3 directions, 6 are needed"


def test_a_refused_series_does_not_stand_in_the_way_of_one_that_fits() -> None:
    assert chosen(DWI, replace(PLAIN, series_uid="1.9", directions=3, acquired="20270101"), BEST) == "1.5"


def test_a_phantom_is_not_a_brain() -> None:
    (job,) = planned(DWI, replace(PLAIN, body=Body.PHANTOM)).jobs
    assert not job.runnable
    assert job.reason == "series 1 is DWI of a phantom, not of the brain"


def test_a_missing_series_of_the_cord_is_not_confused_with_the_brain() -> None:
    (job,) = planned(Wish((Need("dwi", RoleKind.DWI, Body.CORD),)), replace(PLAIN, role=RoleKind.T1)).jobs
    assert job.reason == "no DWI series of the cord"


def test_an_optional_need_that_is_not_met_does_not_stop_the_analysis_but_is_told() -> None:
    wish = Wish((Need("dwi", RoleKind.DWI), Need("field", RoleKind.FIELD_MAP, required=False)))
    (job,) = planned(wish, PLAIN).jobs
    assert job.runnable
    assert job.series == {"dwi": "1.1"}
    assert "no field map series" in job.reason


def test_every_missing_need_is_named_not_only_the_first() -> None:
    wish = Wish((Need("t1", RoleKind.T1), Need("flair", RoleKind.FLAIR)))
    (job,) = planned(wish, PLAIN).jobs
    assert job.reason == "no T1 series; no FLAIR series"


def test_a_prior_is_not_taken_from_the_same_study() -> None:
    wish = Wish((Need("before", RoleKind.DWI, prior=True),))
    (job,) = planned(wish, PLAIN).jobs
    assert not job.runnable
    assert "no earlier study" in job.reason


def test_a_study_that_must_not_be_touched_is_refused_as_a_whole() -> None:
    refused = refuse_all([DWI, T1], "two patients")
    assert [(job.runnable, job.reason) for job in refused.jobs] == [(False, "two patients")] * 2
    assert refused.runnable == ()
