"""`python -m bench.pictures OUT`: pictures of the digital patient, read back from its DICOM, for docs/phantom.md.

Of a real head only axial sections above the eyes are drawn: a face is not for a document. Radiological convention.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from analyses.contract import RoleKind, Volume
from analyses.dti.figure import colour_fa
from analyses.dti.mask import brain_mask, without_neck
from analyses.dti.tensor import fit_tensor
from analyses.shared.gradients import unweighted
from analyses.shared.sections import Box, Plane, section
from bench.route import DATA, SPEED_SERIES, SPEED_SET
from dicom_io.classify import classify
from dicom_io.convert import convert
from dicom_io.facts import facts
from dicom_io.header import read_series
from phantom import patient
from phantom.disease import HEALTHY, LATE, Disease
from phantom.examination import Dialect, Examination

Grey = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

REAL_T1 = "s1301"
BELOW_TOP_MM = {"hand": 24.0, "capsule": 68.0}  # axial sections under the top of the brain: all above the eyes
HAND_BODY_MM = (36.0, -22.0, 56.0)  # knob of the precentral gyrus
HALF_MM = np.array([92.0, 116.0, 116.0])  # of the field that is shown
B0_WINDOW, WEIGHTED_WINDOW = (1.0, 98.5), (1.0, 99.5)  # percentiles of the section
T1_BRIGHT_PERCENTILE, T1_HEADROOM = 90.0, 1.25  # white matter, and what is white on the page: fat would dim the brain
AXIAL_CROP_MM, NECK_MM = np.array([0.0, 12.0, 0.0]), np.array([0.0, 0.0, 30.0])
LABEL_ROOM, GAP = 16, 4  # pixels


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """A head with its T1 and diffusion series, and RAS mm of the brain: its top, and the middle of the head's field."""

    name: str
    t1: Volume
    dwi: Volume
    brain: npt.NDArray[np.bool_]
    top_mm: float
    middle_mm: Floats


def read(name: str, t1: Path, dwi: Path, work: Path) -> Scanned:
    """Convert both series and find the brain."""
    volumes = []
    for number, folder in enumerate((t1, dwi)):
        series = read_series(sorted(folder.iterdir()))
        room = work / f"{name} {number}"
        room.mkdir()
        volumes.append(convert(series, facts(series, classify(series)), room))
    head, series_volume = volumes
    b0, weighted = means(series_volume)
    affine = series_volume.affine
    brain = without_neck(brain_mask(b0, weighted, series_volume.voxel_mm), affine)
    points = np.argwhere(brain) @ affine[:3, :3].T + affine[:3, 3]
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return Scanned(name, head, series_volume, brain, float(points[:, 2].max()), middle)


def means(dwi: Volume) -> tuple[Grey, Grey]:
    """Mean image without and with diffusion weighting."""
    if dwi.bvals is None:
        raise ValueError("a diffusion series without its table")
    plain = unweighted(dwi.bvals)
    b0, weighted = (np.asarray(dwi.data[..., kept].mean(axis=3), np.float32) for kept in (plain, ~plain))
    return b0, weighted


def phantom(disease: Disease, folder: Path) -> Scanned:
    """One seed, healthy or ill, as its scanner sends it."""
    truth = patient.make(folder, Examination(disease, dialect=Dialect.SIEMENS_XA))
    places = {one.role: truth.dicom / one.folder for one in truth.series}
    return read(disease.name, places[RoleKind.T1], places[RoleKind.DWI], folder)


def cut(values: Grey, affine: Floats, plane: Plane, at_mm: float, middle: Floats) -> Grey:
    """A section of the field about the middle of the brain; coronal and sagittal ones reach down to the neck."""
    low, high = middle - HALF_MM, middle + HALF_MM
    if plane is Plane.AXIAL:
        low, high = low + AXIAL_CROP_MM, high - AXIAL_CROP_MM
    else:
        low, high = low - NECK_MM, high - NECK_MM
    return section(values, affine, plane, at_mm, Box(low, high))


def grey(pixels: Grey, low: float, high: float) -> Pixels:
    """(row, column, 3): black at `low`, white at `high`."""
    share = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat((255 * share).astype(np.uint8)[..., None], 3, axis=2)


def windowed(pixels: Grey, window: tuple[float, float]) -> Pixels:
    """The same from the window's lower to its upper percentile."""
    low, high = np.percentile(pixels, window)
    return grey(pixels, float(low), float(high))


def t1_at(head: Scanned, plane: Plane, at_mm: float) -> Pixels:
    """A section of the T1."""
    pixels = cut(head.t1.data, head.t1.affine, plane, at_mm, head.middle_mm)
    brain = cut(head.brain.astype(np.float32), head.dwi.affine, plane, at_mm, head.middle_mm) > 0.5
    return grey(pixels, 0.0, T1_HEADROOM * float(np.percentile(pixels[brain], T1_BRIGHT_PERCENTILE)))


def diffusion_at(head: Scanned, at_mm: float) -> list[Pixels]:
    """Axial sections: b = 0, mean weighted image, colour FA."""
    dwi, middle = head.dwi, head.middle_mm
    if dwi.bvals is None or dwi.bvecs is None:
        raise ValueError("a diffusion series without its table")
    b0, weighted = means(dwi)
    field = fit_tensor(np.asarray(dwi.data, np.float32), head.brain, dwi.bvals, dwi.bvecs)
    colour = field.volume(colour_fa(field, dwi.affine), 0.0)
    shown = [cut(colour[..., n], dwi.affine, Plane.AXIAL, at_mm, middle) for n in range(3)]
    return [
        windowed(cut(b0, dwi.affine, Plane.AXIAL, at_mm, middle), B0_WINDOW),
        windowed(cut(weighted, dwi.affine, Plane.AXIAL, at_mm, middle), WEIGHTED_WINDOW),
        (255 * np.clip(np.stack(shown, axis=-1), 0, 1)).astype(np.uint8),
    ]


def sheet(rows: Sequence[tuple[str, Sequence[Pixels]]], titles: Sequence[str]) -> Image.Image:
    """Sections in rows, each with its name, under the titles of the columns."""
    widths = [max(pixels[column].shape[1] for _, pixels in rows) for column in range(len(titles))]
    heights = [max(one.shape[0] for one in pixels) for _, pixels in rows]
    size = sum(widths) + GAP * (len(widths) - 1), sum(heights) + LABEL_ROOM + GAP * len(heights)
    canvas = Image.new("RGB", size)
    draw = ImageDraw.Draw(canvas)
    y = LABEL_ROOM
    for (name, pixels), height in zip(rows, heights, strict=True):
        x = 0
        for one, width, title in zip(pixels, widths, titles, strict=True):
            canvas.paste(Image.fromarray(one), (x + (width - one.shape[1]) // 2, y + (height - one.shape[0]) // 2))
            if y == LABEL_ROOM:
                draw.text((x + GAP, 2), title, fill="white")
            x += width + GAP
        draw.text((GAP, y + GAP), name, fill="yellow")
        y += height + GAP
    return canvas


def main(out: Path) -> int:
    """Draw every picture; without the real data there is none beside a real head."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as room:
        heads = [phantom(disease, Path(room) / disease.name) for disease in (HEALTHY, LATE)]
        hand = patient.Patient.born(Examination(HEALTHY)).person.scanner(HAND_BODY_MM)
        sections = ((Plane.AXIAL, hand[2]), (Plane.CORONAL, hand[1]), (Plane.SAGITTAL, heads[0].middle_mm[0] + 3))
        rows = [(head.name, [t1_at(head, plane, float(at)) for plane, at in sections]) for head in heads]
        sheet(rows, ["T1, hand area", "T1, coronal", "T1, sagittal"]).save(out / "phantom-t1.png", optimize=True)
        low = BELOW_TOP_MM["capsule"]
        rows = [(head.name, diffusion_at(head, head.top_mm - low)) for head in heads]
        titles = ["b = 0", "mean of b = 1000", "colour FA"]
        sheet(rows, titles).save(out / "phantom-dwi.png", optimize=True)
        study = DATA / SPEED_SET
        if not study.is_dir():
            print(f"no picture beside a real head: {SPEED_SET} is not here")
            return 0
        pair = [heads[0], read("real", study / REAL_T1, study / SPEED_SERIES, Path(room))]
        rows = [
            (
                "digital patient" if head is heads[0] else "real head",
                [t1_at(head, Plane.AXIAL, head.top_mm - below) for below in BELOW_TOP_MM.values()]
                + diffusion_at(head, head.top_mm - low),
            )
            for head in pair
        ]
        titles = ["T1, hand area", "T1, internal capsule", *titles]
        sheet(rows, titles).save(out / "phantom-beside-real.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
