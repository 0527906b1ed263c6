"""Siemens classic, release E11: EPI as mosaics with a CSA header, one object a volume; 3D one object a slice.

Element by element after a Prisma, syngo MR E11 (ep2d_diff and a gradient echo; of an MPRAGE only the names differ).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from phantom.dialects import classic, csa
from phantom.dialects.classic import Names, Private, Scanner, clock, decimal
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired, Floats, Kind, Sequence
from phantom.dialects.stamp import Stamp
from phantom.slab import Slab

Plane = npt.NDArray[np.uint16]

SCANNER = Scanner("SIEMENS", "Prisma_fit", ("syngo MR E11 SIM",), "123.254929", transmit_coil="Body")
COIL = "HE1-4;NE1,2"
MPRAGE_NAME = "*tfl3d1_16ns"
DWELL_STEP_NS = 100
BITS = 12

_EPI = Names(("ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"), ("EP",), ("SK", "SP"), ("PFP", "FS"), "2D")
_NAMES = {
    Kind.MPRAGE: Names(("ORIGINAL", "PRIMARY", "M", "ND"), ("GR", "IR"), ("SK", "SP", "MP"), ("IR",), "3D"),
    Kind.DWI: Names(
        ("ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND", "MOSAIC"), ("EP",), ("SK", "SP"), ("PFP", "FS"), "2D"
    ),
}
_SEQUENCE_FILES = {Kind.MPRAGE: "tfl", Kind.DWI: "ep2d_diff"}

_ACQUISITION_TIME, _CONTENT_TIME, _SEQUENCE_NAME, _ACQUISITION_NUMBER = 0x00080032, 0x00080033, 0x00180024, 0x00200012
_B_VALUE, _DIRECTIONALITY, _DIRECTION, _B_MATRIX = 0x0019100C, 0x0019100D, 0x0019100E, 0x00191027
_TIME_AFTER_START, _IMAGE_HEADER, _PLACE = 0x00191016, 0x00291010, 0x0051100D

_TABLE_MODE, _FREE_MODE = 256, 128  # sDiffusion.ulMode: the scanner's own directions after one b = 0; a free table
_PLANES = ("Sag", "Cor", "Tra")
_LETTERS = ("LR", "PA", "HF")  # towards +x, -x and so on, LPS
_WIDEST_NAME = "*ep_b00000#0000"
_WIDEST_PLACE = "SP R000.0"


def _tiles(slices: int) -> int:
    """Tiles along each side of the mosaic: always a square."""
    return math.ceil(math.sqrt(slices))


def mosaic(volume: Plane) -> Plane:
    """Slices of a volume (x, y, z) side by side, row by row of tiles: (rows, columns) of the mosaic."""
    columns, rows, slices = volume.shape
    side = _tiles(slices)
    tiles = np.zeros((side * side, rows, columns), np.uint16)
    tiles[:slices] = volume.transpose(2, 1, 0)
    return tiles.reshape(side, side, rows, columns).transpose(0, 2, 1, 3).reshape(side * rows, side * columns)


def mosaic_position(slab: Slab) -> Floats:
    """Image Position of a mosaic: the corner that a slice as large as the mosaic, centred on the first, would have."""
    columns, rows, slices = slab.shape
    beside = (_tiles(slices) - 1) / 2
    return np.asarray(slab.origin_lps - slab.steps_lps[:, 0] * columns * beside - slab.steps_lps[:, 1] * rows * beside)


def _upwards(slab: Slab) -> Floats:
    """Slice normal towards the positive end of the patient axis that it is nearest to."""
    normal = slab.normal_lps
    return np.asarray(normal * np.sign(normal[np.argmax(np.abs(normal))]))


def _plane_name(slab: Slab) -> str:
    return _PLANES[int(np.argmax(np.abs(slab.normal_lps)))]


def _phase_and_read(acquired: Acquired) -> tuple[int, int]:
    columns, rows, _ = acquired.slab.shape
    return (rows, columns) if acquired.sequence.phase_encoding == "COL" else (columns, rows)


def _phase_bandwidth_hz(acquired: Acquired) -> float:
    """Of the reconstructed image, per pixel along the phase encoding; 0 = not EPI."""
    lines, _ = _phase_and_read(acquired)
    readout_s = acquired.sequence.readout_ms / 1000
    return (lines - 1) / (lines * readout_s) if readout_s > 0 else 0.0


def _dwell_ns(acquired: Acquired) -> int:
    """Time of one sample of the readout, which is oversampled twofold, in the scanner's steps."""
    _, samples = _phase_and_read(acquired)
    return round(1e9 / (acquired.sequence.bandwidth_hz * samples * 2) / DWELL_STEP_NS) * DWELL_STEP_NS


def _acceleration(acquired: Acquired) -> int:
    lines, _ = _phase_and_read(acquired)
    return max(1, round(lines / acquired.sequence.epi_factor)) if acquired.sequence.epi_factor > 1 else 1


# --- the text protocol


def _diffusion_protocol(acquired: Acquired) -> dict[str, object]:
    """One b = 0 and then the directions of one shell is the scanner's own table; anything else is a free one."""
    b = acquired.b
    shells = sorted(set(b[b > 0].tolist()))
    own_table = len(shells) == 1 and float(b[0]) == 0 and bool((b[1:] > 0).all())
    if own_table:
        return {
            "sDiffusion.lDiffWeightings": 2,
            "sDiffusion.alBValue[1]": round(shells[0]),
            "sDiffusion.alAverages[0]": 1,
            "sDiffusion.alAverages[1]": 1,
            "sDiffusion.lDiffDirections": len(b) - 1,
            "sDiffusion.ulMode": _TABLE_MODE,
        }
    return {
        "sDiffusion.lDiffWeightings": 1,
        "sDiffusion.alBValue[0]": round(max(shells, default=0)),
        "sDiffusion.alAverages[0]": 1,
        "sDiffusion.lDiffDirections": len(b),
        "sDiffusion.ulMode": _FREE_MODE,
        "sDiffusion.sFreeDiffusionData.asDiffDirVector.__attribute__.size": len(b),
    }


def protocol_text(acquired: Acquired) -> str:
    """The part of the scanner's protocol that readers use, marked as simulated."""
    sequence, slab = acquired.sequence, acquired.slab
    volume = _NAMES[sequence.kind].acquisition == "3D"
    lines, base = _phase_and_read(acquired)
    values: dict[str, object] = {
        "ulVersion": 51130001,
        "tSequenceFileName": f'""%SiemensSeq%\\{_SEQUENCE_FILES[sequence.kind]}""',
        "tProtocolName": f'""{sequence.description}""',
        "tSimulated": '""digital phantom""',
        "lContrasts": 1,
        "lAverages": 1,
        "lRepetitions": 0 if volume or acquired.diffusion else acquired.data.shape[3] - 1,
        "alTR[0]": round(_repetition_ms(sequence) * 1000),
        "alTI[0]": round(sequence.ti_ms * 1000),
        "alTE[0]": round(sequence.te_ms * 1000),
        "sSliceArray.lSize": 1 if volume else slab.shape[2],
        "sKSpace.lBaseResolution": base,
        "sKSpace.lPhaseEncodingLines": lines,
        "sKSpace.lImagesPerSlab": slab.shape[2] if volume else 64,
        "sKSpace.ucDimension": 4 if volume else 2,
        "sFastImaging.lEPIFactor": sequence.epi_factor,
        "sPat.lAccelFactPE": _acceleration(acquired),
    }
    if acquired.diffusion:
        values |= _diffusion_protocol(acquired)
    body = "".join(f"{name}\t = \t{value}\n" for name, value in values.items())
    return (
        "### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 converter=SIMULATED ###\n"
        f"{body}### ASCCONV END ###"
    )


def _repetition_ms(sequence: Sequence) -> float:
    """What Siemens calls TR: of a prepared 3D sequence from inversion to inversion."""
    return sequence.cycle_ms or sequence.tr_ms


# --- one object


def _first(acquired: Acquired, identity: Identity, names: Names, stored: tuple[int, int]) -> Dataset:
    """Standard elements and those private ones that are the same in every object of the series."""
    sequence, slab = acquired.sequence, acquired.slab
    dataset = classic.dataset_of(acquired, identity, SCANNER, names, stored, BITS)
    dataset.RepetitionTime = decimal(_repetition_ms(sequence))
    dataset.InstanceCreationDate = identity.date
    dataset.InstanceCreationTime = clock(sequence.time, sequence.duration_s)
    dataset.InstitutionAddress = dataset.PerformingPhysicianName = ""
    dataset.PatientSize = "1.75"
    dataset.SequenceName = _WIDEST_NAME
    dataset.AcquisitionNumber = classic.WIDEST_INTEGER
    dataset.WindowCenterWidthExplanation = "Algo1"
    lines, base = _phase_and_read(acquired)
    mosaics = "MOSAIC" in names.image_type
    side = _tiles(slab.shape[2]) if mosaics else 1
    minutes, seconds = divmod(round(sequence.duration_s), 60)
    pat = _acceleration(acquired)
    shown: Private = [
        (0x1008, "CS", "IMAGE NUM 4"),
        (0x1009, "LO", "1.0"),
        (0x100A, "LO", f"TA {minutes:02d}:{seconds:02d}"),
        (0x100B, "LO", f"{lines}p*{base}" if mosaics else f"{lines}*{base}"),
        (
            0x100C,
            "LO",
            f"FoV {slab.shape[1] * slab.voxel_mm[1] * side:.0f}*{slab.shape[0] * slab.voxel_mm[0] * side:.0f}",
        ),
        *([] if mosaics else [(0x100D, "SH", _WIDEST_PLACE)]),
        (0x100E, "LO", _plane_name(slab)),
        (0x100F, "LO", COIL),
        *([(0x1011, "LO", f"p{pat}")] if pat > 1 else []),
        (0x1012, "SH", "TP 0"),
        (0x1013, "SH", "+LPH"),
        (0x1016, "LO", "/".join(names.image_type[2:])),
        (0x1017, "SH", f"SL {slab.voxel_mm[2]:.1f}"),
        (0x1019, "LO", "/".join(("A1", *names.options))),
    ]
    classic.private(dataset, 0x0051, {0x10: "SIEMENS MR HEADER"}, shown)
    return dataset


def _series_header(acquired: Acquired) -> bytes:
    protocol = csa.text("MrPhoenixProtocol", protocol_text(acquired), "UT")
    return csa.encode([csa.text("UsedPatientWeight", "75", "IS"), protocol])


def _headers(dataset: Dataset, image_header: bytes, series_header: bytes, date: str) -> None:
    values: Private = [
        (0x1008, "CS", "IMAGE NUM 4"),
        (0x1009, "LO", date),
        (0x1010, "OB", image_header),
        (0x1018, "CS", "MR"),
        (0x1019, "LO", date),
        (0x1020, "OB", series_header),
        (0x1160, "LO", "com"),
    ]
    blocks = {0x10: "SIEMENS CSA HEADER", 0x11: "SIEMENS MEDCOM HEADER2"}
    classic.private(dataset, 0x0029, blocks, values)


def _place_text(along_mm: float, slab: Slab) -> str:
    """How far from the isocentre along the slice normal, by the letter of that side."""
    letters = _LETTERS[int(np.argmax(np.abs(slab.normal_lps)))]
    return f"SP {letters[0 if along_mm >= 0 else 1]}{abs(along_mm):.1f}"


def _b_matrix(b: float, direction: Floats) -> Floats:
    """b g g', upper triangle: xx xy xz yy yz zz."""
    return np.asarray((b * np.outer(direction, direction))[np.triu_indices(3)])


def _doubles(values: Floats) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


# --- mosaics


def _mosaic_names(acquired: Acquired) -> Names:
    return _NAMES[acquired.sequence.kind] if acquired.diffusion else _EPI


def _after_start_s(acquired: Acquired, volume: int) -> float:
    """From the start of the series to the first tile of a volume."""
    first_ms = float(acquired.slice_times_ms[0]) if len(acquired.slice_times_ms) else 0.0
    return (volume * _repetition_ms(acquired.sequence) + first_ms) / 1000


def _image_tags(acquired: Acquired, volume: int) -> list[csa.Tag]:
    """CSA image header of a mosaic; of a diffusion volume with its b-value, direction and b-matrix."""
    sequence, slab = acquired.sequence, acquired.slab
    lines, base = _phase_and_read(acquired)
    b = float(acquired.b[volume]) if acquired.diffusion else 0.0
    weighted = b > 0
    direction = acquired.gradients_lps[volume] if acquired.diffusion else np.zeros(3)
    pat = _acceleration(acquired)
    slice_us = _repetition_ms(sequence) * 1000 / slab.shape[2]
    return [
        csa.text("ICE_Dims", f"X_1_1_1_{volume + 1}_1_1_1_1_1_1_1_1", "LO"),
        csa.whole("B_value", round(b)) if acquired.diffusion else csa.Tag("B_value", 1, "IS"),
        csa.whole("ProtocolSliceNumber", 0),
        csa.whole("RealDwellTime", _dwell_ns(acquired)),
        csa.real("SliceMeasurementDuration", [slice_us], vr="DS"),
        csa.text("AcquisitionMatrixText", f"{lines}p*{base}", "SH"),
        csa.whole("PhaseEncodingDirectionPositive", int(sequence.phase_positive)),
        csa.whole("NumberOfImagesInMosaic", slab.shape[2], "US"),
        csa.real("DiffusionGradientDirection", direction if weighted else (), 3),
        csa.real("SliceNormalVector", slab.axes_lps[:, 2]),
        csa.text("DiffusionDirectionality", "DIRECTIONAL" if weighted else "NONE", "CS")
        if acquired.diffusion
        else csa.Tag("DiffusionDirectionality", 1, "CS"),
        csa.real("TimeAfterStart", [_after_start_s(acquired, volume)], vr="DS"),
        csa.text("ImaCoilString", COIL, "LO"),
        csa.text("ImaPATModeText", f"p{pat}", "LO") if pat > 1 else csa.Tag("ImaPATModeText", 1, "LO"),
        csa.real("B_matrix", _b_matrix(b, direction) if weighted else (), 6),
        csa.real("BandwidthPerPixelPhaseEncode", [_phase_bandwidth_hz(acquired)]),
        csa.real("MosaicRefAcqTimes", acquired.slice_times_ms, 0),
        csa.Tag("ImageType4MF", 0, "CS", _mosaic_names(acquired).image_type[:4]),
    ]


def _mosaic_group(acquired: Acquired, weighted: bool) -> Private:
    """Group 0019 of a mosaic, with room for what differs."""
    slice_us = _repetition_ms(acquired.sequence) * 1000 / acquired.slab.shape[2]
    values: Private = [
        (0x1008, "CS", "IMAGE NUM 4"),
        (0x1009, "LO", "1.0"),
        (0x100A, "US", acquired.slab.shape[2]),
        (0x100B, "DS", decimal(slice_us)),
        (0x1011, "SH", "No"),
        (0x1016, "DS", classic.WIDEST_DECIMAL),
        (0x1018, "IS", str(_dwell_ns(acquired))),
        (0x1028, "FD", _phase_bandwidth_hz(acquired)),
    ]
    if acquired.diffusion:
        values += [(0x100C, "IS", classic.WIDEST_INTEGER), (0x100D, "CS", "DIRECTIONAL")]
    if weighted:
        values += [(0x100E, "FD", [0.0] * 3), (0x1027, "FD", [0.0] * 6)]
    if len(acquired.slice_times_ms):
        values.append((0x1029, "FD", [float(time) for time in acquired.slice_times_ms]))
    return sorted(values, key=lambda value: value[0])


def _sequence_names(acquired: Acquired) -> list[str]:
    """Name of each volume: *ep_b0, *ep_b1000#1, *ep_b1000#2 ..."""
    if not acquired.diffusion:
        return [f"*epse2d1_{_phase_and_read(acquired)[0]}"] * acquired.data.shape[3]
    names, counts = [], dict.fromkeys((round(b) for b in acquired.b), 0)
    for b in (round(b) for b in acquired.b):
        counts[b] += 1
        names.append(f"*ep_b{b}#{counts[b]}" if b > 0 else "*ep_b0")
    return names


def _write_mosaics(folder: Path, acquired: Acquired, identity: Identity) -> Iterator[Path]:
    sequence, slab = acquired.sequence, acquired.slab
    side = _tiles(slab.shape[2])
    names = _mosaic_names(acquired)
    headers = [csa.encode(_image_tags(acquired, volume)) for volume in range(acquired.data.shape[3])]
    longest = max(map(len, headers))
    series_header, position = _series_header(acquired), mosaic_position(slab)
    along = float(position @ _upwards(slab))
    stamps: dict[bool, Stamp] = {}
    for volume, sequence_name in enumerate(_sequence_names(acquired)):
        b = float(acquired.b[volume]) if acquired.diffusion else 0.0
        weighted = b > 0
        if weighted not in stamps:
            dataset = _first(acquired, identity, names, (slab.shape[1] * side, slab.shape[0] * side))
            classic.private(dataset, 0x0019, {0x10: "SIEMENS MR HEADER"}, _mosaic_group(acquired, weighted))
            _headers(dataset, bytes(longest), series_header, identity.date)
            stamps[weighted] = Stamp(dataset)
        after_s = volume * _repetition_ms(sequence) / 1000
        patch = {
            _ACQUISITION_TIME: clock(sequence.time, after_s).encode(),
            _CONTENT_TIME: clock(sequence.time, after_s).encode(),
            _SEQUENCE_NAME: sequence_name.encode(),
            _ACQUISITION_NUMBER: str(volume + 1).encode(),
            _TIME_AFTER_START: decimal(_after_start_s(acquired, volume)).encode(),
            _IMAGE_HEADER: headers[volume].ljust(longest, b"\0"),
            classic.INSTANCE_NUMBER: str(volume + 1).encode(),
            classic.IMAGE_POSITION: classic.position_text(position),
            classic.SLICE_LOCATION: decimal(along).encode(),
            classic.PIXEL_DATA: mosaic(acquired.data[..., volume]).astype("<u2", copy=False).tobytes(),
        }
        if acquired.diffusion:
            patch |= {_B_VALUE: str(round(b)).encode(), _DIRECTIONALITY: b"DIRECTIONAL" if weighted else b"NONE"}
        if weighted:
            direction = acquired.gradients_lps[volume]
            patch |= {_DIRECTION: _doubles(direction), _B_MATRIX: _doubles(_b_matrix(b, direction))}
        path = folder / f"{volume + 1:05d}.dcm"
        stamps[weighted].write(path, identity.uid(sequence.number, volume), patch)
        yield path


# --- one object a slice


def _slice_dataset(acquired: Acquired, identity: Identity) -> Dataset:
    slab = acquired.slab
    names = _NAMES[acquired.sequence.kind]
    dataset = _first(acquired, identity, names, (slab.shape[1], slab.shape[0]))
    dataset.SequenceName = MPRAGE_NAME
    dataset.AcquisitionNumber = "1"
    values: Private = [
        (0x1008, "CS", "IMAGE NUM 4"),
        (0x1009, "LO", "1.0"),
        (0x100F, "SH", "Normal"),
        (0x1011, "SH", "No"),
        (0x1017, "DS", "1"),
        (0x1018, "IS", str(_dwell_ns(acquired))),
    ]
    classic.private(dataset, 0x0019, {0x10: "SIEMENS MR HEADER"}, values)
    tags = [
        csa.text("ICE_Dims", "X_1_1_1_1_1_1_1_1_1_1_1_1", "LO"),
        csa.whole("ProtocolSliceNumber", 0),
        csa.whole("RealDwellTime", _dwell_ns(acquired)),
        csa.whole("PhaseEncodingDirectionPositive", int(acquired.sequence.phase_positive)),
        csa.real("SliceNormalVector", slab.axes_lps[:, 2]),
        csa.text("ImaCoilString", COIL, "LO"),
    ]
    _headers(dataset, csa.encode(tags), _series_header(acquired), identity.date)
    return dataset


def _write_slices(folder: Path, acquired: Acquired, identity: Identity) -> Iterator[Path]:
    sequence, slab = acquired.sequence, acquired.slab
    stamp = Stamp(_slice_dataset(acquired, identity))
    upwards = _upwards(slab)
    for index in range(slab.shape[2]):
        position = slab.origin_lps + slab.steps_lps[:, 2] * index
        along = float(position @ upwards)
        patch = {
            _PLACE: _place_text(along, slab).encode(),
            classic.INSTANCE_NUMBER: str(index + 1).encode(),
            classic.IMAGE_POSITION: classic.position_text(position),
            classic.SLICE_LOCATION: decimal(along).encode(),
            classic.PIXEL_DATA: acquired.data[:, :, index, 0].T.astype("<u2", copy=False).tobytes(),
        }
        path = folder / f"{index + 1:05d}.dcm"
        stamp.write(path, identity.uid(sequence.number, index), patch)
        yield path


def write(folder: Path, acquired: Acquired, identity: Identity) -> Iterator[Path]:
    """Write a series: EPI as one mosaic a volume, 3D as one object a slice; yields each path when it is on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    if _NAMES[acquired.sequence.kind].acquisition == "2D":
        yield from _write_mosaics(folder, acquired, identity)
        return
    if acquired.data.shape[3] != 1:
        raise ValueError(f"a 3D series of {acquired.data.shape[3]} volumes is not written")
    yield from _write_slices(folder, acquired, identity)
