"""Siemens XA: one Enhanced MR object a volume; slice times, sign and bandwidth of the blips in private elements.

After a Prisma Fit, syngo MR XA30 (DTI and MPRAGE). Its private blocks are kept to what a reader takes from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from phantom.dialects import enhanced
from phantom.dialects.enhanced import Names
from phantom.dialects.explicit import Element, item, private_sequence, valued
from phantom.dialects.identity import Identity
from phantom.dialects.series import Acquired, Kind, Sequence
from phantom.dialects.stamp import Stamp

CREATOR = "SIEMENS MR SDI 02"
_CREATOR_TAG = 0x00210011
_GROUP, _ELAPSED_S, _BLIP_SIGN, _BANDWIDTH, _SEQUENCE = 0x002111FE, 0x00211104, 0x0021111C, 0x00211153, 0x00211177
_INSTANCE_NUMBER, _ACQUISITION_NUMBER, _ACQUISITION_TIME = 0x00200013, 0x00200012, 0x0008002A
_DIMENSIONS = (
    (enhanced.STACK_ID, enhanced.FRAME_CONTENT),
    (enhanced.IN_STACK_POSITION, enhanced.FRAME_CONTENT),
    (enhanced.TEMPORAL_POSITION, enhanced.FRAME_CONTENT),
)
_SLICE_MS = 88.0  # FrameAcquisitionDuration of an EPI slice


def _names(sequence: Sequence, rows: int) -> Names:
    planar = sequence.kind is Kind.DWI
    return Names(
        manufacturer="Siemens Healthineers",
        model="MAGNETOM Prisma Fit",
        software=("syngo MR XA30",),
        protocol=sequence.description,
        sequence=f"epse2d1_{rows}" if planar else "*tfl3d1_16ns",
        contrast="DIFFUSION" if planar else "UNKNOWN",
        image_type=("ORIGINAL", "PRIMARY", "DIFFUSION" if planar else "M", "NONE"),
        echo="GRADIENT",  # also of spin-echo EPI: only the name of the sequence tells it
        steady_state="NONE",
        spoiling="NONE",
        coil="HeadNeck_64",
        repetition_ms=sequence.cycle_ms or sequence.tr_ms,
        frequency_mhz=123.25,
    )


def _private(acquired: Acquired, volume: int, index: int) -> list[Element]:
    """The frame's private group; a 3D image has no slice times in it."""
    sequence = acquired.sequence
    creator = valued(_CREATOR_TAG, "LO", CREATOR)
    said = [creator, valued(_BLIP_SIGN, "IS", int(sequence.phase_positive))]
    if sequence.kind is Kind.DWI:
        said.append(valued(_ELAPSED_S, "DS", f"{enhanced.elapsed_ms(acquired, volume, index) / 1000:.10g}"))
    if sequence.readout_ms > 0:
        said.append(valued(_BANDWIDTH, "FD", phase_bandwidth_hz(acquired)))
    return [creator, private_sequence(_GROUP, item(said))]


def phase_bandwidth_hz(acquired: Acquired) -> float:
    """Bandwidth per pixel along the blips; the train's last echo comes `readout_ms` after its first."""
    steps = acquired.slab.shape[1 if acquired.sequence.phase_encoding == "COL" else 0]
    return (steps - 1) / (steps * acquired.sequence.readout_ms / 1000)


def _weighting(acquired: Acquired, volume: int) -> str:
    """Siemens' own text for a volume: ep_b0, ep_b1000#3 (third direction of the shell)."""
    b = round(float(acquired.b[volume]))
    if b == 0:
        return "ep_b0"
    return f"ep_b{b}#{int(np.sum(acquired.b[: volume + 1] == acquired.b[volume]))}"


def write(folder: Path, acquired: Acquired, identity: Identity) -> Iterator[Path]:
    """Write a series, one object a volume; yields each path when it is on disk."""
    sequence, slab, stack = acquired.sequence, acquired.slab, acquired.data
    slices, count = stack.shape[2:]
    names = _names(sequence, slab.shape[1])
    head = enhanced.new(sequence, names, identity)
    head.NumberOfTemporalPositions = str(count)
    head.InstanceNumber = head.AcquisitionNumber = "0000"
    enhanced.pixels(head, slab, slices)
    enhanced.dimensions(head, identity.uid(sequence.number, "dimensions"), _DIMENSIONS)
    head.SharedFunctionalGroupsSequence = [enhanced.shared_groups(sequence, slab, names)]
    stamp, clock = Stamp(head), enhanced.Clock.of(sequence, identity)
    # Orientation stands in every frame, after its position: dcm2niix takes objects that share one for series of
    # their own and writes a NIfTI of each.
    window = (float(stack.max()) / 4, float(stack.max()) / 2)
    constant = [*enhanced.plane(slab), enhanced.echo(sequence.te_ms), *enhanced.values("1", "US", window)]
    places = [enhanced.position(slab, index) for index in range(slices)]
    exposure_ms = _SLICE_MS if sequence.kind is Kind.DWI else sequence.duration_s * 1000
    folder.mkdir(parents=True, exist_ok=True)
    for volume in range(count):
        own = [*constant, *_of_volume(acquired, names, volume)]
        frames = []
        for index in range(slices):
            at = clock.at(enhanced.elapsed_ms(acquired, volume, index))
            content = enhanced.content(at, exposure_ms, index, volume, (1, index + 1, volume + 1))
            frames.append(item([*own, places[index], content, *_private(acquired, volume, index)]))
        number = str(volume + 1).encode()
        start = clock.at(enhanced.elapsed_ms(acquired, volume, 0)).encode()
        patch = {_INSTANCE_NUMBER: number, _ACQUISITION_NUMBER: number, _ACQUISITION_TIME: start}
        path = folder / f"{volume + 1:04d}.dcm"
        patched = stamp.patched(identity.uid(sequence.number, volume + 1), patch)
        enhanced.save(path, patched, frames, [stack[..., volume].T], stack[..., volume].nbytes)
        yield path


def _of_volume(acquired: Acquired, names: Names, volume: int) -> list[Element]:
    creator = valued(_CREATOR_TAG, "LO", CREATOR)
    if not acquired.diffusion:
        return [enhanced.frame_type(names, creator, valued(_SEQUENCE, "LO", names.sequence))]
    told = valued(_SEQUENCE, "LO", _weighting(acquired, volume))
    weighting = enhanced.diffusion(float(acquired.b[volume]), acquired.gradients_lps[volume], matrix=True)
    return [enhanced.frame_type(names, creator, told), weighting]
