"""From a diffusion series to findings: mask, tensor, lost slices, checks, statistics, maps, figure.

Motion, eddy currents and susceptibility distortion are not corrected here; the statements say so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np
import numpy.typing as npt

from analyses.contract import (
    Findings,
    MapImage,
    Measurement,
    Provenance,
    QualityCheck,
    Statistic,
    Unsuitable,
    Verdict,
    Volume,
    Workspace,
)
from analyses.dti import quality
from analyses.dti.acceptance import LEAST_AXES, LEAST_B, MOST_B, axes_of, tensor_shell
from analyses.dti.dropout import Dropouts, find_dropouts
from analyses.dti.figure import draw_maps
from analyses.dti.mask import brain_mask, without_neck
from analyses.dti.regions import white_matter
from analyses.dti.table_check import TableCheck, check_table
from analyses.dti.tensor import WLS_PASSES, TensorField, fit_tensor
from analyses.quantities import AD, BRAIN, FA, MD, RD, VOLUME, WHITE_MATTER, Quantity
from analyses.shared.gradients import condition_number, unweighted
from analyses.shared.orientation import axis_names

DISPLAY = {"FA": (0.0, 1.0), "MD": (0.0, 3.0), "AD": (0.0, 3.0), "RD": (0.0, 3.0)}
NOT_CORRECTED = "Motion, eddy currents and susceptibility distortion are not corrected in this version."
LEAST_SHARE_SHOWN = 0.0001


@dataclass(frozen=True, slots=True)
class Series:
    """The volumes that make the tensor: data (x, y, z, volume) float32, b in s/mm2, vectors along array axes."""

    data: npt.NDArray[np.float32]
    bvals: npt.NDArray[np.float64]
    bvecs: npt.NDArray[np.float64]
    shell_b: float
    axes: int
    condition: float


def measure(volume: Volume, work: Workspace) -> Findings:
    """Measure the tensor of a diffusion series; `Unsuitable` when it cannot carry one."""
    series = select(volume)
    voxel_mm = volume.voxel_mm
    voxel_ml = float(np.prod(voxel_mm)) / 1000.0
    work.progress(0.1, "brain mask")
    mask = without_neck(mask_of(series, voxel_mm), volume.affine)
    work.progress(0.2, "tensor")
    field = fit_tensor(series.data, mask, series.bvals, series.bvecs, threads=work.threads)
    dropouts = find_dropouts(series.data, field, series.bvals, series.bvecs, voxel_mm)
    field = refit_without_lost(series, field, dropouts, work.threads)
    inside = white_matter(field, voxel_mm)
    brain = quality.check_brain(field, inside, voxel_ml)
    work.progress(0.6, "gradient directions")
    table = check_table(field, voxel_mm)
    checks = (
        *quality.check_protocol(
            volume.facts, series.shell_b, series.axes, series.condition, voxel_mm, volume.data.shape[2]
        ),
        quality.check_dropouts(dropouts, len(series.bvals)),
        *quality.check_fit(field, inside, len(series.bvals)),
        brain,
        quality.check_directions(table, axis_names(volume.affine)),
    )
    refuse_unsuitable(checks)
    work.progress(0.8, "figures")
    maps = make_maps(field, volume.affine)
    return Findings(
        measurements=statistics(field, inside, voxel_ml, checks),
        maps=maps,
        figures=draw_maps(field, volume.affine, with_colour=not table.contradicted),
        quality=checks,
        statements=statements(field, table, len(series.bvals)),
        provenance=(
            Provenance("tensor: OLS, then weighted least squares", f"{WLS_PASSES} passes"),
            Provenance("numpy", np.__version__),
            Provenance("numba", numba.__version__),
        ),
    )


def select(volume: Volume) -> Series:
    """Take b = 0 and the tensor's shell; `Unsuitable` when there is no table, no b = 0 or no shell."""
    if volume.bvals is None or volume.bvecs is None:
        raise Unsuitable("Diffusion directions are missing from the series.")
    if (
        volume.data.ndim != 4
        or volume.data.shape[3] != len(volume.bvals)
        or volume.bvecs.shape != (len(volume.bvals), 3)
    ):
        count = volume.data.shape[3] if volume.data.ndim == 4 else 1
        raise Unsuitable(f"{count} volumes but {len(volume.bvals)} b-values.")
    plain = np.flatnonzero(unweighted(volume.bvals))
    if not len(plain):
        raise Unsuitable("No image without diffusion weighting (b=0).")
    shell = tensor_shell(volume.bvals, volume.bvecs)
    if shell is None:
        raise Unsuitable(
            f"No shell between b={LEAST_B:.0f} and {MOST_B:.0f} s/mm2 has the {LEAST_AXES} directions of a tensor."
        )
    keep = np.sort(np.concatenate([plain, shell.volumes]))
    data = np.asarray(volume.data if len(keep) == len(volume.bvals) else volume.data[..., keep], dtype=np.float32)
    if not np.isfinite(data).all():
        raise Unsuitable("The images hold values that are no numbers.")
    vectors = volume.bvecs[list(shell.volumes)]
    condition = condition_number(vectors)
    return Series(data, volume.bvals[keep], volume.bvecs[keep], shell.bvalue, axes_of(shell, volume.bvecs), condition)


def mask_of(series: Series, voxel_mm: tuple[float, float, float]) -> npt.NDArray[np.bool_]:
    """Brain mask of a series."""
    plain = unweighted(series.bvals)
    b0 = series.data[..., plain].mean(axis=3)
    mask = brain_mask(b0, series.data[..., ~plain].mean(axis=3), voxel_mm)
    if not mask.any():
        raise Unsuitable("No brain was found: the images are empty or too thin.")
    return mask


def refit_without_lost(series: Series, field: TensorField, dropouts: Dropouts, threads: int) -> TensorField:
    """Fit the slices that lost a volume again from their other volumes; too few directions left = `Unsuitable`."""
    for index in np.flatnonzero(dropouts.lost.any(axis=1)):
        kept = ~dropouts.lost[index]
        weighted = kept & ~unweighted(series.bvals)
        if condition_number(series.bvecs[weighted]) > quality.MOST_CONDITION:
            lost = int(dropouts.lost[index].sum())
            raise Unsuitable(
                f"Movement took {lost} volumes of slice {index + 1}: the rest does not determine a tensor."
            )
        only = np.zeros_like(field.mask)
        only[:, :, index] = field.mask[:, :, index]
        again = fit_tensor(
            np.asarray(series.data[..., kept]), only, series.bvals[kept], series.bvecs[kept], threads=threads
        )
        field = field.with_part(again)
    return field


def statistics(
    field: TensorField, inside: npt.NDArray[np.bool_], voxel_ml: float, checks: tuple[QualityCheck, ...]
) -> tuple[Measurement, ...]:
    """Mean, median, SD and n of each scalar in brain and white matter, and the two volumes."""
    limited = [f"{c.sentence} Limit: {c.limit}." for c in checks if c.verdict is Verdict.LIMITED]
    verdict = Verdict.LIMITED if limited else Verdict.GOOD
    reason = " ".join(limited)
    found: list[Measurement] = []
    for site, voxels in ((WHITE_MATTER, inside), (BRAIN, np.ones_like(inside))):
        count = int(voxels.sum())
        for quantity, values in scalar_fields(field):
            chosen = values[voxels].astype(np.float64)
            mean = Measurement(quantity, site, float(chosen.mean()), sd=float(chosen.std(ddof=1)), n=count)
            found += [mean, replace(mean, value=float(np.median(chosen)), statistic=Statistic.MEDIAN)]
        found.append(Measurement(VOLUME, site, count * voxel_ml, statistic=Statistic.TOTAL, n=count))
    return tuple(replace(m, quality=verdict, quality_reason=reason) for m in found)


def scalar_fields(field: TensorField) -> tuple[tuple[Quantity, npt.NDArray[np.float32]], ...]:
    """The scalars with their quantities, in the order of the report."""
    return (FA, field.fa), (MD, field.md), (AD, field.ad), (RD, field.rd)


def make_maps(field: TensorField, affine: npt.NDArray[np.float64]) -> tuple[MapImage, ...]:
    """Make the maps, NaN outside the brain."""
    return tuple(
        MapImage(quantity, field.volume(values), affine, "dwi", DISPLAY[quantity.name])
        for quantity, values in scalar_fields(field)
    )


def refuse_unsuitable(checks: tuple[QualityCheck, ...]) -> None:
    """Raise the sentences of all checks that make the measurement worthless."""
    reasons = [f"{check.sentence} Limit: {check.limit}." for check in checks if check.verdict is Verdict.UNSUITABLE]
    if reasons:
        raise Unsuitable(" ".join(reasons))


def statements(field: TensorField, table: TableCheck, volumes: int) -> tuple[str, ...]:
    """Sentences for the page: what was not done to the data, and what was."""
    found = [NOT_CORRECTED]
    if field.floored:
        share = field.floored / (len(field.md) * volumes)
        words = f"{share:.2%}" if share >= LEAST_SHARE_SHOWN else f"Less than {LEAST_SHARE_SHOWN:.2%}"
        found.append(f"{words} of the signal values were zero or less and were replaced.")
    if table.contradicted:
        found.append("The colour map is withheld: gradient directions and image axes disagree.")
    return tuple(found)
