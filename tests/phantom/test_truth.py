"""truth.json: its form, that it tells of everything an analysis may yield, and that tolerances say why."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from analyses.contract import Laterality, Statistic
from analyses.quantities import FA, QUANTITIES, SITES, THICKNESS, VOLUME, VOLUME_CHANGE, WHITE_MATTER
from analyses.registry import ANALYSES
from phantom import tolerances
from phantom.anatomy.parcels import PARCELS, Parcel, Side, Structure
from phantom.disease import LIMB_LEFT
from phantom.examination import Examination
from phantom.truth import (
    Allowance,
    Cause,
    Kind,
    NotRun,
    Refusal,
    TimePoint,
    Tolerance,
    TrueMeasurement,
    TrueSeries,
    Truth,
    left_out,
    of_parcels,
    parameters,
    to_json,
    untold,
    write,
)

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "truth.schema.json").read_text("utf-8"))
NARROW = Tolerance((Allowance(Cause.NOISE, 0.002, "SNR 30"), Allowance(Cause.FLOOR, 0.010, "edge")))
DWI = TrueSeries("1.2.3.4", "DWI", "301", 2, (0.0, 1000.0), ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)))


@pytest.fixture
def small(tmp_path: Path) -> Truth:
    """Truth of a study with everything that the form has."""
    thickness = of_parcels(
        THICKNESS,
        {Parcel(Structure.PRECENTRAL_HAND, Side.LEFT): 2.4, Parcel(Structure.PRECENTRAL_HAND, Side.RIGHT): 2.6},
        tolerances.thickness,
    )
    return Truth(
        tmp_path,
        parameters(Examination(disease=LIMB_LEFT), "1", "test body"),
        "1.2.3",
        (DWI,),
        (TrueMeasurement("dti", FA, WHITE_MATTER, 0.45, Kind.EXPECTED, NARROW, 1000), *thickness),
        {"FA": "truth/FA.nii.gz"},
        (-27.0, 30.0, 20.0),
        not_run=(NotRun("qsm", "no multi-echo GRE in this study"),),
        refuse=(Refusal("qball", "directions"),),
        timepoints=(TimePoint(0, 0.0, "1.2.3"), TimePoint(1, 0.5, "1.2.4")),
    )


def test_the_file_has_the_form_that_was_promised(small: Truth, noisy: Truth) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for truth in (small, noisy):
        record = json.loads(write(truth).read_text("utf-8"))
        Draft202012Validator(SCHEMA).validate(record)
        for item in record["measurements"]:
            assert item["code"] == "{0.scheme}:{0.value}".format(QUANTITIES[item["quantity"]].code)


@pytest.mark.parametrize(
    "fault",
    [
        lambda r: r["measurements"][0].pop("unit"),
        lambda r: r["measurements"][0].update(laterality="both"),
        lambda r: r["measurements"][0]["tolerance"].pop("why"),
        lambda r: r["phantom"].pop("study_uid"),
        lambda r: r["phantom"]["severity"].update(hand=2.0),
        lambda r: r.update(patient="somebody"),
        lambda r: r.update(schema=2),
        lambda r: r["maps"].update(FA="../FA.nii.gz"),
        lambda r: r["series"]["1.2.3.4"].update(dropped=[[1, -2]]),
        lambda r: r["series"]["1.2.3.4"].update(motion={}),
    ],
)
def test_the_schema_notices_what_breaks_the_form(small: Truth, fault) -> None:
    record = json.loads(json.dumps(to_json(small)))
    fault(record)
    assert not Draft202012Validator(SCHEMA).is_valid(record)


def test_a_number_that_is_none_is_not_written(small: Truth) -> None:
    broken = replace(small.measurements[0], value=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        write(replace(small, measurements=(broken,)))


def test_the_truth_tells_of_every_quantity_that_an_analysis_may_yield(noisy: Truth) -> None:
    """Every registered analysis measures something from the phantom, or the truth says why it does not."""
    assert untold(noisy, ANALYSES) == []
    without = tuple(one for one in noisy.measurements if one.quantity is not FA)
    assert untold(replace(noisy, measurements=without), ANALYSES) == ["FA of dti"]
    assert untold(replace(noisy, measurements=(), not_run=(NotRun("dti", "x"),)), ANALYSES) == []
    assert untold(replace(noisy, measurements=(), refuse=(Refusal("dti"),)), ANALYSES) == []


def test_what_was_put_in_is_no_answer_to_what_an_analysis_yields(noisy: Truth) -> None:
    put_in = tuple(one for one in noisy.measurements if one.kind is Kind.BODY)
    assert put_in
    assert len(untold(replace(noisy, measurements=put_in), ANALYSES)) == len(ANALYSES[0].produces)


def test_an_analysis_without_its_series_is_not_run() -> None:
    t1 = TrueSeries("1.2.3.5", "T1", "201", 3)
    assert left_out(ANALYSES, (t1, DWI)) == ()
    assert left_out(ANALYSES, (t1,)) == (NotRun("dti", "no DWI in this study"),)


def test_parcels_keep_their_side() -> None:
    values = {parcel: float(number) for number, parcel in enumerate(PARCELS)}
    told = of_parcels(VOLUME, values, tolerances.parcel_volume, Statistic.TOTAL)
    for one in told:
        parcel = Parcel(Structure(one.site), Side(one.laterality.value) if one.laterality else Side.BOTH)
        assert one.value == values[parcel]
        assert (one.kind, one.analysis, one.statistic) == (Kind.BODY, "", Statistic.TOTAL)
    hand = [one for one in told if one.site == "precentral gyrus, hand"]
    assert [one.laterality for one in hand] == [Laterality.LEFT, Laterality.RIGHT]


def test_every_parcel_but_those_of_the_cord_is_a_site_with_a_code_of_its_own() -> None:
    missing = {s for s in Structure if s.value not in SITES}
    assert missing == {s for s in Structure if s.value.startswith("spinal cord")}
    codes = [(code.scheme, code.value) for code in SITES.values()]
    assert len(set(codes)) == len(codes)


def test_a_tolerance_is_the_sum_of_its_parts_and_says_why() -> None:
    assert NARROW.absolute == pytest.approx(0.012)
    assert NARROW.why == "noise 0.002 (SNR 30) + method 0.01 (edge)"
    wide = tolerances.widened(NARROW, -0.05)
    assert wide.absolute == pytest.approx(0.062)
    assert "bias of the reference 0.05" in wide.why
    assert tolerances.volume_change(-1.5, 0.5).absolute == pytest.approx(2 * tolerances.CHANGE_FLOOR_PERCENT)


def test_a_side_is_asked_for_by_name(small: Truth) -> None:
    assert small.value("thickness", "precentral gyrus, hand", Kind.BODY, Laterality.RIGHT).value == 2.6
    with pytest.raises(KeyError, match="no body truth of thickness at precentral gyrus, hand"):
        small.value("thickness", "precentral gyrus, hand", Kind.BODY)


def test_what_it_was_made_from_names_the_struck_hemisphere(small: Truth) -> None:
    assert small.parameters["preset"] == "limb-left"
    assert small.parameters["severity"] == {"leg, right hemisphere": 1, "hand, right hemisphere": 1}


def test_a_change_has_its_unit() -> None:
    (one,) = of_parcels(VOLUME_CHANGE, {Parcel(Structure.BRAINSTEM, Side.BOTH): -1.0}, lambda _: NARROW)
    assert (one.quantity.unit, one.laterality) == ("%/a", None)
