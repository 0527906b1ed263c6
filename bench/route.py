"""Routing: role and body of every series of the real scanner data, and of the digital patient in every dialect.

The truth is `expected-roles.json`: $BETZ_EXPECTED_ROLES, or beside the unpacked or the packed data sets; its NIfTI
rows are no business of routing. The confusion tables, with names and without, come below the rows.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.row import Better, Row, absolute
from dicom_io.classify import Role, classify_all
from dicom_io.facts import facts
from dicom_io.header import SeriesHeader, read_folder, read_series
from phantom import diffusion, plan
from phantom.dialects.identity import Identity
from phantom.dialects.registry import WRITERS
from phantom.dialects.series import Acquired, Sequence
from phantom.examination import Dialect
from phantom.sequences import dwi
from phantom.slab import Plane, Slab

DATA = Path(os.environ.get("BETZ_DATA", Path.home() / ".cache" / "betz-data"))
TRUTH = "expected-roles.json"
PACKED = Path(__file__).parents[2] / "shared" / "data"
SPEED_SET, SPEED_SERIES = "philips-elition-study", "s2201"
PHANTOM_VOXEL_MM = 4.0  # routing looks at headers: the fields of view are a head's, the pixels need not be
PHANTOM_DIRECTIONS, PHANTOM_REVERSED = 12, 3
SHELLS = dwi.Shell(1000.0, PHANTOM_DIRECTIONS), dwi.Shell(2500.0, PHANTOM_DIRECTIONS)


@dataclass(frozen=True, slots=True)
class Routed:
    """One series: what it should be, and what it was found to be with and without names."""

    data_set: str
    number: int | None
    expected: tuple[str, str]  # role, body
    named: Role
    blanked: Role


def expected_roles() -> dict[str, dict[str, dict[str, str]]]:
    """Data set -> SeriesInstanceUID -> role and body, DICOM series only; {} where the truth is not at hand."""
    told = os.environ.get("BETZ_EXPECTED_ROLES")
    places = [Path(told)] if told else [DATA / TRUTH, PACKED / TRUTH]
    truth = next((path for path in places if path.is_file()), None)
    if truth is None:
        return {}
    table = json.loads(truth.read_text("utf-8"))
    dicom = {
        name: {uid: row for uid, row in rows.items() if not uid.startswith("file:")} for name, rows in table.items()
    }
    return {name: rows for name, rows in dicom.items() if rows and (DATA / name).is_dir()}


def without_names(series: SeriesHeader) -> SeriesHeader:
    """The same series as if nobody had named it, its protocol or its study."""
    return SeriesHeader(
        tuple(
            replace(instance, series_description="", protocol_name="", study_description="")
            for instance in series.instances
        )
    )


def route() -> list[Routed]:
    """Classify every series of the real data twice."""
    found: list[Routed] = []
    for name, rows in expected_roles().items():
        study = [series for series in read_folder(DATA / name).series if series.first.series_uid in rows]
        named, blanked = classify_all(study), classify_all([without_names(series) for series in study])
        for series, with_names, without in zip(study, named, blanked, strict=True):
            row = rows[series.first.series_uid]
            found.append(Routed(name, series.first.series_number, (row["role"], row["body"]), with_names, without))
    return found


def phantom_series() -> dict[int, tuple[Acquired, tuple[str, str]]]:
    """Series of one examination by number, and the role and body that each has: T1, one shell, two, reverse phase."""
    head = _slab(plan.T1_FIELD_MM, Plane.SAGITTAL)
    one_shell = dwi.Protocol(shells=SHELLS[:1])
    two_shells = dwi.Protocol(shells=SHELLS, reversed_unweighted=PHANTOM_REVERSED)
    reverse = diffusion.reversed_protocol(two_shells)
    series = [
        (Acquired(plan.T1, head, _pixels(head, 1)), "T1"),
        (_diffusion(plan.diffusion(one_shell), one_shell), "DWI"),
        (_diffusion(replace(plan.diffusion(two_shells), number=401), two_shells), "DWI"),
        (_diffusion(plan.reversed_diffusion(two_shells), reverse), "field map"),
    ]
    return {acquired.sequence.number: (acquired, (role, "brain")) for acquired, role in series}


def _diffusion(sequence: Sequence, protocol: dwi.Protocol) -> Acquired:
    where = _slab(plan.DWI_FIELD_MM, Plane.AXIAL)
    b, g_lps = dwi.table(protocol)
    times = plan.slice_times_ms(where.shape[2], protocol.tr_ms)
    return Acquired(sequence, where, _pixels(where, len(b)), b, g_lps, times)


def _slab(field_mm: tuple[float, float, float], plane: Plane) -> Slab:
    columns, rows, slices = (round(edge / PHANTOM_VOXEL_MM) for edge in field_mm)
    return Slab.around((0.0, -18.0, 0.0), (columns, rows, slices), (PHANTOM_VOXEL_MM,) * 3, plane, (9.0, 0.0, 0.0))


def _pixels(where: Slab, volumes: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    return np.full((*where.shape, volumes), 500, np.uint16)


def route_phantom(dialect: Dialect, folder: Path) -> list[Routed]:
    """Write the phantom's series in a dialect into `folder` (empty) and classify them twice."""
    series = phantom_series()
    identity = Identity(f"routing {dialect}", 7)
    for number, (acquired, _) in series.items():
        for _path in WRITERS[dialect](folder / str(number), acquired, identity):
            pass
    study = read_folder(folder).series
    named, blanked = classify_all(study), classify_all([without_names(one) for one in study])
    return [
        Routed(dialect, one.first.series_number, series[one.first.series_number or 0][1], with_names, without)
        for one, with_names, without in zip(study, named, blanked, strict=True)
    ]


def is_right(expected: tuple[str, str], role: Role) -> bool:
    """Both the role and the body."""
    return expected == (role.kind.value, role.body.value)


def rows() -> Iterator[Row]:
    """Share of series with the right role and body, and the cost of reading headers."""
    routed = route()
    yield _share("route.roles", routed, [is_right(one.expected, one.named) for one in routed], 100.0)
    yield _share("route.roles blanked names", routed, [is_right(one.expected, one.blanked) for one in routed], 98.0)
    yield from _phantom()
    yield from _speed()


def _phantom() -> Iterator[Row]:
    """The same for the digital patient, which must be told from a person too."""
    routed: list[Routed] = []
    for dialect in WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            routed += route_phantom(dialect, Path(folder))
    yield _share("route.phantom.roles", routed, [is_right(one.expected, one.named) for one in routed], 100.0)
    blanked = [is_right(one.expected, one.blanked) for one in routed]
    yield _share("route.phantom.roles blanked names", routed, blanked, 98.0)
    yield _share("route.phantom.told from a person", routed, [one.named.phantom for one in routed], 100.0)


def _share(name: str, routed: list[Routed], right: list[bool], goal: float) -> Row:
    if not right:
        return absolute(name, math.nan, Better.AT_LEAST, goal, "%", note=f"{TRUTH} or the data sets are not here")
    wrong = [f"{one.data_set} {one.number}" for one, fine in zip(routed, right, strict=True) if not fine]
    note = f"{sum(right)} of {len(right)} series" + (f"; wrong: {', '.join(wrong)}" if wrong else "")
    return absolute(name, 100.0 * sum(right) / len(right), Better.AT_LEAST, goal, "%", note=note)


def _speed() -> Iterator[Row]:
    folder = DATA / SPEED_SET / SPEED_SERIES
    if not folder.is_dir():
        return
    paths = sorted(folder.iterdir())
    start = time.process_time()
    series = read_series(paths)
    headers = time.process_time() - start
    facts(series, classify_all([series])[0])
    both = time.process_time() - start
    note = f"{len(paths)} Philips files, CPU; with role and facts {both:.2f} s"
    yield absolute("route.headers", headers, Better.AT_MOST, 3.0, "s", note=note)


def appendix() -> str:
    """Two tables, with names and without: expected role and body down, found across, only what occurs."""
    routed = route()
    parts = []
    for title, roles in (
        ("with names", [one.named for one in routed]),
        ("SeriesDescription, ProtocolName and StudyDescription blanked", [one.blanked for one in routed]),
    ):
        pairs = Counter(
            (", ".join(one.expected), f"{role.kind.value}, {role.body.value}")
            for one, role in zip(routed, roles, strict=True)
        )
        parts.append(f"{title}\n{_table(pairs)}")
    return "\n\n".join(parts)


def _table(pairs: Counter[tuple[str, str]]) -> str:
    down = sorted({expected for expected, _ in pairs})
    across = sorted({found for _, found in pairs})
    width = max((len(name) for name in (*down, *across)), default=8)
    legend = [f"  [{index}] {name}" for index, name in enumerate(across, 1)]
    head = " " * (width + 4) + "".join(f"{f'[{index}]':>5}" for index in range(1, len(across) + 1))
    lines = [f"  {name:<{width}}  " + "".join(f"{pairs[name, found] or '·':>5}" for found in across) for name in down]
    return "\n".join(["found:", *legend, "expected:", head, *lines])
