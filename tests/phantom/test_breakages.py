"""Each breakage changes what its name says and nothing else; our own reader comes to the verdict it expects."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from analyses.contract import RoleKind, Unsuitable
from analyses.dti.acceptance import accept
from analyses.registry import ANALYSES
from dicom_io import header
from dicom_io.classify import classify
from dicom_io.convert import convert
from dicom_io.facts import facts
from phantom import breakages, markers
from phantom.breakages import BREAKAGES, EVERY, UnknownBreakage
from phantom.deliveries import CannotSpoil
from phantom.dialects.series import Acquired
from phantom.examination import Dialect
from phantom.sequences import dwi
from phantom.slab import Plane, Slab
from tests.phantom import roundtrip

OBLIQUE = markers.slab(Plane.SAGITTAL, tilted=True, left_handed=True)
B = roundtrip.ONE_SHELL
G = roundtrip.gradients_of(B)


def components(g_lps: np.ndarray, where: Slab = OBLIQUE) -> np.ndarray:
    """Directions along rows, columns and slices."""
    return np.stack([[float(g @ axis) for axis in where.axes_lps.T] for g in g_lps])


# --- names


def test_what_is_refused_is_an_analysis_that_exists() -> None:
    known = {"", EVERY, *(analysis.name for analysis in ANALYSES)}
    for name, breakage in BREAKAGES.items():
        assert breakage.name == name
        assert breakage.refuses in known
        assert breakage.does
        assert breakage.expects


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UnknownBreakage, match=r"no breakage flip-w; there are flip-x, flip-y"):
        breakages.parsed(["flip-w"])
    with pytest.raises(UnknownBreakage, match="flip-x takes no number"):
        breakages.parsed(["flip-x:3"])
    for text in ("missing-slice:", "missing-slice:0", "missing-slice:two", "duplicates:-3"):
        with pytest.raises(UnknownBreakage, match="no number"):
            breakages.parsed([text])


def test_a_number_follows_the_name_or_is_the_usual_one() -> None:
    found = breakages.parsed(["no-slices", "duplicates:7", "missing-volume", "missing-slice:17", "shuffled"])
    assert [(one.name, number) for one, number in found] == [
        ("no-slices", 3),
        ("duplicates", 7),
        ("missing-volume", None),
        ("missing-slice", 17),
        ("shuffled", None),
    ]


# --- the b-table as written


@pytest.mark.parametrize(
    ("name", "order", "sign"),
    [
        ("flip-x", (0, 1, 2), (-1, 1, 1)),
        ("flip-y", (0, 1, 2), (1, -1, 1)),
        ("flip-z", (0, 1, 2), (1, 1, -1)),
        ("swap-xy", (1, 0, 2), (1, 1, 1)),
    ],
)
def test_an_axis_of_the_image_is_flipped_or_exchanged(name: str, order: tuple[int, ...], sign: tuple[int, ...]) -> None:
    b, g = breakages.table([name], B, G, OBLIQUE)
    np.testing.assert_array_equal(b, B)
    np.testing.assert_allclose(components(g), components(G)[:, order] * sign, atol=1e-14)
    again = breakages.table([name, name], B, G, OBLIQUE)[1]
    np.testing.assert_allclose(again, G, atol=1e-14)


def test_scanner_axes_forget_the_tilt_and_nothing_else() -> None:
    for plane in Plane:
        tilted, straight = markers.slab(plane, tilted=True), markers.slab(plane)
        _, g = breakages.table(["scanner-axes"], B, G, tilted)
        # seen along the rows and columns of the tilted image they are what a straight one would see
        np.testing.assert_allclose(components(g, tilted), components(G, straight), atol=1e-12)
        _, same = breakages.table(["scanner-axes"], B, G, straight)
        np.testing.assert_allclose(same, G, atol=1e-14)


def test_the_upper_half_has_the_same_axes() -> None:
    b, g = breakages.table(["upper-half"], B, G, OBLIQUE)
    np.testing.assert_array_equal(b, B)
    assert (g[:, 2] >= 0).all()
    assert (G[:, 2] < 0).any()
    np.testing.assert_allclose(np.abs((g * G).sum(axis=1)), (B > 0).astype(float), atol=1e-12)


def test_b_in_s_per_cm2_is_a_hundred_times_b() -> None:
    b, g = breakages.table(["b-in-s/cm2"], B, G, OBLIQUE)
    np.testing.assert_array_equal(b, 100 * B)
    np.testing.assert_array_equal(g, G)


def test_a_table_that_nobody_spoils_stays() -> None:
    b, g = breakages.table(["few-dirs", "no-names"], B, G, OBLIQUE)
    assert b is B
    assert g is G


@pytest.mark.parametrize(
    ("dialect", "changed"),
    [
        (Dialect.PHILIPS, {0x00189089, 0x200510B0}),
        (Dialect.GE, {0x001910BB}),
        (Dialect.SIEMENS, {0x0019100E, 0x00191027, 0x00291010}),
    ],
)
def test_flip_x_changes_only_the_written_table(dialect: Dialect, changed: set[int], tmp_path: Path) -> None:
    acquired = roundtrip.diffusion(markers.slab())
    _, g = breakages.table(["flip-x"], acquired.b, acquired.gradients_lps, acquired.slab)
    spoilt = Acquired(acquired.sequence, acquired.slab, acquired.data, acquired.b, g, acquired.slice_times_ms)
    right = roundtrip.write(dialect, tmp_path / "right", acquired)
    wrong = roundtrip.write(dialect, tmp_path / "wrong", spoilt)
    found = set()
    for one, other in zip(right, wrong, strict=True):
        a, b = pydicom.dcmread(one), pydicom.dcmread(other)
        assert [element.tag for element in a] == [element.tag for element in b]
        found |= {int(element.tag) for element in a if element != b[element.tag]}
    assert found == changed


# --- protocol and slab


def test_few_directions_are_too_few_for_a_tensor() -> None:
    asked = dwi.Protocol(shells=(dwi.Shell(1000.0, 32), dwi.Shell(2000.0, 32)))
    b, _ = dwi.table(breakages.protocol(["few-dirs"], asked))
    assert sorted(b) == [0.0] * asked.unweighted + [1000.0] * 5


def test_b0_only_has_no_weighting_and_half_a_sphere_has_one_side() -> None:
    asked = dwi.Protocol()
    assert not dwi.table(breakages.protocol(["b0-only"], asked))[0].any()
    b, g = dwi.table(breakages.protocol(["half-sphere"], asked))
    assert (g[:, 1] >= 0).all()
    assert len(b) == len(dwi.table(asked)[0])


def test_the_highest_shell_is_gone() -> None:
    asked = dwi.Protocol(shells=(dwi.Shell(2000.0, 20), dwi.Shell(1000.0, 12)))
    left = breakages.protocol(["one-shell-gone"], asked)
    assert left.shells == (dwi.Shell(1000.0, 12),)
    with pytest.raises(CannotSpoil, match="only one"):
        breakages.protocol(["one-shell-gone"], left)


def test_a_protocol_that_nobody_spoils_stays() -> None:
    asked = dwi.Protocol()
    assert breakages.protocol(["flip-x", "duplicates"], asked) is asked


@pytest.mark.parametrize("plane", list(Plane))
def test_a_left_handed_stack_has_the_same_voxels_the_other_way_round(plane: Plane) -> None:
    planned = markers.slab(plane, tilted=True)
    turned = breakages.slab(["left-handed"], planned)
    assert np.linalg.det(turned.axes_lps) * np.linalg.det(planned.axes_lps) < 0
    slices = planned.shape[2]
    for index in ((0, 0, 0), (3, 5, 7), (19, 23, 11)):
        other = np.array([index[0], index[1], slices - 1 - index[2], 1])
        np.testing.assert_allclose(turned.affine @ other, planned.affine @ [*index, 1], atol=1e-10)
    assert breakages.slab(["flip-x"], planned) is planned


# --- the verdict of the service's own reader

ONE_SHELL = dwi.Protocol(shells=(dwi.Shell(1000.0, 7),))
TWO_SHELLS = dwi.Protocol(shells=(dwi.Shell(1000.0, 7), dwi.Shell(2000.0, 7)))
OWN_TABLE = dwi.Protocol(shells=(dwi.Shell(1000.0, 7),), unweighted=1)


def spoilt_study(folder: Path, dialect: Dialect, name: str, asked: dwi.Protocol) -> Path:
    """T1 and DWI of the box under a breakage."""
    where = breakages.slab([name], markers.slab(tilted=True))
    true_b, true_g = dwi.table(breakages.protocol([name], asked))
    b, g = breakages.table([name], true_b, true_g, where)
    data = np.rint(markers.box()[..., None] * np.exp(-true_b / 3000)).astype(np.uint16)
    sequence = roundtrip.diffusion(where).sequence
    for acquired in (roundtrip.t1(where), Acquired(sequence, where, data, b, g, np.arange(where.shape[2]) * 100.0)):
        roundtrip.write(dialect, folder / str(acquired.sequence.number), acquired)
    breakages.files([name], folder, np.random.default_rng(1))
    return folder


def not_run(dicom: Path, work: Path) -> tuple[str, ...]:
    """What the service would not run."""
    work.mkdir()
    study = header.read_folder(dicom).series
    if not header.one_patient(one for series in study for one in series.instances):
        return (EVERY,)
    for series in study:
        role = classify(series)
        found = facts(series, role)
        if role.kind is not RoleKind.DWI or accept(found) is not None:
            continue
        try:
            volume = convert(series, found, work)
        except Unsuitable:
            continue
        assert volume.bvals is not None
        return ()
    return ("dti",)


IN_FILES = [name for name, breakage in BREAKAGES.items() if breakage.does.startswith("files")]
IN_EVERY_DIALECT = ["b-in-s/cm2", "b0-only", "left-handed", *IN_FILES]
CASES = [(dialect, name) for dialect in Dialect for name in IN_EVERY_DIALECT]
CASES += [(Dialect.GE, name) for name in BREAKAGES if name not in IN_EVERY_DIALECT]
IMPOSSIBLE = {  # one object holds the slices, or all volumes
    *((dialect, name) for dialect in list(Dialect)[1:4] for name in ("missing-slice", "no-slices")),
    (Dialect.PHILIPS_ENHANCED, "missing-volume"),
}


@pytest.mark.parametrize(("dialect", "name"), [case for case in CASES if case not in IMPOSSIBLE])
def test_the_reader_refuses_what_is_expected_and_nothing_else(dialect: Dialect, name: str, tmp_path: Path) -> None:
    asked = TWO_SHELLS if name == "one-shell-gone" else ONE_SHELL
    dicom = spoilt_study(tmp_path / "dicom", dialect, name, asked)
    played = breakages.protocol([name], asked)
    assert not_run(dicom, tmp_path / "work") == breakages.refused([name], dialect, played)


@pytest.mark.parametrize(("dialect", "name"), sorted(IMPOSSIBLE))
def test_what_a_dialect_cannot_lose_is_said(dialect: Dialect, name: str, tmp_path: Path) -> None:
    with pytest.raises(CannotSpoil, match=r"one object|each object"):
        spoilt_study(tmp_path, dialect, name, ONE_SHELL)


@pytest.mark.parametrize(
    ("dialect", "asked"),
    [(Dialect.SIEMENS, OWN_TABLE), (Dialect.PHILIPS, TWO_SHELLS), (Dialect.GE, TWO_SHELLS)],
)
def test_a_missing_volume_is_noticed_where_the_headers_count(
    dialect: Dialect, asked: dwi.Protocol, tmp_path: Path
) -> None:
    dicom = spoilt_study(tmp_path / "dicom", dialect, "missing-volume", asked)
    assert not_run(dicom, tmp_path / "work") == breakages.refused(["missing-volume"], dialect, asked)
