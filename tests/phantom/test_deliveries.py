"""What is lost, repeated, stripped or renamed on the way is exactly what was asked; the rest keeps its bytes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_io import header
from phantom import deliveries, markers
from phantom.deliveries import CannotSpoil
from phantom.dialects.series import Acquired
from phantom.examination import Dialect
from tests.phantom import roundtrip

SLICES, VOLUMES = markers.SHAPE[2], len(roundtrip.ONE_SHELL)
DWI_NUMBER = roundtrip.diffusion(markers.slab()).sequence.number
T1_NUMBER = roundtrip.t1(markers.slab()).sequence.number
APART = [Dialect.PHILIPS, Dialect.GE]


def study(folder: Path, dialect: Dialect) -> Path:
    """T1 and DWI of the box."""
    where = markers.slab(tilted=True)
    for acquired in (roundtrip.t1(where), roundtrip.diffusion(where)):
        roundtrip.write(dialect, folder / str(acquired.sequence.number), acquired)
    return folder


def contents(dicom: Path) -> dict[Path, bytes]:
    return {path.relative_to(dicom): path.read_bytes() for path in dicom.rglob("*.dcm")}


def lost(before: dict[Path, bytes], dicom: Path) -> list[pydicom.Dataset]:
    """The objects that are gone; all others must be there unchanged."""
    after = contents(dicom)
    assert after.items() <= before.items()
    return [pydicom.dcmread(pydicom.filebase.DicomBytesIO(before[path])) for path in before.keys() - after.keys()]


def slice_number(dataset: pydicom.Dataset, acquired: Acquired) -> int:
    """From 0 along row x column."""
    away = np.array(dataset.ImagePositionPatient, float) - acquired.slab.origin_lps
    return round(float(away @ acquired.slab.normal_lps) / acquired.slab.voxel_mm[2])


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("dialect", APART)
def test_one_slice_of_one_volume_is_lost(dialect: Dialect, tmp_path: Path, random: np.random.Generator) -> None:
    before = contents(study(tmp_path, dialect))
    deliveries.lose_slice(tmp_path, 5, random)
    (gone,) = lost(before, tmp_path)
    assert gone.SeriesNumber == DWI_NUMBER
    assert slice_number(gone, roundtrip.diffusion(markers.slab(tilted=True))) == 4


@pytest.mark.parametrize("dialect", APART)
def test_the_last_slices_of_every_volume_are_lost(dialect: Dialect, tmp_path: Path) -> None:
    before = contents(study(tmp_path, dialect))
    deliveries.lose_top_slices(tmp_path, 3)
    gone = lost(before, tmp_path)
    acquired = roundtrip.diffusion(markers.slab(tilted=True))
    assert Counter(slice_number(one, acquired) for one in gone) == dict.fromkeys(range(SLICES - 3, SLICES), VOLUMES)


@pytest.mark.parametrize("dialect", [*APART, Dialect.SIEMENS, Dialect.SIEMENS_XA])
def test_one_volume_is_lost_whole(dialect: Dialect, tmp_path: Path, random: np.random.Generator) -> None:
    before = contents(study(tmp_path, dialect))
    deliveries.lose_volume(tmp_path, 4, random)
    gone = lost(before, tmp_path)
    assert {one.SeriesNumber for one in gone} == {DWI_NUMBER}
    if dialect in APART:
        acquired = roundtrip.diffusion(markers.slab(tilted=True))
        assert sorted(slice_number(one, acquired) for one in gone) == list(range(SLICES))
    else:
        assert len(gone) == 1
    series = header.read_series(sorted((tmp_path / str(DWI_NUMBER)).glob("*.dcm")))
    left = {frame.gradient_lps for one in series.instances for frame in one.frames if frame.bvalue}
    assert len(left) == VOLUMES - 2, "the direction of the fourth volume is gone, all others and b = 0 are there"


def test_what_an_object_holds_whole_cannot_lose_a_part(tmp_path: Path, random: np.random.Generator) -> None:
    for dialect in (Dialect.SIEMENS, Dialect.SIEMENS_XA, Dialect.PHILIPS_ENHANCED):
        dicom = study(tmp_path / dialect, dialect)
        with pytest.raises(CannotSpoil, match="holds a whole volume"):
            deliveries.lose_slice(dicom, None, random)
    with pytest.raises(CannotSpoil, match="holds the whole series"):
        deliveries.lose_volume(tmp_path / Dialect.PHILIPS_ENHANCED, None, random)


def test_no_slice_or_volume_beyond_the_series(tmp_path: Path, random: np.random.Generator) -> None:
    dicom = study(tmp_path, Dialect.GE)
    with pytest.raises(CannotSpoil, match=f"there is no slice 13: the diffusion series has {SLICES}"):
        deliveries.lose_slice(dicom, 13, random)
    with pytest.raises(CannotSpoil, match="no volume 9"):
        deliveries.lose_volume(dicom, 9, random)
    with pytest.raises(CannotSpoil, match="12 of 12 slices"):
        deliveries.lose_top_slices(dicom, SLICES)


def test_objects_sent_twice_are_the_same_objects(tmp_path: Path, random: np.random.Generator) -> None:
    before = contents(study(tmp_path, Dialect.GE))
    deliveries.repeat(tmp_path, 10, random)
    after = contents(tmp_path)
    assert before.items() <= after.items()
    new = [after[path] for path in after.keys() - before.keys()]
    assert len(new) == round(SLICES / 10) + round(SLICES * VOLUMES / 10)
    assert set(new) <= set(before.values())
    assert len(set(new)) == len(new)


def test_shuffled_names_hold_the_same_objects_in_another_order(tmp_path: Path, random: np.random.Generator) -> None:
    before = contents(study(tmp_path, Dialect.GE))
    deliveries.shuffle(tmp_path, random)
    after = contents(tmp_path)
    assert before.keys() == after.keys()
    assert sorted(before.values()) == sorted(after.values())
    assert sum(before[path] != after[path] for path in before) > len(before) / 2
    assert not list(tmp_path.rglob("*.waiting"))


@pytest.mark.parametrize("dialect", list(Dialect))
def test_stripped_objects_have_no_private_element_anywhere_and_all_others(dialect: Dialect, tmp_path: Path) -> None:
    before = {path: pydicom.dcmread(path) for path in study(tmp_path, dialect).rglob("*.dcm")}
    deliveries.strip_private(tmp_path)
    for path, was in before.items():
        stripped = pydicom.dcmread(path)
        assert not [element for element in stripped.iterall() if element.tag.is_private]
        was.remove_private_tags()
        assert stripped == was
        assert stripped.file_meta == was.file_meta


@pytest.mark.parametrize("dialect", list(Dialect))
def test_blank_names_take_nothing_else(dialect: Dialect, tmp_path: Path) -> None:
    before = {path: pydicom.dcmread(path) for path in study(tmp_path, dialect).rglob("*.dcm")}
    deliveries.blank_names(tmp_path)
    for path, was in before.items():
        blanked = pydicom.dcmread(path)
        changed = {element.keyword for element in was if element != blanked[element.tag]}
        assert changed == {"SeriesDescription", "ProtocolName"}
        assert not blanked.SeriesDescription
        assert not blanked.ProtocolName


def test_another_person_under_the_same_id_is_in_one_series(tmp_path: Path) -> None:
    before = contents(study(tmp_path, Dialect.PHILIPS))
    deliveries.swap_person(tmp_path)
    after = contents(tmp_path)
    t1 = str(T1_NUMBER)
    assert {path.parts[0] for path in before if before[path] != after[path]} == {t1}
    persons = [one for series in header.read_folder(tmp_path).series for one in series.instances]
    assert not header.one_patient(persons)
    ids = {pydicom.dcmread(tmp_path / path).PatientID for path in after}
    assert len(ids) == 1
