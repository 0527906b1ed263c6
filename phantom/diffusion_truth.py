"""What is true of a patient's diffusion series: numbers with their tolerance, and maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from analyses.contract import Statistic
from analyses.quantities import AD, BRAIN, FA, MD, RD, VOLUME, WHITE_MATTER, Quantity
from phantom import tolerances
from phantom.diffusion import DiffusionBody, History, noise_free
from phantom.examination import Examination
from phantom.painting import Image
from phantom.regions import Expected, expected, put_in
from phantom.sequences import dwi
from phantom.slab import LPS_TO_RAS, Slab
from phantom.tissue import Tissue
from phantom.tolerances import Measured, Shift
from phantom.truth import Kind, TrueMeasurement

Made = tuple[tuple[TrueMeasurement, ...], dict[str, npt.NDArray[np.generic]]]
ANALYSIS = "dti"
SINGLE_SHARE = 0.95  # of the voxel


def of(body: DiffusionBody, protocol: dwi.Protocol, examination: Examination) -> Made:
    """Numbers of the body and those that a perfect method finds in the same voxels; maps by name."""
    b, g_lps = dwi.table(protocol)
    g_ras = g_lps * LPS_TO_RAS
    true = put_in(body)
    maps: dict[str, npt.NDArray[np.generic]] = {f"body_{name}": data for name, data in true.maps.items()}
    maps |= {
        "tensor_ras": np.moveaxis(body.tensor, 0, -1),
        "brain": body.brain,
        "white_matter": body.white,
        "single_fibre": single_fibre(body),
    }
    found = expected(body, noise_free(body, b, g_ras), b, g_ras)
    if found is None:
        return (), maps
    maps |= dict(found.maps)
    maps["expected_brain"] = found.regions[BRAIN].astype(np.uint8)
    maps["expected_white_matter"] = found.regions[WHITE_MATTER].astype(np.uint8)
    sigma = dwi.unweighted_signal(Tissue.WHITE, protocol) / examination.snr if examination.snr > 0 else 0.0
    return _measurements(body, true, found, Measured(b, g_ras, sigma)), maps


def happened(history: History) -> dict[str, object]:
    """What a series went through, as JSON values; nothing of what did not happen.

    motion: by volume, x -> turn (x - centre) + centre + shift, RAS mm. eddy: see `artefacts.Eddy`. dropped: (volume,
    slice). field_sign: towards which end of the array's columns a field above the centre frequency pushes.
    """
    told: dict[str, object] = {}
    if history.motion is not None:
        motion = history.motion
        told["motion"] = {name: getattr(motion, name).tolist() for name in ("turn", "shift_mm", "centre_ras")}
    if history.eddy is not None:
        told["eddy"] = {"coefficients_mm": history.eddy.coefficients.tolist(), "b_full": history.eddy.b_full}
    if history.dropped:
        told["dropped"] = [list(pair) for pair in history.dropped]
    if history.field_hz is not None:
        told["field_sign"] = history.shift_sign
    return told


def field_on(slab: Slab, history: History) -> Image | None:
    """The field (x, y, z) Hz on the voxels of the series: means of those that were painted."""
    if history.field_hz is None:
        return None
    nx, ny, nz = slab.shape
    return np.asarray(history.field_hz.reshape(nx, -1, ny, history.field_hz.shape[1] // ny, nz).mean(axis=(1, 3)))


def single_fibre(body: DiffusionBody) -> npt.NDArray[np.uint8]:
    """Voxels (x, y, z) of white matter that one bundle fills: its number in `bundles.tubes` + 1, 0 elsewhere."""
    parts = body.fibres
    alone = (parts.share.max(axis=0) > SINGLE_SHARE) & (body.white.reshape(-1)[parts.index] > SINGLE_SHARE)
    strongest = np.take_along_axis(parts.number, parts.share.argmax(axis=0)[None], axis=0)[0]
    image = np.zeros(body.white.size, np.uint8)
    image[parts.index] = np.where(alone, strongest + 1, 0)
    return image.reshape(body.white.shape)


def _measurements(
    body: DiffusionBody, true: Expected, found: Expected, measured: Measured
) -> tuple[TrueMeasurement, ...]:
    random = np.random.default_rng(0)  # its own: a tolerance is no part of the patient
    shifts = {site: tolerances.noise_shift(body, region, measured, random) for site, region in found.regions.items()}
    voxel_ml = float(np.prod(body.slab.voxel_mm)) / 1000
    perfect = _numbers(found, Kind.EXPECTED, voxel_ml, shifts)
    bodily = _numbers(true, Kind.BODY, voxel_ml, shifts)
    widened = [
        replace(one, tolerance=tolerances.widened(other.tolerance, one.value - other.value))
        for one, other in zip(bodily, perfect, strict=True)
    ]
    return (*perfect, *widened)


def _numbers(found: Expected, kind: Kind, voxel_ml: float, shifts: Mapping[str, Shift]) -> list[TrueMeasurement]:
    made = []
    for site, region in found.regions.items():
        count = int(region.sum())
        numbers: list[tuple[Quantity, Statistic, float]] = [(VOLUME, Statistic.TOTAL, count * voxel_ml)]
        for quantity in (FA, MD, AD, RD):
            values = found.maps[quantity.name][region].astype(np.float64)
            numbers += [(quantity, Statistic.MEAN, float(values.mean()))]
            numbers += [(quantity, Statistic.MEDIAN, float(np.median(values)))]
        for quantity, statistic, value in numbers:
            tolerance = tolerances.of(quantity, value, statistic, shifts[site])
            made.append(TrueMeasurement(ANALYSIS, quantity, site, value, kind, tolerance, count, statistic))
    return made
