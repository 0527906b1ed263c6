"""GE classic: one object a slice, volume after volume, b-value and direction in private elements in GE's own frame.

Element by element after a SIGNA Pioneer, release MR29.1 (axial DWI with phase encoding along columns). Other planes are
as dcm2niix reads them (nii_dicom, geCorrectBvecs); whether a scanner writes them so is not proved. Of BRAVO, GE's
prepared 3D gradient echo, no header was at hand: its names are those that public sorting rules look for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from phantom.dialects import classic
from phantom.dialects.classic import Names, Private, Scanner, decimal
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired, Floats, Kind
from phantom.dialects.stamp import Stamp
from phantom.slab import LPS_TO_RAS, Slab

SCANNER = Scanner("GE MEDICAL SYSTEMS", "SIGNA Pioneer", ("28", "LX", "MR29.1_SIM"), "127.7277", receive_coil="48HA")
BITS = 16
B_OFFSET = 1_000_000_000  # (0043,1039) holds b + 10^9 in most releases
ECHOES_IN_STEPS_OF = 4
# A direction of such a length says b = nominal |g|^2; readers take one closer to 1 for a unit vector badly rounded
# (dcm2niix issues 163, 245), so shells that lie closer are written with their own nominal b.
SHORTENED = (0.1, 0.95)


@dataclass(frozen=True, slots=True)
class _Pulse:
    """The pulse sequence in GE's words: standard elements, (0019,109c) and (0019,109e)."""

    names: Names
    name: str
    internal: str


_PULSES = {
    # IR beside GR: the scanner leaves it out, but then DICOM does not allow an inversion time (PS3.3 C.8.3.1)
    Kind.MPRAGE: _Pulse(
        Names(("ORIGINAL", "PRIMARY", "OTHER"), ("GR", "IR"), ("SS", "SP"), ("FAST_GEMS", "EDR_GEMS", "IR_GEMS"), "3D"),
        "bravo",
        "EFGRE3D",
    ),
    Kind.DWI: _Pulse(
        Names(
            ("ORIGINAL", "PRIMARY", "OTHER"),
            ("EP", "SE"),
            ("NONE",),
            ("SAT_GEMS", "EDR_GEMS", "EPI_GEMS", "ACC_GEMS", "PFF", "FS"),
            "2D",
        ),
        "epi2",
        "EPI2",
    ),
}

_B_VALUE, _SLOP = 0x00189087, 0x00431039
_X, _Y, _Z = 0x001910BB, 0x001910BC, 0x001910BD
_KIND, _LETTER, _LOCATION = 0x00431030, 0x00271040, 0x00271041
_UNWEIGHTED, _WEIGHTED = 14, 16  # (0043,1030)
_PLANE_TYPES = {0: 4, 1: 8, 2: 2}  # (0027,1035) by the axis that slices run along: sagittal, coronal, axial
_OBLIQUE, _STRAIGHT = 16, 0.9999
_LETTERS = ("RL", "AP", "SI")  # towards +x, -x and so on, RAS
_WIDEST_COMPONENT = "-0.000000"


def in_gradient_frame(direction_lps: Floats, slab: Slab, phase_encoding: str) -> Floats:
    """Direction along GE's x, y, z: (3,). The frame follows the image and its phase encoding, not the patient.

    Solved from how dcm2niix reads every plane: axial and COL is x right, y anterior, z superior of a straight slab.
    """
    row, column, normal = slab.axes_lps[:, 0], slab.axes_lps[:, 1], slab.normal_lps
    r, c, n = (float(direction_lps @ axis) for axis in (row, column, normal))
    along = int(np.argmax(np.abs(normal)))
    if phase_encoding == "COL":
        return {0: np.array([r, c, -n]), 1: np.array([-r, c, n]), 2: np.array([-r, -c, n])}[along]
    return {0: np.array([-c, r, -n]), 1: np.array([c, r, n]), 2: np.array([c, -r, n])}[along]


@dataclass(frozen=True, slots=True)
class _Weighting:
    """A volume's nominal b and the vector whose length scales it."""

    b: float
    nominal: float
    vector: Floats


def _weightings(acquired: Acquired) -> list[_Weighting]:
    """One nominal b a series: a lower shell is a shorter vector, where it is short enough to be understood."""
    largest = float(acquired.b.max())
    found = []
    for value, direction in zip(acquired.b, acquired.gradients_lps, strict=True):
        b = float(value)
        if b <= 0:
            found.append(_Weighting(0.0, 0.0, np.zeros(3)))
            continue
        vector = in_gradient_frame(direction, acquired.slab, acquired.sequence.phase_encoding)
        length = float(np.sqrt(b / largest))
        shorten = SHORTENED[0] < length < SHORTENED[1]
        found.append(_Weighting(b, largest if shorten else b, vector * (length if shorten else 1.0)))
    return found


def _along(slab: Slab) -> int:
    """Patient axis that the slices run along."""
    return int(np.argmax(np.abs(slab.normal_lps)))


def _locations_mm(slab: Slab) -> Floats:
    """GE's location of each slice: RAS coordinate of its middle on the axis that slices run along."""
    columns, rows, slices = slab.shape
    middle = slab.origin_lps + slab.steps_lps[:, 0] * (columns - 1) / 2 + slab.steps_lps[:, 1] * (rows - 1) / 2
    axis = _along(slab)
    return np.asarray(LPS_TO_RAS[axis] * (middle[axis] + slab.steps_lps[axis, 2] * np.arange(slices)))


def _letter(axis: int, location_mm: float) -> str:
    return _LETTERS[axis][0 if location_mm >= 0 else 1]


def _lines(acquired: Acquired) -> int:
    columns, rows, _ = acquired.slab.shape
    return rows if acquired.sequence.phase_encoding == "COL" else columns


def _acceleration(acquired: Acquired) -> int:
    factor = acquired.sequence.epi_factor
    return max(1, round(_lines(acquired) / factor)) if factor > 1 else 1


def _echo_spacing_us(acquired: Acquired) -> int:
    """Between two echoes, whole microseconds: their count is that of the accelerated lines, rounded up to fours.

    So dcm2niix takes it back: TotalReadoutTime = (echoes - 1) x spacing (nii_dicom_batch.cpp, GE, partial Fourier).
    """
    echoes = -(-_lines(acquired) // (_acceleration(acquired) * ECHOES_IN_STEPS_OF)) * ECHOES_IN_STEPS_OF
    return round(acquired.sequence.readout_ms * 1000 / (echoes - 1))


def _acquisition_group(acquired: Acquired, first_mm: float, last_mm: float) -> Private:
    sequence, slab = acquired.sequence, acquired.slab
    pulse, axis = _PULSES[sequence.kind], _along(slab)
    b = acquired.b
    directions, unweighted = int((b > 0).sum()), int((b == 0).sum())
    return [
        (0x100F, "DS", "400.000000"),
        (0x1011, "SS", 0),
        (0x1018, "LO", _letter(axis, first_mm)),
        (0x1019, "DS", decimal(first_mm)),
        (0x101A, "LO", _letter(axis, last_mm)),
        (0x101B, "DS", decimal(last_mm)),
        (0x101E, "DS", f"{slab.shape[0] * slab.voxel_mm[0]:.6f}"),
        (0x105A, "FL", sequence.duration_s * 1e6),
        (0x107E, "SS", 1),
        (0x1081, "SS", 1),
        (0x108F, "SS", int(sequence.phase_encoding == "COL")),
        (0x109B, "SS", 1),
        (0x109C, "LO", pulse.name),
        (0x109E, "LO", pulse.internal),
        (0x109F, "SS", 3),
        (0x10BB, "DS", _WIDEST_COMPONENT if directions else "0.000000"),
        (0x10BC, "DS", _WIDEST_COMPONENT if directions else "0.000000"),
        (0x10BD, "DS", _WIDEST_COMPONENT if directions else "0.000000"),
        (0x10D9, "DS", "0.000000"),
        (0x10DF, "DS", f"{unweighted:.6f}"),
        (0x10E0, "DS", f"{directions:.6f}"),
    ]


def _parameter_group(acquired: Acquired) -> Private:
    planar = acquired.sequence.epi_factor > 1
    factor = _acceleration(acquired)
    return [
        (0x1001, "SS", 4),
        (0x1006, "SS", int(planar)),
        (0x102C, "SS", _echo_spacing_us(acquired) if planar else 0),
        (0x102F, "SS", 0),
        (0x1030, "SS", 0),
        (0x1039, "IS", [classic.WIDEST_INTEGER, "8", "0", "0"] if acquired.diffusion else ["0"] * 4),
        (0x1083, "DS", [decimal(1 / factor), "1"]),
        (0x1084, "LO", ["10000", "2", "0", "0", "", "YES" if factor > 1 else "NO", "ASSET" if factor > 1 else ""]),
        (0x108A, "CS", acquired.sequence.phase_encoding),
        (0x1096, "CS", "PRODUCT"),
        (0x109A, "IS", "1"),
    ]


def _dataset(acquired: Acquired, identity: Identity, own_b_value: bool) -> Dataset:
    """First object; `own_b_value`: with the standard b-value, which the scanner writes of weighted images only."""
    sequence, slab = acquired.sequence, acquired.slab
    pulse = _PULSES[sequence.kind]
    dataset = classic.dataset_of(acquired, identity, SCANNER, pulse.names, (slab.shape[1], slab.shape[0]), BITS)
    dataset.PixelRepresentation = 1
    dataset.ReconstructionDiameter = decimal(max(slab.shape[0] * slab.voxel_mm[0], slab.shape[1] * slab.voxel_mm[1]))
    dataset.EchoTrainLength = "1"  # GE counts the echoes of other trains only
    count = slab.shape[2] * acquired.data.shape[3]
    dataset.ImagesInAcquisition = str(count)
    dataset.GeometryOfKSpaceTraversal = "RECTILINEAR"
    dataset.RectilinearPhaseEncodeReordering = "REVERSE_LINEAR" if sequence.phase_positive else "LINEAR"
    if own_b_value:
        dataset.DiffusionBValue = 0.0
    locations, axis = _locations_mm(slab), _along(slab)
    straight = abs(float(slab.normal_lps[axis])) > _STRAIGHT
    plane_type = _PLANE_TYPES[axis] if straight else _OBLIQUE
    classic.private(dataset, 0x0009, {0x10: "GEMS_IDEN_01"}, [(0x1002, "SH", "SIM"), (0x1004, "SH", "SIGNA")])
    group = _acquisition_group(acquired, float(locations[0]), float(locations[-1]))
    classic.private(dataset, 0x0019, {0x10: "GEMS_ACQU_01"}, group)
    relations: Private = [(0x1037, "SS", 16), (0x104F, "SS", slab.shape[2]), (0x105A, "SL", 0)]
    classic.private(dataset, 0x0021, {0x10: "GEMS_RELA_01"}, relations)
    series: Private = [(0x1007, "SL", count), (0x1011, "SS", 1), (0x1019, "SL", count)]
    classic.private(dataset, 0x0025, {0x10: "GEMS_SERS_01"}, series)
    image: Private = [
        (0x1035, "SS", plane_type),
        (0x1040, "SH", _letter(axis, float(locations[0]))),
        (0x1041, "FL", 0.0),
        (0x1060, "FL", float(slab.shape[0])),
        (0x1061, "FL", float(slab.shape[1])),
        (0x1062, "FL", 1.0),
    ]
    classic.private(dataset, 0x0027, {0x10: "GEMS_IMAG_01"}, image)
    classic.private(dataset, 0x0043, {0x10: "GEMS_PARM_01"}, _parameter_group(acquired))
    return dataset


def _slice_values(slab: Slab) -> list[dict[int, bytes]]:
    """What differs from slice to slice and is the same in every volume."""
    axis, values = _along(slab), []
    for index, location in enumerate(_locations_mm(slab)):
        position = slab.origin_lps + slab.steps_lps[:, 2] * index
        values.append(
            {
                classic.IMAGE_POSITION: classic.position_text(position),
                classic.SLICE_LOCATION: decimal(float(location)).encode(),
                _LETTER: _letter(axis, float(location)).encode(),
                _LOCATION: struct.pack("<f", float(location)),
            }
        )
    return values


def _volume_values(weighting: _Weighting, own_b_value: bool) -> dict[int, bytes]:
    stored = round(weighting.nominal) + (B_OFFSET if weighting.b > 0 else 0)
    values = {
        _SLOP: f"{stored}\\8\\0\\0".encode(),
        _KIND: struct.pack("<h", _WEIGHTED if weighting.b > 0 else _UNWEIGHTED),
    }
    for tag, component in zip((_X, _Y, _Z), weighting.vector, strict=True):
        values[tag] = f"{component:.6f}".encode()
    if own_b_value:
        values[_B_VALUE] = struct.pack("<d", weighting.b)
    return values


def write(folder: Path, acquired: Acquired, identity: Identity) -> Iterator[Path]:
    """Write a series, volume after volume, slice after slice; yields each path when it is on disk."""
    slab, sequence = acquired.slab, acquired.sequence
    volumes, slices = acquired.data.shape[3], slab.shape[2]
    weightings = _weightings(acquired) if acquired.diffusion else []
    # Where vectors are shortened, what the standard element would hold is not known: readers take the private ones.
    plain = all(weighting.b == weighting.nominal for weighting in weightings)
    stamps = {False: Stamp(_dataset(acquired, identity, own_b_value=False))}
    if plain and any(weighting.b > 0 for weighting in weightings):
        stamps[True] = Stamp(_dataset(acquired, identity, own_b_value=True))
    folder.mkdir(parents=True, exist_ok=True)
    places = _slice_values(slab)
    for volume in range(volumes):
        own_b_value = plain and bool(weightings) and weightings[volume].b > 0
        constant = _volume_values(weightings[volume], own_b_value) if weightings else {}
        planes = np.ascontiguousarray(acquired.data[..., volume].transpose(2, 1, 0), "<u2")
        for index in range(slices):
            number = volume * slices + index + 1
            patch = {
                **places[index],
                **constant,
                classic.INSTANCE_NUMBER: str(number).encode(),
                classic.PIXEL_DATA: planes[index].tobytes(),
            }
            path = folder / f"{number:05d}.dcm"
            stamps[own_b_value].write(path, identity.uid(sequence.number, number), patch)
            yield path
