"""The patient that was written: its bytes, its numbers, its sides, its marks."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel
from jsonschema import Draft202012Validator

from analyses.contract import RoleKind
from analyses.quantities import BRAIN, QUANTITIES, SITES, WHITE_MATTER
from dicom_io import classify, completeness, header
from phantom import diffusion as scan
from phantom import patient, plan
from phantom.disease import HEALTHY
from phantom.examination import Examination
from phantom.sequences import dwi
from phantom.sequences.artefacts import Artefacts, Eddy
from phantom.truth import Kind, Truth

Read = Callable[[Path], dict[tuple[float, tuple[float, ...]], npt.NDArray[np.uint16]]]


def map_of(truth: Truth, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    image = nibabel.load(truth.folder / truth.maps[name])
    return np.asarray(image.dataobj, float), image.affine


SMALL = Examination(resolution_mm=8.0)
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "truth.schema.json").read_text("utf-8"))
Series = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def diffusion(truth: Truth, volumes: Read) -> Series:
    """Stored series in the order of the truth's b-table: (x, y, z, volume), and the directions in RAS."""
    (series,) = [s for s in truth.series if s.role == "DWI"]
    found = volumes(truth.dicom / series.folder)
    b0 = [v for (b, _), v in found.items() if b == 0]
    assert len(b0) == 1, "both b = 0 images have one key"
    twice = b0[0].reshape(*b0[0].shape[:2], -1, 2)  # two b = 0 images, one after the other at each position
    stack = [twice[..., 0], twice[..., 1]]
    for wanted in series.g_lps[2:]:
        (volume,) = [v for (_, g), v in found.items() if np.allclose(g, wanted, atol=1e-6)]
        stack.append(volume)
    return np.stack(stack, axis=-1).astype(float), np.array(series.g_lps) * [-1, -1, 1]


@pytest.fixture(scope="module")
def clean_series(clean: Truth, volumes: Read) -> Series:
    return diffusion(clean, volumes)


@pytest.fixture(scope="module")
def noisy_series(noisy: Truth, volumes: Read) -> Series:
    return diffusion(noisy, volumes)


def some_of(region: npt.NDArray[np.bool_], count: int = 3000) -> npt.NDArray[np.bool_]:
    """So many voxels of a region, chosen once: dipy takes a tenth of a millisecond for each."""
    chosen = np.zeros(region.size, bool)
    chosen[np.random.default_rng(0).choice(np.flatnonzero(region.ravel()), count, replace=False)] = True
    return chosen.reshape(region.shape)


def test_a_noise_free_fit_by_dipy_gives_the_true_tensor(clean: Truth, clean_series: Series) -> None:
    """12-bit rounding is all that is left between the two."""
    data, g = clean_series
    table = gradient_table(np.r_[0, 0, np.full(32, 1000.0)], bvecs=g)
    true = {name: map_of(clean, name)[0] for name in ("FA", "MD", "AD", "RD")}
    inside = some_of(map_of(clean, "expected_white_matter")[0] > 0)
    fit = TensorModel(table, fit_method="WLS").fit(data[inside])
    np.testing.assert_allclose(fit.fa, true["FA"][inside], atol=0.006)
    np.testing.assert_allclose(fit.md * 1e3, true["MD"][inside], atol=0.006)
    assert abs(fit.fa.mean() - true["FA"][inside].mean()) < 3e-4
    assert abs(fit.ad.mean() * 1e3 - true["AD"][inside].mean()) < 1e-3
    assert abs(fit.rd.mean() * 1e3 - true["RD"][inside].mean()) < 1e-3
    tensor = map_of(clean, "tensor_ras")[0][inside]
    full = tensor[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    strong = true["FA"][inside] > 0.5
    along = np.linalg.eigh(full[strong])[1][:, :, 2]
    assert np.abs((along * fit.evecs[strong][:, :, 0]).sum(axis=1)).min() > 0.999


def test_expected_numbers_are_those_of_the_true_maps_over_the_expected_regions(clean: Truth) -> None:
    regions = {
        BRAIN: map_of(clean, "expected_brain")[0] > 0,
        WHITE_MATTER: map_of(clean, "expected_white_matter")[0] > 0,
    }
    for site, region in regions.items():
        for name in ("FA", "MD", "AD", "RD"):
            found = clean.value(name, site)
            assert found.value == pytest.approx(map_of(clean, name)[0][region].mean(), rel=1e-5)
            assert found.voxels == region.sum()
        assert clean.value("volume", site).value == pytest.approx(region.sum() * patient_voxel_ml(clean))


def patient_voxel_ml(truth: Truth) -> float:
    return abs(float(np.linalg.det(map_of(truth, "FA")[1][:3, :3]))) / 1000


def test_white_matter_is_plausible(clean: Truth) -> None:
    assert 0.3 < clean.value("FA", WHITE_MATTER).value < 0.5
    assert 0.7 < clean.value("MD", WHITE_MATTER).value < 0.85
    assert 350 < clean.value("volume", WHITE_MATTER).value < 700
    assert 1300 < clean.value("volume", BRAIN, Kind.BODY).value < 2100


def test_noise_has_the_size_that_was_asked_for(clean: Truth, clean_series: Series, noisy_series: Series) -> None:
    without, with_noise = clean_series[0], noisy_series[0]
    pure = map_of(clean, "white_matter")[0] > 0.999
    pure &= map_of(clean, "brain")[0] > 0.999
    difference = (with_noise - without)[pure][:, :2]
    assert without[pure][:, 0].mean() / difference.std() == pytest.approx(30, rel=0.05)
    assert abs(np.corrcoef(difference.T)[0, 1]) < 0.05, "each volume has noise of its own"


def test_noise_moves_the_numbers_less_than_the_tolerance(clean: Truth, noisy: Truth, noisy_series: Series) -> None:
    """FA and MD of the noisy series by an ordinary fit, over the expected regions."""
    data, g = noisy_series
    table = gradient_table(np.r_[0, 0, np.full(32, 1000.0)], bvecs=g)
    for site, name in ((WHITE_MATTER, "expected_white_matter"), (BRAIN, "expected_brain")):
        region = some_of(map_of(noisy, name)[0] > 0)
        fit = TensorModel(table, fit_method="WLS", min_signal=1.0).fit(data[region])
        for quantity, values in (("FA", fit.fa), ("MD", fit.md * 1e3), ("AD", fit.ad * 1e3), ("RD", fit.rd * 1e3)):
            tolerance = noisy.value(quantity, site).tolerance.absolute
            assert abs(values.mean() - map_of(noisy, quantity)[0][region].mean()) < tolerance, (site, quantity)
    # in the brain's isotropic tissue noise makes most of the FA: the tolerance must know that, and without noise not
    assert noisy.value("FA", BRAIN).tolerance.absolute > 2 * clean.value("FA", BRAIN).tolerance.absolute


def test_the_marker_is_on_the_left(noisy: Truth) -> None:
    x, y, z = noisy.left_marker_ras
    assert x < -15, "RAS: left is negative"
    (series,) = [s for s in noisy.series if s.role == "T1"]
    datasets = [pydicom.dcmread(path) for path in (noisy.dicom / series.folder).iterdir()]

    def brightness(ras: tuple[float, float, float]) -> float:
        """Mean of the slice nearest to the point, 2 mm about it; straight from the DICOM geometry."""
        lps = np.array([-ras[0], -ras[1], ras[2]])

        def place(dataset: pydicom.Dataset) -> npt.NDArray[np.float64]:
            row, column = np.reshape(np.array(dataset.ImageOrientationPatient, float), (2, 3))
            away = lps - np.array(dataset.ImagePositionPatient, float)
            spacing = np.array(dataset.PixelSpacing, float)
            return np.array([away @ column / spacing[0], away @ row / spacing[1], abs(away @ np.cross(row, column))])

        nearest = min(datasets, key=lambda dataset: place(dataset)[2])
        i, j, _ = np.rint(place(nearest)).astype(int)
        return float(nearest.pixel_array[i - 1 : i + 2, j - 1 : j + 2].mean())

    assert brightness((x, y, z)) < 0.6 * brightness((-x, y, z)), "dark on the left, white matter on the right"
    md, affine = map_of(noisy, "MD")
    left, right = (np.rint(np.linalg.inv(affine) @ [s * x, y, z, 1])[:3].astype(int) for s in (1, -1))
    assert md[tuple(left)] > 1.5 > 1.0 > md[tuple(right)]


def test_damage_is_on_the_right(clean: Truth) -> None:
    healthy = patient.Patient.born(Examination(HEALTHY))
    slab = plan.dwi_slab(healthy.person, healthy.pitch_deg, 4.0)
    body = scan.see(healthy.person, slab, dwi.Protocol(), HEALTHY)
    before, affine = dwi.scalars(body.tensor)["FA"], map_of(clean, "body_FA")[1]
    after, _ = map_of(clean, "body_FA")
    struck = np.argwhere(before - after > 0.02)
    x, _, z = (struck @ affine[:3, :3].T + affine[:3, 3]).T
    below = z < healthy.person.scanner((0.0, 0.0, 18.0))[2]  # the callosum above it belongs to both sides
    assert below.sum() > 30
    assert np.median(x[below]) > 10
    assert (x[below] > -2).mean() > 0.99, "the left tract is healthy"


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.dcm")
    }


def test_a_seed_gives_the_same_bytes_and_another_seed_another_person(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    one = patient.make(tmp_path / "one", SMALL, progress=lambda done, total: seen.append((done, total)))
    again = patient.make(tmp_path / "again", SMALL)
    other = patient.make(tmp_path / "other", replace(SMALL, seed=8))
    assert digest(again.dicom) == digest(one.dicom)
    assert again.measurements == one.measurements
    assert set(digest(other.dicom).values()).isdisjoint(digest(one.dicom).values())
    assert other.study_uid != one.study_uid
    assert other.value("FA", WHITE_MATTER).value != one.value("FA", WHITE_MATTER).value
    written = len(digest(one.dicom))
    assert seen == [(n, written) for n in range(1, written + 1)], "progress counts every object"


def test_the_truth_file_is_whole_and_names_nobody(noisy: Truth) -> None:
    text = (noisy.folder / "truth.json").read_text()
    record = json.loads(text)
    assert "PHANTOM^" not in text
    assert record["schema"] == 1
    assert record["phantom"]["study_uid"] == noisy.study_uid
    for item in record["measurements"]:
        quantity = QUANTITIES[item["quantity"]]
        assert item["unit"] == quantity.unit
        assert item["code"] == f"{quantity.code.scheme}:{quantity.code.value}"
        assert item["site"] in SITES
        assert quantity.plausible[0] <= item["value"] <= quantity.plausible[1]
        assert item["tolerance"]["abs"] > 0
        assert item["tolerance"]["why"]
    one = {tuple(i[k] for k in ("quantity", "site", "laterality", "statistic", "kind")) for i in record["measurements"]}
    assert len(one) == len(record["measurements"])
    for name in record["maps"].values():
        assert (noisy.folder / name).is_file()
    for uid, series in record["series"].items():
        files = list((noisy.dicom / series["folder"]).iterdir())
        assert len(files) == series["instances"]
        assert pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID == uid


def test_every_object_says_that_it_is_no_person(noisy: Truth) -> None:
    uids = set()
    for path in noisy.dicom.rglob("*.dcm"):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert dataset.QualityControlSubject == "YES"
        assert dataset.PatientName == "PHANTOM^BETZ"
        assert dataset.PatientID == "BETZ-PHANTOM-7"
        assert dataset.DeviceSerialNumber == "BETZ-PHANTOM"
        assert "Not a person" in dataset.PatientComments
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.SOPInstanceUID.is_valid
        uids.add(dataset.SOPInstanceUID)
    assert len(uids) == sum(series.instances for series in noisy.series)


def test_the_series_are_recognised_and_complete(noisy: Truth) -> None:
    folder = header.read_folder(noisy.dicom)
    assert folder.unreadable == ()
    expected = {s.series_uid: RoleKind(s.role) for s in noisy.series}
    for series in folder.series:
        role = classify.classify(series)
        assert role.kind is expected.pop(series.first.series_uid), role.reason
        assert role.phantom
        assert completeness.completeness(series).complete is True
    assert expected == {}


@pytest.mark.integration
def test_dciodvfy_finds_no_error(noisy: Truth, program: Callable[[str], str]) -> None:
    for series in noisy.series:
        paths = sorted((noisy.dicom / series.folder).iterdir())
        for path in (paths[0], paths[len(paths) // 2], paths[-1]):
            found = subprocess.run([program("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
            errors = [line for line in (found.stdout + found.stderr).splitlines() if line.startswith("Error")]
            assert errors == []


def test_each_seed_and_visit_has_noise_of_its_own(noisy: Truth) -> None:
    """Air of the same corner of the field, where nothing but noise is."""
    drawn = []
    for at in (SMALL, replace(SMALL, seed=8), replace(SMALL, visit=1)):
        born = patient.Patient.born(at)
        slab = plan.dwi_slab(born.person, born.pitch_deg, 8.0)
        body = scan.see(born.person, slab, at.diffusion, at.disease)
        seed = np.random.SeedSequence(at.seed, spawn_key=(3, at.visit))
        data, _ = scan.acquire(body, born.person, slab, at.diffusion, at.artefacts, 0.01, seed)
        drawn.append(data[:3, :3].ravel().astype(float))
    chance = 4 / np.sqrt(len(drawn[0]))  # four standard deviations of a correlation by chance
    assert np.abs(np.corrcoef(drawn) - np.eye(3)).max() < chance


def test_the_truth_keeps_what_happened_to_a_series(tmp_path: Path) -> None:
    spoilt = Artefacts(motion_mm=1.0, motion_deg=1.0, eddy_mm=2.0, susceptibility=1.0, dropout=0.05)
    asked = replace(SMALL, artefacts=spoilt, diffusion=dwi.Protocol(reversed_unweighted=2))
    made = patient.make(tmp_path, asked)
    record = json.loads((tmp_path / "truth.json").read_text("utf-8"))
    Draft202012Validator(SCHEMA).validate(record)
    by_role = {one["role"]: one for one in record["series"].values()}
    assert set(by_role["T1"]) == {"role", "folder", "instances", "b", "g_lps"}
    series = by_role["DWI"]
    turn = np.array(series["motion"]["turn"])
    assert turn.shape == (len(series["b"]), 3, 3)
    np.testing.assert_allclose(turn @ turn.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turn.shape), atol=1e-9)
    assert np.sqrt((np.array(series["motion"]["shift_mm"]) ** 2).sum(axis=1).mean()) == pytest.approx(1.0)
    eddy = Eddy(np.array(series["eddy"]["coefficients_mm"]), series["eddy"]["b_full"])
    assert np.abs(eddy.terms_mm(eddy.b_full, np.array([1.0, 0.0, 0.0]))).max() < 2.0
    slices = map_of(made, "FA")[0].shape[2]
    assert all(series["b"][volume] > 0 and place < slices for volume, place in series["dropped"])
    assert series["field_sign"] == -by_role["field map"]["field_sign"], "pushed to the other side"
    field, _ = map_of(made, "field_hz")
    assert field.shape == map_of(made, "FA")[0].shape
    assert 20 < np.abs(field[map_of(made, "brain")[0] > 0.9]).max() < 500
    assert "field_hz" not in patient.make(tmp_path / "still", SMALL).maps
