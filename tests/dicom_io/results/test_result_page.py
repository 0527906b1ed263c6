"""Nothing on a page overlaps, is cut off or too small; what must be on it is on it; sides stay where they are."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image

from analyses.contract import (
    Body,
    Figure,
    Findings,
    Laterality,
    Measurement,
    QualityCheck,
    RoleKind,
    Statistic,
    Technique,
    Verdict,
)
from analyses.quantities import BRAIN, FA, MD, VOLUME, WHITE_MATTER
from dicom_io.classify import Role
from dicom_io.results.canvas import HEIGHT, WIDTH, Size, can_draw, width_of, wrapped
from dicom_io.results.flow import Column, Line, flow, nothing
from dicom_io.results.modules import source_attributes
from dicom_io.results.page import StudyText, draw_pages
from dicom_io.results.page_tables import asymmetry, unit_text
from dicom_io.results.report import study_text, write_report
from dicom_io.results.run import AnalysisRun, ObjectKind, RunState, object_kind
from tests.dicom_io.results.peers import errors_of_dciodvfy

STUDY = StudyText("Doe, Jane", "P-001", "2026-03-10", "Acme Magnet, 3 T", "Betz 0.1.0")
DWI = Role(RoleKind.DWI, Body.BRAIN, False, "b-values", ())
REASON = "a reason of many words that a radiologist reads to the end " * 6


def figure(rows=1200, columns=1500, shade=90) -> Figure:
    """A picture without symmetry: bright in its upper left corner."""
    rgb = np.full((rows, columns, 3), 40, np.uint8)
    rgb[0, 0], rgb[-1, -1] = 16, 16
    rgb[5 : rows // 3, 5 : columns // 3] = shade + 100
    return Figure("maps", "Colour FA, FA and MD in three planes; the patient's right is on the left.", rgb)


def worded(pages) -> list[list[str]]:
    return [[one.text for one in page.placed if one.text] for page in pages]


def assert_well_laid_out(pages) -> None:
    for page in pages:
        for one in page.placed:
            left, top, right, bottom = one.box
            assert left >= 0
            assert top >= 0
            assert right <= WIDTH, one
            assert bottom <= HEIGHT, one
            assert not one.text or one.size >= 22, one
        for one, other in itertools.combinations(page.placed, 2):
            apart = (
                one.box[2] <= other.box[0] or other.box[2] <= one.box[0]
                or one.box[3] <= other.box[1] or other.box[3] <= one.box[1]
            )  # fmt: skip
            assert apart, (one, other)


def checks(count: int, limited: int) -> tuple[QualityCheck, ...]:
    names = ("SNR at b=0", "negative eigenvalues", "white-matter MD", "a check whose name is too long for its line")
    return tuple(
        QualityCheck(
            names[n % len(names)], (0.000372, 21.381, 1000.0, None)[n % 4], ("1", "um2/ms", "s/mm2", "mm")[n % 4],
            "at least 15", Verdict.LIMITED if n < limited else Verdict.GOOD, REASON if n < limited else "",
        )
        for n in range(count)
    )  # fmt: skip


CASES = {
    "ordinary": {},
    "no figure": {"figures": ()},
    "no quality checks, statements or provenance": {"quality": (), "statements": (), "provenance": ()},
    "five figures of odd shapes": {
        "figures": (figure(), figure(300, 2400), figure(2400, 300), figure(50, 50), figure(600, 600))
    },
    "thirty checks, most of them bad": {"quality": checks(30, 22)},
    "forty statements": {"statements": tuple(f"{n}. {REASON}" for n in range(40))},
    "a word without end": {"statements": ("x" * 500,)},
    "both sides": {
        "measurements": tuple(
            Measurement(q, site, value, laterality=side, sd=0.1, n=1200)
            for site in (WHITE_MATTER, BRAIN)
            for q, value in ((FA, 0.5), (MD, 0.81), (VOLUME, 500.0))
            for side in Laterality
        )
    },
    "nothing measured": {"measurements": ()},
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_overlaps_is_cut_off_or_too_small(case, make_run):
    run = make_run("axial", slices=2)
    findings = replace(run.findings, **({"figures": (figure(),)} | CASES[case]))
    not_run = [
        AnalysisRun(f"a{n}", "1", Technique.DTI, {}, RunState.NOT_RUN, REASON) for n in range(4 if "bad" in case else 1)
    ]
    series = [(run.series["dwi"], DWI)] * (40 if "bad" in case else 2)
    pages = draw_pages(STUDY, series, [replace(run, findings=findings), *not_run])
    assert_well_laid_out(pages)
    for number_, words in enumerate(worded(pages), 1):
        assert f"page {number_} of {len(pages)}" in words
        assert "For research use only. Not for diagnosis." in words
        assert any(STUDY.patient in one and STUDY.patient_id in one and STUDY.study_date in one for one in words)
        assert STUDY.scanner in words
        assert STUDY.software in words


def test_long_reasons_are_there_to_the_last_word(make_run):
    run = make_run("axial", slices=2)
    sentence = f"{REASON}and this is its end"
    missing = AnalysisRun("qsm", "1", Technique.DTI, {}, RunState.UNSUITABLE, sentence)
    words = " ".join(itertools.chain.from_iterable(worded(draw_pages(STUDY, [(run.series["dwi"], DWI)], [missing]))))
    assert " ".join(sentence.split()) in words


def test_decimal_points_stand_under_each_other(make_run):
    run = make_run("axial", slices=2)
    numbers = (
        Measurement(FA, BRAIN, 0.4, sd=0.1),
        Measurement(MD, BRAIN, 10.25, sd=1.5),
    )
    page = draw_pages(STUDY, [], [replace(run, findings=Findings(numbers))])[1]
    shown = [one for one in page.placed if one.text in ("0.400", "10.250")]
    points = {one.text: one.box[0] + width_of(one.text.split(".")[0]) for one in shown}
    assert len(points) == 2
    first, second = points.values()
    assert abs(first - second) <= 2


def test_a_picture_keeps_its_sides_and_its_proportions(make_run):
    run = make_run("axial", slices=2)
    findings = replace(run.findings, figures=(figure(1000, 1400),))
    page = draw_pages(STUDY, [], [replace(run, findings=findings)])[1]
    (left, top, right, bottom) = next(one.box for one in page.placed if not one.text)
    assert (right - left) / (bottom - top) == pytest.approx(1.4, rel=0.01)
    shown = page.pixels[top:bottom, left:right].mean(axis=2)
    middle_row, middle_column = shown.shape[0] // 2, shown.shape[1] // 2
    upper_left = shown[: middle_row // 2, : middle_column // 2].mean()
    assert upper_left > shown[:middle_row, middle_column:].mean() + 50
    assert upper_left > shown[middle_row:, :middle_column].mean() + 50


def test_limited_numbers_are_grey_and_their_reason_is_given(make_run):
    run = make_run("axial", slices=2)
    words = worded(draw_pages(STUDY, [], [run]))[1]
    assert "Quality: limited" in words
    assert "Grey: limited quality" in " ".join(words)
    assert "3 of 17 volumes dropped. Wanted: at most 2." in " ".join(words)
    assert "SNR 21.5 at b = 0." in " ".join(words)
    assert words.index("Quality: limited") < words.index("Measurements")  # quality is read first


def test_without_norms_the_page_says_so(make_run):
    assert "No norms of this site" in " ".join(worded(draw_pages(STUDY, [], [make_run("axial", slices=2)]))[1])


def test_series_are_named_by_number_and_description_with_what_they_were_taken_for(make_run):
    run = make_run("axial", slices=2)
    words = worded(draw_pages(STUDY, [(run.series["dwi"], DWI)], [run]))
    assert {"5", "DTI b1000", "DWI", "Diffusion tensor imaging"} <= set(words[0])
    assert "dwi: series 5 DTI b1000 (2 instances, 20 × 24)" in " ".join(words[1])


def test_a_series_that_measured_nothing_is_called_not_used(make_run, make_series):
    run = make_run("axial", slices=2)
    other = make_series("axial", slices=2, SeriesInstanceUID="1.2.3.4", SeriesNumber=9, SeriesDescription="T1 sag")
    map_ = make_series("axial", slices=2, SeriesInstanceUID="1.2.3.5", SeriesNumber=10, SeriesDescription="ADC")
    t1 = Role(RoleKind.T1, Body.BRAIN, False, "", ())
    derived = Role(RoleKind.DERIVED, Body.BRAIN, False, "", ())
    words = worded(draw_pages(STUDY, [(run.series["dwi"], DWI), (other, t1), (map_, derived)], [run]))[0]
    at = words.index("T1 sag")
    assert words[at + 1 : at + 3] == ["T1", "not used"]
    at = words.index("DTI b1000")
    assert words[at + 1 : at + 3] == ["DWI", "Diffusion tensor imaging"]
    assert "Not used, derived: 10 ADC." in words


def test_a_total_and_the_voxels_stand_beside_their_region(make_run):
    words = worded(draw_pages(STUDY, [], [make_run("axial", slices=2)]))[1]
    assert "181\u202f234 voxels, 1412 ml" in words


@pytest.mark.parametrize(
    ("left", "right", "text"), [(0.5, 0.4, "+22.2 %"), (0.4, 0.5, "-22.2 %"), (1.0, 1.0, "+0.0 %"), (1.0, -1.0, "")]
)
def test_asymmetry_is_left_minus_right_over_their_mean(left, right, text):
    def side(value):
        return Measurement(FA, BRAIN, value)

    assert asymmetry(side(left), side(right)) == text


def test_units_are_written_for_people():
    assert [unit_text(unit) for unit in ("um2/ms", "1", "{voxels}", "ml")] == ["µm²/ms", "", "", "ml"]


def test_the_name_is_shown_in_a_script_that_the_typeface_has(make_series, maker):
    first = make_series("axial", slices=1).first
    assert study_text(source_attributes(first), first, maker).patient == "Yamada, Tarou"
    assert not can_draw("山田")
    nameless = make_series("axial", slices=1, PatientName="").first
    assert study_text(source_attributes(nameless), nameless, maker).patient == "name not given"


def test_a_line_is_never_wider_than_it_may_be():
    for line in wrapped(f"{REASON} {'y' * 300}", 400):
        assert width_of(line, Size.BODY) <= 400


@pytest.mark.integration
def test_pages_are_secondary_captures_with_the_pixels_of_the_png(make_run, maker, program, tmp_path):
    run = make_run("axial", slices=3)
    run = replace(run, findings=replace(run.findings, figures=(figure(),)))
    files = write_report([(run.series["dwi"], DWI)], [run], maker, tmp_path)[1:]
    assert [path.name for path in files] == ["page-1.dcm", "page-2.dcm"]
    uids = set()
    for position, path in enumerate(files, 1):
        assert errors_of_dciodvfy(program, path) == []
        assert object_kind(path) is ObjectKind.PAGE
        ds = pydicom.dcmread(path)
        assert np.array_equal(ds.pixel_array, np.asarray(Image.open(path.with_suffix(".png"))))
        assert ds.pixel_array.shape == (HEIGHT, WIDTH, 3)
        assert (ds.BurnedInAnnotation, ds.SeriesNumber, ds.InstanceNumber) == ("YES", 9000, position)
        assert ds.SeriesDescription == "Betz summary (research)"
        assert str(ds.PatientName).startswith("Yamada^Tarou=山田")
        uids |= {ds.SOPInstanceUID, ds.SeriesInstanceUID}
    assert len(uids) == 3


def test_left_stands_under_left_and_right_under_right(make_run):
    run = make_run("axial", slices=2)
    sides = (
        Measurement(FA, BRAIN, 0.41, laterality=Laterality.RIGHT),
        Measurement(FA, BRAIN, 0.52, laterality=Laterality.LEFT),
    )
    page = draw_pages(STUDY, [], [replace(run, findings=Findings(sides))])[1]
    edge = {one.text: one.box[2] for one in page.placed}
    assert abs(edge["0.520"] - edge["left"]) < 5
    assert abs(edge["0.410"] - edge["right"]) < 5
    assert edge["+23.7 %"] > edge["right"]


def test_a_heading_moves_on_with_its_text():
    columns = (Column(page, 0, 0, 100) for page in itertools.count())
    lines = [Line(80, nothing), Line(15, nothing, keep=True), Line(15, nothing)]
    assert [column.page for _, column, _ in flow(lines, columns)] == [0, 1, 1]


def test_a_figure_drawn_for_the_page_is_shown_pixel_by_pixel(make_run):
    """Lettering in a figure has the page's smallest size: scaled down it would be smaller."""
    run = make_run("axial", slices=2)
    made = figure(420, 900)
    pages = draw_pages(STUDY, [], [replace(run, findings=replace(run.findings, figures=(made, made)))])
    for page, count in ((pages[0], 1), (pages[1], 2)):
        shown = [one.box for one in page.placed if not one.text]
        assert len(shown) == count
        for left, top, right, bottom in shown:
            assert np.array_equal(page.pixels[top:bottom, left:right], made.rgb)


def test_spreads_have_no_rows_of_their_own_beside_sides(make_run):
    run = make_run("axial", slices=2)
    numbers = tuple(
        Measurement(FA, BRAIN, value, statistic, laterality=side)
        for side in Laterality
        for statistic, value in ((Statistic.MEAN, 0.5), (Statistic.SD, 0.111))
    )
    words = worded(draw_pages(STUDY, [], [replace(run, findings=Findings(numbers))]))[1]
    assert "0.111" not in words
    assert words.count("0.500") == 2
