"""Every public code that we send exists with that meaning in the dictionaries of DICOM PS3.16 content."""

from __future__ import annotations

import re

import pytest
from pydicom.sr._concepts_dict import concepts

from analyses import quantities
from analyses.contract import Laterality, Statistic, Technique, Verdict
from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.results import codes, uids
from dicom_io.results.run import RunState

PRIVATE = "99BETZ"


def declared() -> list[quantities.Code]:
    """Every code of both tables."""
    of_results = [value for value in vars(codes).values() if isinstance(value, quantities.Code)]
    for table in vars(codes).values():
        if isinstance(table, dict):
            of_results += [value for value in table.values() if isinstance(value, quantities.Code)]
    return [q.code for q in quantities.QUANTITIES.values()] + list(quantities.SITES.values()) + of_results


def words(meaning: str) -> str:
    return re.sub(r"[^a-z0-9]", "", meaning.lower())


@pytest.mark.parametrize("code", sorted(set(declared()), key=lambda one: (one.scheme, one.value)), ids=str)
def test_a_public_code_is_in_the_dictionary_with_its_meaning(code):
    if code.scheme == PRIVATE:
        assert re.fullmatch(r"[A-Z0-9_]{1,16}", code.value)
        return
    known = {
        (value, words(meaning)) for entries in concepts[code.scheme].values() for value, (meaning, _) in entries.items()
    }
    assert (code.value, words(code.meaning)) in known


def test_every_meaning_fits_its_element():
    assert all(len(code.meaning) <= 64 for code in declared())


def test_no_two_things_share_a_code():
    own = [q.code.value for q in quantities.QUANTITIES.values()]
    assert len(set(own)) == len(own)


def test_every_word_of_the_contract_has_a_code():
    assert set(codes.STATISTIC) == set(Statistic)
    assert set(codes.LATERALITY) == set(Laterality)
    assert set(codes.VERDICT) == set(Verdict)
    assert set(codes.STATE) == set(RunState)
    assert set(codes.TECHNIQUE_NUMBER) == set(codes.DERIVATION_OF_TECHNIQUE) == set(Technique)


def test_every_technique_has_a_decade_of_series_numbers():
    numbers = sorted(codes.TECHNIQUE_NUMBER.values())
    assert all(number % 10 == 0 and 10 <= number <= 90 for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_every_unit_of_a_quantity_has_words():
    assert {q.unit for q in quantities.QUANTITIES.values()} <= set(codes.UNIT_MEANING)


@pytest.mark.parametrize(("said", "part"), [("", "BRAIN"), ("HEAD", "BRAIN"), ("CSPINE", "CSPINE"), ("CORD", "CSPINE")])
def test_the_body_part_follows_the_source(said, part, make_series):
    assert codes.body_part(make_series("axial", slices=1, BodyPartExamined=said)) == part


def test_a_uid_is_legal_and_its_parts_do_not_run_together():
    one, other = uids.uid("ab", "c"), uids.uid("a", "bc")
    assert one != other
    assert all(len(uid) <= 44 and re.fullmatch(r"2\.25\.[1-9]\d*", uid) for uid in (one, other, uids.BETZ_ROOT))
    assert uids.uid("ab", "c") == one


def test_the_digest_of_inputs_knows_instances_not_their_order_or_place(make_series):
    series = make_series("axial", slices=3)
    turned = SeriesHeader(series.instances[::-1])
    elsewhere = SeriesHeader(tuple(moved(one) for one in series.instances))
    assert uids.digest([series]) == uids.digest([turned]) == uids.digest([elsewhere]) == uids.digest([series, series])
    assert uids.digest([SeriesHeader(series.instances[:2])]) != uids.digest([series])


def moved(instance: InstanceHeader) -> InstanceHeader:
    from dataclasses import replace

    return replace(instance, path=instance.path / "elsewhere")
