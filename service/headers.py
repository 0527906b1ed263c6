"""Headers of the stored instances, each read once: settling, planning, analyses and the report want the same ones.

A received file never changes. In a process they are remembered by path; to a job's process they go as a file beside its
order, written and read by Betz alone, because reading them again costs more than most of what a report does.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dicom_io import header
from dicom_io.header import InstanceHeader, SeriesHeader, Unreadable

HEADERS_FILE = "headers.pickle"
REMEMBERED = 10_000  # instances, about 5 kB each

_remembered: OrderedDict[Path, InstanceHeader] = OrderedDict()


def read_instance(path: Path) -> InstanceHeader:
    """Header of a file that never changes; `Unreadable` says why there is none."""
    if path in _remembered:
        _remembered.move_to_end(path)
        return _remembered[path]
    found = header.read_instance(path)
    _remembered[path] = found
    if len(_remembered) > REMEMBERED:
        _remembered.popitem(last=False)
    return found


def read_series(paths: Iterable[Path]) -> tuple[SeriesHeader, tuple[tuple[Path, str], ...]]:
    """Read the instances of one series, and list those that cannot be read with the reason.

    Raises `Unreadable` when none can.
    """
    good: list[InstanceHeader] = []
    bad: list[tuple[Path, str]] = []
    for path in paths:
        try:
            good.append(read_instance(path))
        except Unreadable as reason:
            bad.append((path, str(reason)))
    if not good:
        raise Unreadable(bad[0][1] if bad else "the series has no files")
    return header.series_of(good), tuple(bad)


def hand_over(folder: Path, series: Iterable[SeriesHeader]) -> None:
    """Leave headers for the job in `folder`."""
    (folder / HEADERS_FILE).write_bytes(pickle.dumps(tuple(series), pickle.HIGHEST_PROTOCOL))


def take_over(folder: Path, wanted: Mapping[str, Sequence[str]]) -> dict[str, SeriesHeader]:
    """Headers of the wanted series (UID -> files), from `hand_over` where they are of just these files, else read."""
    try:
        left: tuple[SeriesHeader, ...] = pickle.loads((folder / HEADERS_FILE).read_bytes())
    except OSError:
        left = ()
    there = {one.first.series_uid: one for one in left}
    found = {}
    for uid, files in sorted(wanted.items()):
        paths = {Path(file) for file in files}
        handed = there.get(uid)
        if handed is None or {one.path for one in handed.instances} != paths:
            handed = read_series(sorted(paths))[0]
        found[uid] = handed
    return found
