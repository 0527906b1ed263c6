"""Is a series whole? Counts, grids, and the sentence that names what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_io.classify import classify
from dicom_io.completeness import completeness
from dicom_io.facts import facts
from dicom_io.header import SeriesHeader, read_series
from tests.dicom_io import synthetic as made


def philips(slices: int, dynamics: int = 1, **more: int) -> made.Private:
    counts: dict[tuple[int, str, int], tuple[str, object]] = {
        (0x2001, "Philips Imaging DD 001", 0x18): ("SL", slices),
        (0x2001, "Philips Imaging DD 001", 0x81): ("IS", dynamics),
    }
    if "echoes" in more:
        counts[0x2001, "Philips Imaging DD 001", 0x14] = ("SL", more["echoes"])
    return counts


def of(folder: Path, datasets: list[made.Dataset]) -> tuple[bool | None, str]:
    found = completeness(made.series(folder, datasets))
    return found.complete, found.sentence


def dynamic(slices: int, volumes: int) -> list[made.Dataset]:
    """A Philips time series of `volumes` volumes, each with its temporal position."""
    planes = made.stack(slices, 4.0, volumes=volumes, private=philips(slices, volumes), Manufacturer="Philips")
    for index, ds in enumerate(planes):
        ds.TemporalPositionIdentifier = index // slices + 1
    return planes


def test_a_series_with_all_that_its_counts_announce_is_complete(tmp_path: Path) -> None:
    assert of(tmp_path, dynamic(10, 3)) == (True, "30 of 30 instances")


def test_a_missing_slice_is_named_with_its_place_and_volume(tmp_path: Path) -> None:
    planes = dynamic(10, 3)
    del planes[2 * 10 + 8]  # volume 3, slice 8: z = 4 x (8 - 5)
    assert of(tmp_path, planes) == (False, "29 of 30 instances: slice at z = 12.0 mm of volume 3 is missing")


def test_several_missing_slices_are_counted(tmp_path: Path) -> None:
    planes = dynamic(10, 3)
    del planes[25], planes[13]
    complete, sentence = of(tmp_path, planes)
    assert complete is False
    assert sentence == "28 of 30 instances: slice at z = -8.0 mm of volume 2 and 1 more are missing"


def test_a_missing_volume_is_noticed_by_the_counts(tmp_path: Path) -> None:
    assert of(tmp_path, dynamic(10, 3)[:20]) == (False, "20 of 30 instances")


def test_without_counts_a_whole_grid_is_no_proof(tmp_path: Path) -> None:
    complete, sentence = of(tmp_path, made.stack(10))
    assert complete is None
    assert sentence == "10 instances; the headers do not say how many there should be"


def test_without_counts_a_hole_in_the_grid_is_still_a_hole(tmp_path: Path) -> None:
    planes = made.stack(10, 5.0, made.SAGITTAL)
    del planes[4]  # the normal of a sagittal plane points to the right: x = -5 x (4 - 5)
    complete, sentence = of(tmp_path, planes)
    assert complete is False
    assert sentence == "9 of 10 instances: slice at x = 5.0 mm is missing"


def test_a_missing_slice_of_one_direction_is_named_by_its_volume(tmp_path: Path) -> None:
    planes: list[made.Dataset] = []
    for b, gradient in ((0.0, None), (1000.0, (1.0, 0.0, 0.0)), (1000.0, (0.0, 1.0, 0.0))):
        extra = {"DiffusionGradientOrientation": list(gradient)} if gradient else {}
        planes += made.stack(6, 2.0, DiffusionBValue=b, **extra)
    for number, ds in enumerate(planes):
        ds.InstanceNumber = number + 1
    del planes[7]
    complete, sentence = of(tmp_path, planes)
    assert complete is False
    assert sentence == "17 of 18 instances: slice at z = -4.0 mm of volume 2 is missing"


def test_an_echo_that_never_came_is_missed(tmp_path: Path) -> None:
    private = philips(5, echoes=2)
    first = made.stack(5, private=private, EchoTime=5.0, Manufacturer="Philips")
    second = made.stack(5, private=private, EchoTime=10.0, Manufacturer="Philips")
    assert of(tmp_path / "one", first) == (False, "5 of 10 instances")
    assert of(tmp_path / "two", first + second) == (True, "10 of 10 instances")


def test_ge_announces_its_images(tmp_path: Path) -> None:
    planes = made.stack(8, Manufacturer="GE MEDICAL SYSTEMS", ImagesInAcquisition=8)
    assert of(tmp_path / "whole", planes) == (True, "8 of 8 instances")
    assert of(tmp_path / "part", planes[:7]) == (False, "7 of 8 instances")


def test_ge_realtime_epi_announces_the_images_of_one_volume(tmp_path: Path) -> None:
    private: made.Private = {(0x21, "GEMS_RELA_01", 0x4F): ("SS", 4)}
    values = {"Manufacturer": "GE MEDICAL SYSTEMS", "ImagesInAcquisition": 4, "NumberOfTemporalPositions": 3}
    planes = made.stack(4, volumes=3, private=private, **values)
    assert of(tmp_path / "whole", planes) == (True, "12 of 12 instances")
    assert of(tmp_path / "part", planes[:8]) == (False, "8 of 12 instances")


@pytest.mark.parametrize("trace", [False, True])
def test_a_philips_trace_image_comes_on_top_of_the_announced_directions(tmp_path: Path, trace: bool) -> None:
    private = dict(philips(3)) | {
        (0x2005, "Philips MR Imaging DD 005", 0x14): ("SL", 2),
        (0x2005, "Philips MR Imaging DD 005", 0x15): ("SL", 3),
    }
    weightings: list[tuple[float, list[float] | None]] = [
        (0.0, None),
        (1000.0, [1.0, 0.0, 0.0]),
        (1000.0, [0.0, 1.0, 0.0]),
    ]
    planes: list[made.Dataset] = []
    for b, gradient in weightings + ([(1000.0, None)] if trace else []):
        extra = {"DiffusionGradientOrientation": gradient} if gradient else {}
        direction = {(0x2001, "Philips Imaging DD 001", 0x04): ("CS", "O" if gradient else "I")}
        planes += made.stack(3, private=private | direction, Manufacturer="Philips", DiffusionBValue=b, **extra)
    for number, ds in enumerate(planes):
        ds.InstanceNumber = number + 1
    count = 12 if trace else 9
    assert of(tmp_path / "whole", planes) == (True, f"{count} of {count} instances")
    assert of(tmp_path / "part", planes[:6])[0] is False


def test_more_than_announced_is_no_proof_either(tmp_path: Path) -> None:
    planes = made.stack(8, Manufacturer="GE MEDICAL SYSTEMS", ImagesInAcquisition=6)
    complete, sentence = of(tmp_path, planes)
    assert complete is None
    assert "contradict" in sentence


def test_directions_that_differ_by_rounding_are_one_volume(tmp_path: Path) -> None:
    """GE computes the direction of every slice from that slice's own orientation."""
    planes = made.stack(6, 2.0, DiffusionBValue=1000.0, Manufacturer="GE MEDICAL SYSTEMS", ImagesInAcquisition=6)
    for index, ds in enumerate(planes):
        ds.DiffusionGradientOrientation = [1.0, 1e-4 * index, 0.0]
    assert of(tmp_path, planes) == (True, "6 of 6 instances")


def frames(slices: int, volumes: int) -> list[dict[str, object]]:
    return [
        {"position": (0.0, 0.0, 2.0 * index), "temporal": volume + 1, "te": 30.0}
        for volume in range(volumes)
        for index in range(slices)
    ]


def test_an_enhanced_object_is_complete_by_its_frames(tmp_path: Path) -> None:
    assert of(tmp_path, [made.enhanced(frames(5, 4), {})]) == (True, "20 of 20 frames")


def test_an_enhanced_object_cut_short_is_noticed(tmp_path: Path) -> None:
    ds = made.enhanced(frames(5, 4), {})
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:18]
    assert of(tmp_path, [ds]) == (False, "18 of 20 frames: an object is cut short")


def test_a_frame_that_the_grid_lacks_is_named(tmp_path: Path) -> None:
    listed = frames(5, 4)
    del listed[7]
    complete, sentence = of(tmp_path, [made.enhanced(listed, {})])
    assert (complete, sentence) == (False, "19 of 20 frames: slice at z = 4.0 mm of volume 2 is missing")


def test_one_object_a_volume_is_counted_by_temporal_positions(tmp_path: Path) -> None:
    objects = [
        made.enhanced(frames(5, 1), {}, NumberOfTemporalPositions=4, InstanceNumber=number) for number in range(1, 5)
    ]
    for number, ds in enumerate(objects):
        for item in ds.PerFrameFunctionalGroupsSequence:
            item.FrameContentSequence[0].TemporalPositionIndex = number + 1
    assert of(tmp_path / "whole", objects) == (True, "20 of 20 frames")
    assert of(tmp_path / "part", objects[:3]) == (False, "15 of 20 frames: 3 of 4 volumes")


def test_a_localizer_has_no_common_grid_to_miss_from(tmp_path: Path) -> None:
    planes = [ds for axis in (made.AXIAL, made.SAGITTAL) for ds in made.stack(3, orientation=axis)]
    assert of(tmp_path, planes[:-1])[0] is None


def test_facts_call_incomplete_only_what_is_known_to_lack_something(tmp_path: Path) -> None:
    unsure = made.series(tmp_path / "a", made.stack(10))
    lacking = made.series(tmp_path / "b", dynamic(10, 3)[:29])
    assert facts(unsure, classify(unsure)).complete
    assert not facts(lacking, classify(lacking)).complete
    assert facts(lacking, classify(lacking)).completeness == completeness(lacking).sentence


def test_facts_measure_the_stack(tmp_path: Path) -> None:
    values = {"ScanningSequence": "SE", "RepetitionTime": 5000, "EchoTime": 100, "SliceThickness": 4.0}
    series = made.series(tmp_path, made.stack(10, 5.0, PixelSpacing=[0.9, 0.8], **values))
    told = facts(series, classify(series))
    assert told.voxel_mm == (0.9, 0.8, 5.0)
    assert told.coverage_mm == pytest.approx(9 * 5.0 + 4.0)
    assert (told.slices, told.volumes, told.te_ms) == (10, 1, (100.0,))
    assert told.original
    assert told.bvals == ()


@pytest.mark.parametrize(("word", "original"), [("ND", True), ("DIS2D", True), ("NORM", False)])
def test_intensity_normalised_images_are_not_original(tmp_path: Path, word: str, original: bool) -> None:
    series = made.series(tmp_path, made.stack(3, ImageType=["ORIGINAL", "PRIMARY", "M", word]))
    assert facts(series, classify(series)).original is original


@pytest.mark.data
def test_one_instance_less_of_real_diffusion_is_named(data: Callable[[str], Path]) -> None:
    paths = sorted((data("philips-elition-study") / "s2201").iterdir())
    whole = read_series(paths)
    assert completeness(whole).sentence == "1394 of 1394 instances"
    victim = whole.instances[700]
    rest = SeriesHeader(tuple(one for one in whole.instances if one is not victim))
    found = completeness(rest)
    assert found.complete is False
    assert found.sentence.startswith("1393 of 1394 instances: slice at z = ")
    assert found.sentence.endswith(" is missing")
    told_mm = float(found.sentence.split("z = ")[1].split(" mm")[0])
    position = victim.frames[0].position_lps
    assert position is not None
    assert told_mm == pytest.approx(position[2], abs=0.1)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "number", "sentence"),
    [
        ("ge-architect-b0map", 6, "32 of 32 instances"),
        ("philips-elition-study", 2001, "212 of 212 instances"),
        ("siemens-prisma-decubitus", 4, "13 of 13 instances"),
        ("siemens-prisma-sagittal-mosaic", 2, "6 of 6 instances"),
        ("siemens-prisma-sagittal-mosaic", 4, "21 of 21 instances"),
        ("siemens-prisma-xa30-enhanced", 10, "819 of 819 frames"),
        ("canon-galan-dwi", 9000, "520 instances; the headers do not say how many there should be"),
    ],
)
def test_real_series_are_whole_by_their_own_counts(
    data: Callable[[str], Path], name: str, number: int, sentence: str
) -> None:
    from dicom_io.header import read_folder

    series = next(one for one in read_folder(data(name)).series if one.first.series_number == number)
    assert completeness(series).sentence == sentence
