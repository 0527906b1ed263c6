"""The fibre bundles of the body, as tubes round centre curves: a table that an anatomist can check.

Way-points are MNI mm on the right, mirrored to the left. Courses after the tract atlases of Mori 2005
(ISBN 978-0444517418), Wakana 2004 (10.1148/radiol.2301021640) and Catani 2008 (10.1016/j.cortex.2008.05.004); the
half-axes are estimates that give the volumes of those atlases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from phantom.anatomy.parcels import Side

Point = tuple[float, float, float]

FRONT_BACK: Point = (0.0, 1.0, 0.0)
UP_DOWN: Point = (0.0, 0.0, 1.0)
ACROSS: Point = (1.0, 0.0, 0.0)

HAND, LEG, BULBAR = "corticospinal, hand", "corticospinal, leg", "corticobulbar"
CORTICOSPINAL: tuple[str, ...] = (HAND, LEG, BULBAR)
CALLOSUM_MOTOR = "callosum, motor"


@dataclass(frozen=True, slots=True)
class Tube:
    """Centre curve through `points`; half-axes (mm) of its elliptic section: `a` along `lean`, `b` across, per point.

    lean: the direction that the first half-axis leans on, as near as the section's plane allows. Tubes of one name are
    branches of one bundle.
    """

    name: str
    points: tuple[Point, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    lean: Point = FRONT_BACK


def _even(name: str, points: tuple[Point, ...], a: float, b: float, lean: Point = FRONT_BACK) -> Tube:
    """A tube of one cross-section."""
    return Tube(name, points, (a,) * len(points), (b,) * len(points), lean)


def _arch(name: str, half: tuple[Point, ...], a: float, b: float, lean: Point = FRONT_BACK) -> Tube:
    """A commissure from its right half, whose last point lies on the midline."""
    return _even(name, half + tuple((-x, y, z) for x, y, z in reversed(half[:-1])), a, b, lean)


_STEM_A = (2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 6.0)
_STEM_B = (2.0, 2.0, 2.5, 2.5, 2.5, 2.5, 3.0, 3.5, 3.5, 3.5)

PAIRED: tuple[Tube, ...] = (
    Tube(
        HAND,
        (
            (5, -28, -48),
            (6, -26, -38),
            (9, -19.5, -24),
            (14, -18.5, -14),
            (19.5, -15.5, -4),
            (23, -14, 8),
            (26, -17, 22),
            (30, -20, 36),
            (34, -21, 48),
            (37, -20, 58),
        ),
        (3, 3, 4, 4, 3.5, 3.5, 5, 7, 8, 8),
        (2.5, 2.5, 3, 3, 3, 3, 3.5, 3.5, 3.5, 3.5),
    ),
    Tube(
        LEG,
        (
            (5, -30, -48),
            (6, -28, -38),
            (10.5, -22, -24),
            (15, -21.5, -14),
            (21, -19.5, -4),
            (24, -19, 8),
            (24, -22, 22),
            (20, -25, 38),
            (14, -26.5, 54),
            (10, -25.5, 67),
        ),
        _STEM_A,
        _STEM_B,
    ),
    Tube(
        BULBAR,
        (
            (4, -26, -44),
            (6, -24, -36),
            (7.5, -17.5, -24),
            (12.5, -15.5, -14),
            (18.5, -12.5, -4),
            (22, -10.5, 8),
            (27, -10, 20),
            (38, -11, 28),
            (47, -10, 33),
            (54, -8, 36),
        ),
        _STEM_A,
        _STEM_B,
    ),
    _even(
        "superior longitudinal fasciculus",
        ((40, 34, 24), (38, 18, 28), (36, 0, 30), (36, -18, 32), (38, -36, 32), (46, -48, 24)),
        5,
        4,
        UP_DOWN,
    ),
    _even(
        "arcuate fasciculus",
        (
            (46, 10, 18),
            (40, 0, 24),
            (37, -16, 26),
            (37, -32, 26),
            (40, -43, 20),
            (45, -46, 8),
            (49, -38, -4),
            (52, -24, -9),
        ),
        3.5,
        3,
        ACROSS,
    ),
    _even(
        "inferior longitudinal fasciculus",
        ((30, -82, 2), (37, -66, 0), (41, -48, -5), (42, -30, -11), (41, -14, -19), (39, 0, -28)),
        4,
        3.5,
        UP_DOWN,
    ),
    _even(
        "inferior fronto-occipital fasciculus",
        ((24, 50, 2), (28, 32, -3), (32, 14, -7), (35, -6, -7), (37, -32, 0), (33, -58, 6), (24, -80, 8)),
        4,
        3,
        UP_DOWN,
    ),
    _even(
        "uncinate fasciculus",
        ((18, 40, -12), (24, 27, -11), (31, 14, -11), (35, 6, -16), (37, 2, -24), (38, 2, -32)),
        3,
        2.5,
        ACROSS,
    ),
    _even(
        "cingulum",
        (
            (7, 26, -5),
            (8, 34, 4),
            (9, 33, 16),
            (9, 20, 28),
            (9, 5, 34),
            (9, -12, 36.5),
            (9, -28, 34),
            (10, -42, 25),
            (15, -45, 10),
            (22, -37, -3),
            (25, -26, -14),
        ),
        3,
        2.5,
        ACROSS,
    ),
    _even("fornix", ((2, 2, -6), (2, 1, 4), (2, -8, 14), (4, -20, 17), (10, -32, 14), (19, -38, 5)), 1.8, 1.5, ACROSS),
    _even(
        "anterior thalamic radiation",
        ((8, -12, 6), (12, -2, 7), (17, 9, 7), (20, 22, 9), (21, 36, 13), (22, 50, 15)),
        5,
        3,
        UP_DOWN,
    ),
    _even(
        "superior thalamic radiation, frontal",
        ((14, -10, 10), (20, -5, 15), (23, 0, 24), (24, 3, 36), (25, 5, 48), (25, 6, 58)),
        7,
        3.5,
    ),
    _even(
        "superior thalamic radiation, parietal",
        ((17, -24, 8), (24, -28, 14), (27, -32, 26), (30, -35, 38), (34, -37, 50), (36, -38, 58)),
        7,
        3.5,
    ),
    _even(
        "posterior thalamic radiation",
        ((18, -28, 6), (26, -34, 10), (31, -46, 15), (29, -60, 20), (24, -74, 26), (20, -84, 28)),
        5,
        3,
        UP_DOWN,
    ),
    _even(
        "optic radiation, upper",
        ((22, -26, -3), (30, -31, 1), (35, -44, 5), (32, -60, 6), (22, -78, 6), (12, -90, 4)),
        4,
        2.5,
        UP_DOWN,
    ),
    _even(
        "optic radiation, Meyer's loop",
        ((22, -25, -5), (29, -18, -8), (36, -20, -10), (39, -32, -6), (36, -50, -2), (26, -70, -2), (14, -86, 0)),
        3,
        2.5,
        UP_DOWN,
    ),
    _even(
        "medial lemniscus",
        ((3, -38, -52), (4, -36, -42), (6, -35, -30), (9, -30, -18), (12, -24, -6), (15, -21, 3)),
        2.2,
        1.8,
    ),
    _even(
        "superior cerebellar peduncle",
        ((15, -56, -34), (9, -48, -29), (6, -41, -22), (4, -33, -15), (3, -24, -9)),
        2.2,
        2,
        ACROSS,
    ),
    _even(
        "inferior cerebellar peduncle",
        ((6, -44, -58), (8, -43, -49), (11, -44, -41), (14, -49, -36), (18, -56, -35)),
        2.2,
        2,
        ACROSS,
    ),
    _even(
        "cerebellar white matter",
        ((24, -48, -34), (24, -58, -34), (20, -68, -36), (14, -76, -38)),
        4,
        4,
        UP_DOWN,
    ),
)

MIDLINE: tuple[Tube, ...] = (
    # All white columns of the cord, wider than it: the cord cuts out its own part. Its line is `cord.LINE_MM`.
    _even(
        "spinal cord",
        (
            (0, -40, -57),
            (0, -42.6, -62),
            (0, -46.5, -72),
            (0, -50.6, -88),
            (0, -53, -106),
            (0, -54.6, -126),
            (0, -57.6, -146),
            (0, -63, -166),
            (0, -70.5, -186),
            (0, -79.5, -206),
            (0, -89, -226),
        ),
        9,
        9,
    ),
    _arch("callosum, genu", ((28, 54, 10), (21, 46, 8), (10, 35, 6), (0, 30.5, 5)), 7, 3.5, UP_DOWN),
    _arch("callosum, prefrontal", ((32, 36, 34), (24, 31, 28), (12, 23, 21), (0, 19, 18.5)), 7.5, 3.3),
    _arch("callosum, premotor", ((30, 12, 56), (22, 9, 45), (12, 5, 31), (0, 3.5, 25)), 9.5, 3.2),
    # Its fan: to the leg in front of the corticospinal tract, to hand and face across it.
    _arch(CALLOSUM_MOTOR, ((9, -15, 60), (10, -15, 49), (10, -14.5, 39), (7, -13.5, 30), (0, -13, 25.5)), 5, 2.2),
    _arch(
        CALLOSUM_MOTOR,
        ((46, -18, 44), (39, -17.5, 38), (31, -17, 35.5), (22, -16, 34), (12, -14.5, 30.5), (0, -13, 25.5)),
        6.5,
        3.5,
    ),
    _arch(
        CALLOSUM_MOTOR,
        ((47, -8, 46), (40, -10, 40), (32, -12, 37), (22, -13, 35), (12, -13.5, 30.5), (0, -13, 25.5)),
        6.5,
        3.5,
    ),
    _arch("callosum, parietal", ((32, -44, 50), (24, -39, 41), (13, -31, 28), (0, -27, 21.5)), 8, 3.2),
    _arch("callosum, splenium", ((20, -84, 12), (24, -66, 16), (16, -48, 17), (0, -37, 12.5)), 5.5, 3.5, UP_DOWN),
    _arch("callosum, tapetum", ((42, -38, -8), (36, -44, 6), (26, -42, 18), (12, -38, 19), (0, -36, 15)), 4, 2),
    _arch("anterior commissure", ((38, -2, -20), (30, 0, -11), (18, 3, -6), (0, 3, -4)), 2, 1.7),
    _arch(
        "middle cerebellar peduncle",
        ((32, -58, -40), (25, -44, -36), (16, -30, -34), (8, -21, -33), (0, -18.5, -33)),
        6,
        3.5,
        UP_DOWN,
    ),
)


def tubes() -> Iterator[tuple[Tube, Side]]:
    """Every tube with its side; a left one is the mirrored right one."""
    for tube in PAIRED:
        yield tube, Side.RIGHT
        (x, y, z) = tube.lean
        yield replace(tube, points=tuple((-px, y_, z_) for px, y_, z_ in tube.points), lean=(-x, y, z)), Side.LEFT
    for tube in MIDLINE:
        yield tube, Side.BOTH
