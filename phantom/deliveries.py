"""What goes wrong between scanner and archive: objects lost, sent twice, stripped, renamed, or another person's.

In: a folder of series folders, as a dialect wrote it; it is changed in place. Truth and marks of the phantom stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

PLACE_TAGS = ["InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "NumberOfFrames", "ImageType"]
SAME_PLANE_MM = 0.05


class CannotSpoil(ValueError):
    """What was asked does not fit these objects; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A series by place and time. columns: one entry a slice place, along row x column; each a path a volume, in order.

    An object that holds a whole volume (mosaic, enhanced) has no place of its own: there is one column of them.
    """

    columns: tuple[tuple[Path, ...], ...]
    whole_volumes: bool

    @property
    def volumes(self) -> int:
        """How many there are at the fullest place."""
        return max(map(len, self.columns))


def series_folders(dicom: Path) -> tuple[Path, ...]:
    """Folders of the series, in order of their names."""
    return tuple(sorted(path for path in dicom.iterdir() if path.is_dir()))


def objects(series: Path) -> tuple[Path, ...]:
    """Objects of a series, in order of their names."""
    return tuple(sorted(series.glob("*.dcm")))


def stack(series: Path) -> Stack:
    """Sort the objects of a series into slices and volumes by their headers."""
    placed: list[tuple[float, int, Path]] = []
    whole = False
    for path in objects(series):
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=PLACE_TAGS)
        whole = whole or "NumberOfFrames" in dataset or "MOSAIC" in dataset.ImageType
        placed.append((0.0 if whole else _along_normal(dataset), int(dataset.InstanceNumber), path))
    columns: dict[int, list[tuple[int, Path]]] = defaultdict(list)
    height, column = -np.inf, -1
    for along, number, path in sorted(placed):
        if along - height > SAME_PLANE_MM:
            column += 1
        height = along
        columns[column].append((number, path))
    return Stack(tuple(tuple(path for _, path in sorted(found)) for found in columns.values()), whole)


def _along_normal(dataset: Dataset) -> float:
    row, column = np.reshape(np.array(dataset.ImageOrientationPatient, float), (2, 3))
    return float(np.cross(row, column) @ np.array(dataset.ImagePositionPatient, float))


def repeated_series(dicom: Path) -> Stack:
    """The series with the most volumes, which is the diffusion series."""
    return max((stack(series) for series in series_folders(dicom)), key=lambda one: one.volumes)


def _slices_apart(dicom: Path) -> Stack:
    series = repeated_series(dicom)
    if series.whole_volumes:
        raise CannotSpoil("a slice cannot be missing: each object of this dialect holds a whole volume")
    return series


def lose_slice(dicom: Path, number: int | None, random: np.random.Generator) -> None:
    """One slice of one volume of the diffusion series is missing; `number` from 1 along row x column, None = any."""
    series = _slices_apart(dicom)
    index = _index("slice", number, len(series.columns), random)
    column = series.columns[index]
    column[int(random.integers(1, len(column)))].unlink()


def lose_top_slices(dicom: Path, count: int) -> None:
    """The last `count` slices of every volume of the diffusion series are missing."""
    series = _slices_apart(dicom)
    if not 0 < count < len(series.columns):
        raise CannotSpoil(f"{count} of {len(series.columns)} slices cannot be missing")
    for column in series.columns[-count:]:
        for path in column:
            path.unlink()


def lose_volume(dicom: Path, number: int | None, random: np.random.Generator) -> None:
    """One volume of the diffusion series is missing; `number` from 1 in order of acquisition, None = any but b = 0."""
    series = repeated_series(dicom)
    if series.volumes < 2:
        raise CannotSpoil("a volume cannot be missing: one object of this dialect holds the whole series")
    index = _index("volume", number, series.volumes, random)
    for column in series.columns:
        column[index].unlink()


def _index(what: str, number: int | None, count: int, random: np.random.Generator) -> int:
    if number is None:
        return int(random.integers(1, count))
    if not 1 <= number <= count:
        raise CannotSpoil(f"there is no {what} {number}: the diffusion series has {count}")
    return number - 1


def repeat(dicom: Path, percent: float, random: np.random.Generator) -> None:
    """So many objects of every series, at least one, are there twice: same UID, another file."""
    for series in series_folders(dicom):
        found = objects(series)
        count = max(1, round(len(found) * percent / 100))
        for index in random.choice(len(found), min(count, len(found)), replace=False):
            found[index].with_stem(f"{found[index].stem}-again").write_bytes(found[index].read_bytes())


def shuffle(dicom: Path, random: np.random.Generator) -> None:
    """File names, and with them the order of sending, tell nothing of the order of acquisition."""
    for series in series_folders(dicom):
        found = objects(series)
        waiting = [path.rename(path.with_suffix(".waiting")) for path in found]
        for path, index in zip(waiting, random.permutation(len(found)), strict=True):
            path.rename(found[index])


def strip_private(dicom: Path) -> None:
    """Every element of a private (odd) group is gone, in sequences too, as many a de-identification does it."""
    _edit(_every_object(dicom), _strip)


def _strip(dataset: Dataset) -> None:
    # pydicom's own remove_private_tags() decodes every element on its way: four times slower
    for tag in [tag for tag in dataset.keys() if tag.is_private]:  # noqa: SIM118  iterating a dataset decodes it
        del dataset[tag]
    for tag in list(dataset.keys()):
        if dataset.get_item(tag).VR == "SQ":
            for item in dataset[tag].value:
                _strip(item)


def blank_names(dicom: Path) -> None:
    """Series description and protocol name say nothing."""

    def blank(dataset: Dataset) -> None:
        dataset.SeriesDescription = dataset.ProtocolName = ""

    _edit(_every_object(dicom), blank)


def swap_person(dicom: Path) -> None:
    """The first series belongs to another person of the same patient ID: birth date and sex are others."""

    def another(dataset: Dataset) -> None:
        dataset.PatientBirthDate = f"{int(dataset.PatientBirthDate[:4]) - 20}0202"
        dataset.PatientSex = "M" if dataset.PatientSex == "F" else "F"
        del dataset.PatientAge

    _edit(objects(series_folders(dicom)[0]), another)


def _every_object(dicom: Path) -> Sequence[Path]:
    return [path for series in series_folders(dicom) for path in objects(series)]


def _edit(paths: Iterable[Path], change: Callable[[Dataset], None]) -> None:
    for path in paths:
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)
