"""Philips enhanced: one Enhanced MR object a series, slice by slice, precise scaling in a private group of the frame.

After an Ingenia Elition X, release 5.7.1: the dimension indices of its b = 0 frames follow those of the directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from phantom.dialects import enhanced
from phantom.dialects.enhanced import Names
from phantom.dialects.explicit import Element, item, private_sequence, valued
from phantom.dialects.identity import Identity
from phantom.dialects.philips import RESCALE_SLOPE, SCALE_SLOPE, Numbered, numbered
from phantom.dialects.series import Acquired, Kind, Sequence
from phantom.dialects.stamp import encode

_PRIVATE_GROUP = 0x2005140F
_CREATORS = ((0x20010010, "Philips Imaging DD 001"), (0x20050010, "Philips MR Imaging DD 001"))
_LATER = (0x20050014, "Philips MR Imaging DD 005")
_SLICE_NUMBER, _SCALE_INTERCEPT, _SCALE_SLOPE, _COMPONENT = 0x2001100A, 0x2005100D, 0x2005100E, 0x20051011
_B_NUMBER, _GRADIENT_NUMBER = 0x20051412, 0x20051413
_STACK = ((enhanced.STACK_ID, enhanced.FRAME_CONTENT), (enhanced.IN_STACK_POSITION, enhanced.FRAME_CONTENT))
_WEIGHTING = ((enhanced.B_VALUE, enhanced.DIFFUSION), (enhanced.GRADIENT, enhanced.DIFFUSION))


def _names(sequence: Sequence) -> Names:
    planar = sequence.kind is Kind.DWI
    return Names(
        manufacturer="Philips",
        model="Ingenia Elition X",
        software=("5.7.1", "5.7.1.1"),
        protocol=f"WIP {sequence.description}",
        sequence="DwiSE" if planar else "T1TFE",
        contrast="DIFFUSION" if planar else "T1",
        image_type=("ORIGINAL", "PRIMARY", "DIFFUSION" if planar else "T1", "NONE"),
        echo="SPIN" if planar else "GRADIENT",
        steady_state="NONE",
        spoiling="NONE" if planar else "RF_AND_GRADIENT",
        coil="MULTI COIL",
        repetition_ms=sequence.tr_ms,
        frequency_mhz=127.748512,
    )


def _private(index: int, volume: Numbered) -> list[Element]:
    """The frame's private group: slice number, precise scaling, and the maker's numbers of b-value and gradient."""
    creators = [valued(tag, "LO", text) for tag, text in (*_CREATORS, _LATER)]
    said = [
        valued(_SLICE_NUMBER, "IS", index + 1),
        valued(_SCALE_INTERCEPT, "FL", 0.0),
        valued(_SCALE_SLOPE, "FL", SCALE_SLOPE),
        valued(_COMPONENT, "CS", "M"),
        valued(_B_NUMBER, "IS", volume.b_number),
        valued(_GRADIENT_NUMBER, "IS", volume.gradient_number),
    ]
    return [valued(_LATER[0], "LO", _LATER[1]), private_sequence(_PRIVATE_GROUP, item([*creators, *said]))]


def write(folder: Path, acquired: Acquired, identity: Identity) -> Iterator[Path]:
    """Write a series as one object; yields its path when it is on disk."""
    sequence, slab, stack = acquired.sequence, acquired.slab, acquired.data
    slices, count = stack.shape[2:]
    names = _names(sequence)
    head = enhanced.new(sequence, names, identity)
    enhanced.pixels(head, slab, slices * count)
    dimensions = _STACK + (_WEIGHTING if acquired.diffusion else ())
    enhanced.dimensions(head, identity.uid(sequence.number, "dimensions"), dimensions)
    head.SharedFunctionalGroupsSequence = [enhanced.shared_groups(sequence, slab, names)]
    clock = enhanced.Clock.of(sequence, identity)
    window = (float(stack.max()) / 4, float(stack.max()) / 2)
    constant = [
        *enhanced.plane(slab),
        enhanced.echo(sequence.te_ms),
        enhanced.frame_type(names),
        *enhanced.values(RESCALE_SLOPE, "US", window),
    ]
    # volumes as the scanner numbers them: by b-value, then by gradient
    volumes = sorted(numbered(acquired.b if acquired.diffusion else np.zeros(count)), key=lambda one: one.place)
    own = [[*constant, *_weighting(acquired, volume)] for volume in volumes]
    exposure_ms = sequence.duration_s * 1000
    frames = []
    for index in range(slices):
        place = enhanced.position(slab, index)
        for volume, groups in zip(volumes, own, strict=True):
            at = clock.at(enhanced.elapsed_ms(acquired, volume.volume, index))
            indices = (volume.b_number, volume.gradient_number) if acquired.diffusion else ()
            content = enhanced.content(at, exposure_ms, index, 0, (1, index + 1, *indices))
            frames.append(item([*groups, place, content, *_private(index, volume)]))
    order = [volume.volume for volume in volumes]
    planes = (stack[:, :, index, order].transpose(2, 1, 0) for index in range(slices))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sequence.number:04d}.dcm"
    enhanced.save(path, encode(head), frames, planes, stack.nbytes)
    yield path


def _weighting(acquired: Acquired, volume: Numbered) -> list[Element]:
    if not acquired.diffusion:
        return []
    b, direction = float(acquired.b[volume.volume]), acquired.gradients_lps[volume.volume]
    return [enhanced.diffusion(b, direction, matrix=False)]
