"""How an examination is planned: where the slices lie, what each sequence plays out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phantom.anatomy.person import Person
from phantom.dialects.series import Floats, Kind, Sequence
from phantom.sequences import dwi, mprage
from phantom.slab import Plane, Slab

Triple = tuple[float, float, float]

DWI_FIELD_MM = (224.0, 224.0, 148.0)
T1_FIELD_MM = (250.0, 250.0, 176.0)  # rows run front to back, columns head to foot, slices across
DWI_CENTRE_MM = (0.0, -18.0, 4.0)  # of the field, from the anterior commissure
T1_CENTRE_MM = (0.0, -12.0, -22.0)

MPRAGE = mprage.Protocol()
T1 = Sequence(
    number=201,
    kind=Kind.MPRAGE,
    description="Sag3D MPRAGE",
    tr_ms=MPRAGE.tr_ms,
    te_ms=MPRAGE.te_ms,
    flip_deg=MPRAGE.flip_deg,
    time="101600",
    duration_s=301.0,
    phase_encoding="ROW",
    ti_ms=MPRAGE.ti_ms,
    cycle_ms=MPRAGE.cycle_ms,
    echo_train=MPRAGE.pulses,
)
DWI_NUMBER, REVERSED_NUMBER = 301, 302
EPI_FACTOR = 57


def diffusion(protocol: dwi.Protocol) -> Sequence:
    """The diffusion series: phase encoding from front to back."""
    shells = "_".join(f"{shell.directions}dir_b{shell.b:g}" for shell in protocol.shells) or "b0"
    return Sequence(
        number=DWI_NUMBER,
        kind=Kind.DWI,
        description=f"DTI_{shells}",
        tr_ms=protocol.tr_ms,
        te_ms=protocol.te_ms,
        flip_deg=90,
        time="102000",
        duration_s=protocol.tr_ms / 1000 * (protocol.unweighted + protocol.directions + 1),
        phase_encoding="COL",
        echo_train=EPI_FACTOR,
        epi_factor=EPI_FACTOR,
        bandwidth_hz=2494,
        readout_ms=protocol.readout_ms,
    )


def reversed_diffusion(protocol: dwi.Protocol) -> Sequence:
    """Its companion without diffusion weighting, phase encoding from back to front."""
    return replace(
        diffusion(protocol), number=REVERSED_NUMBER, description="DTI_b0_PA", time="102600", phase_positive=False
    )


def slice_times_ms(slices: int, tr_ms: float) -> Floats:
    """Start of each slice within a volume: every other slice first, then those between."""
    order = np.r_[np.arange(0, slices, 2), np.arange(1, slices, 2)]
    times = np.empty(slices)
    times[order] = np.arange(slices) * tr_ms / slices
    return times


def dwi_slab(person: Person, pitch_deg: float, voxel_mm: float) -> Slab:
    """Axial slices over the whole brain."""
    return _slab(person, pitch_deg, Plane.AXIAL, DWI_FIELD_MM, DWI_CENTRE_MM, voxel_mm)


def t1_slab(person: Person, pitch_deg: float, voxel_mm: float) -> Slab:
    """Sagittal slices over the whole head."""
    return _slab(person, pitch_deg, Plane.SAGITTAL, T1_FIELD_MM, T1_CENTRE_MM, voxel_mm)


def _slab(person: Person, pitch_deg: float, plane: Plane, field: Triple, centre_mm: Triple, voxel_mm: float) -> Slab:
    """A slab angled with the head's pitch; even counts of voxels."""
    x, y, z = (float(v) for v in person.centre_ras + person.placement @ np.array(centre_mm))
    columns, rows, slices = (2 * round(edge / voxel_mm / 2) for edge in field)
    # The pitch is in LPS: a turn about x there runs the other way than in RAS.
    return Slab.around((x, y, z), (columns, rows, slices), (voxel_mm,) * 3, plane, (-pitch_deg, 0.0, 0.0))
