"""The diffusion scan of a person: what a perfect scanner would see, the images that it takes, and what is true of them.

A voxel's signal is the sum of its compartments, each Gaussian: up to three fibres, hindered water beside them, white
matter between the tubes, and every other tissue with its own diffusivity (multi-tensor model with free water:
Pasternak 2009, 10.1002/mrm.22055).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from phantom._diffusion import add_fibres
from phantom.anatomy.body import ROW, TISSUES, Fractions, Labels, Points
from phantom.anatomy.fibres import SIX, Fibres
from phantom.anatomy.parcels import LABEL
from phantom.anatomy.person import Person
from phantom.disease import FREE_WATER_FOR_FIBRES, Condition
from phantom.painting import POINTS_AT_ONCE, THREADS, Image, paint, places
from phantom.sequences import artefacts as spoil
from phantom.sequences import dwi
from phantom.sequences.artefacts import Artefacts, Eddy, Motion
from phantom.sequences.field import off_resonance
from phantom.sequences.noise import rician
from phantom.slab import LPS_TO_RAS, Slab
from phantom.t1 import shading
from phantom.tissue import BETWEEN, BUNDLE, BUNDLE_SHARE, HINDERED_MD, PROPERTIES, Tissue

Floats = npt.NDArray[np.float64]

BRIGHTEST_STORED = 3600.0  # stored value of vitreous at b = 0, the brightest of all
MAXIMUM_STORED = 4095
DIRECTED = (Tissue.WHITE, Tissue.CORD_WHITE)
GREY = (
    Tissue.CORTEX,
    Tissue.THALAMUS,
    Tissue.CAUDATE,
    Tissue.PUTAMEN,
    Tissue.PALLIDUM,
    Tissue.HIPPOCAMPUS,
    Tissue.AMYGDALA,
)


@dataclass(frozen=True, slots=True, eq=False)
class White:
    """The m voxels with white matter: signal at b = 0 of each part and how it diffuses, scanner axes (RAS), um2/ms.

    index (m,): flat. weight, radial, number (fibre, m) and direction (fibre, 3, m): the fibres, number as in
    `bundles.tubes`. rest (m,) with tensor between (6, m): what lies between the tubes. share (fibre, m): of the white
    matter of the voxel that the fibres were given before disease.
    """

    index: npt.NDArray[np.int64]
    weight: Image
    radial: Image
    direction: Image
    number: npt.NDArray[np.uint8]
    share: Image
    rest: Image
    between: Image


@dataclass(frozen=True, slots=True, eq=False)
class DiffusionBody:
    """What diffusion sees of a person on a slab, voxel by voxel.

    unweighted (x, y, z): signal at b = 0. isotropic: signal of all that has no direction, by b (s/mm2).
    tensor (6, x, y, z): mean of the compartments weighted with their signal, um2/ms, RAS scanner axes. brain, white,
    grey, fluid: shares of the voxel. parcels: numbers of `parcels.LABEL`.
    """

    slab: Slab
    unweighted: Image
    isotropic: Mapping[float, Image]
    fibres: White
    tensor: Image
    brain: Image
    white: Image
    grey: Image
    fluid: Image
    parcels: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What happened during a series: motion, currents, dropped (volume, slice), field (x, y, z) Hz; None = nothing.

    The field is on the painted slab. shift_sign: of the displacement by the field along the array's y.
    """

    motion: Motion | None
    eddy: Eddy | None
    dropped: tuple[tuple[int, int], ...]
    field_hz: Image | None
    shift_sign: int


def _isotropic(
    fractions: Fractions, factor: npt.NDArray[np.float32], b_values: tuple[float, ...], protocol: dwi.Protocol
) -> npt.NDArray[np.float32]:
    """Rows: signal at each b of every tissue without direction, then their signal times diffusivity at b = 0.

    factor (n,): on the diffusivity of grey matter.
    """
    signals = np.array([0.0 if t in DIRECTED else dwi.unweighted_signal(t, protocol) for t in TISSUES], np.float32)
    md = np.array([PROPERTIES[tissue].md for tissue in TISSUES], np.float32)
    weights = [signals * np.exp(np.float32(-b * 1e-3) * md) for b in b_values]
    rows = np.einsum("rt,tn->rn", np.stack([*weights, signals * md]), fractions)
    (changed,) = np.nonzero(factor != 1)
    for tissue in GREY if len(changed) else ():
        row = ROW[tissue]
        share, more = signals[row] * fractions[row, changed], factor[changed] * md[row]
        for place, b in enumerate(b_values):
            scale = np.float32(-b * 1e-3)
            rows[place, changed] += share * (np.exp(scale * more) - np.exp(scale * md[row]))
        rows[-1, changed] += share * (more - md[row])
    return np.asarray(rows, np.float32)


def _white(
    person: Person, slab: Slab, white: Image, fibres: Fibres, index: npt.NDArray[np.int64]
) -> tuple[White, Image]:
    """Compartments of the white voxels `index`, and signal at b = 0 of hindered and of free water there (2, m).

    white (x, y, z): signal of white matter at b = 0. Water that took the place of fibres relaxes like white matter.
    """
    steps = person.steps(slab)
    whole = white.reshape(-1)

    def one(start: int) -> tuple[White, Image]:
        part = index[start : start + POINTS_AT_ONCE // 4]
        scanner = places(slab, part.astype(np.int32))
        seen = fibres.at(person.template(scanner), steps).carried(person.carry(scanner))
        signal, kept = whole[part], fibres.kept[seen.number]
        weight = signal * seen.share * kept
        lost = signal * (seen.share * (1 - kept)).sum(axis=0)
        hindered = np.float32(1 - BUNDLE_SHARE) * weight.sum(axis=0)
        hindered += np.float32(1 - FREE_WATER_FOR_FIBRES) * lost
        rest = signal * np.maximum(1 - seen.share.sum(axis=0), 0)
        axial, radial = BETWEEN
        between = np.float32(axial - radial) * seen.between
        between[[0, 3, 5]] += np.float32(radial)
        water = np.stack([hindered, np.float32(FREE_WATER_FOR_FIBRES) * lost])
        weight *= np.float32(BUNDLE_SHARE)
        found = White(part, weight, fibres.radial[seen.number], seen.direction, seen.number, seen.share, rest, between)
        return found, water

    with ThreadPoolExecutor(THREADS) as threads:
        parts = list(threads.map(one, range(0, len(index), POINTS_AT_ONCE // 4)))
    if not parts:
        parts = [one(0)]
    names = ("index", "weight", "radial", "direction", "number", "share", "rest", "between")
    joined = {name: np.concatenate([getattr(found, name) for found, _ in parts], axis=-1) for name in names}
    return White(**joined), np.concatenate([water for _, water in parts], axis=1)


def _mean_tensor(isotropic: Image, unweighted: Image, white: White) -> Image:
    """Tensor (6, x, y, z): compartments weighted with their signal at b = 0; isotropic: signal times diffusivity."""
    moment = np.zeros((6, isotropic.size), np.float32)
    moment[[0, 3, 5]] = isotropic.reshape(-1)
    directed = white.rest * white.between
    for weight, radial, direction in zip(white.weight, white.radial, white.direction, strict=True):
        more = weight * (np.float32(BUNDLE[0]) - radial)
        for row, (i, j) in enumerate(SIX):
            directed[row] += more * direction[i] * direction[j]
            if i == j:
                directed[row] += weight * radial
    moment[:, white.index] += directed
    moment /= np.maximum(unweighted.reshape(-1), np.float32(1e-9))
    return moment.reshape(6, *isotropic.shape)


def see(person: Person, slab: Slab, protocol: dwi.Protocol, disease: Condition) -> DiffusionBody:
    """Paint a person on a slab, without noise or artefact."""
    b_values = protocol.b_values
    steps, edge = person.steps(slab), np.float32(max(slab.voxel_mm))
    factors = np.ones(256, np.float32)
    for parcel, factor in disease.diffusivity().items():
        factors[LABEL[parcel]] = factor
    directed = np.array(
        [dwi.unweighted_signal(t, protocol) if t in DIRECTED else 0.0 for t in TISSUES], np.float32
    )  # signal at b = 0
    white_rows, grey_rows = [ROW[t] for t in DIRECTED], [ROW[t] for t in GREY]

    def work(scanner: Points, at: Points) -> npt.NDArray[np.float32]:  # noqa: ARG001
        fractions = person.body.fractions(at, steps)
        parcels: Labels = person.body.parcels(at)
        brain = np.clip(np.float32(0.5) - person.body.brain(at) / edge, 0, 1)
        shares = np.stack([fractions[white_rows].sum(axis=0), fractions[grey_rows].sum(axis=0)])
        rest = np.stack(
            [fractions[ROW[Tissue.CSF]], brain, parcels.astype(np.float32), np.einsum("t,tn->n", directed, fractions)]
        )
        return np.concatenate([shares, rest, _isotropic(fractions, factors[parcels], b_values, protocol)])

    rows = paint(person, slab, work, rows=7 + len(b_values))
    white, grey, fluid, brain, parcels, signal = rows[:6]
    index = np.flatnonzero(signal > 0)
    fibres, water = _white(person, slab, signal, Fibres(disease.bundles()), index)
    free_md = PROPERTIES[Tissue.CSF].md
    isotropic = dict(zip(b_values, rows[6:-1], strict=True))
    for b, image in isotropic.items():
        hindered, fluid_signal = (np.float32(np.exp(-b * 1e-3 * md)) for md in (HINDERED_MD, free_md))
        image.reshape(-1)[index] += water[0] * hindered + water[1] * fluid_signal
    moment = rows[-1]
    moment.reshape(-1)[index] += water[0] * np.float32(HINDERED_MD) + water[1] * np.float32(free_md)
    unweighted = isotropic[0.0].copy()
    unweighted.reshape(-1)[index] += fibres.weight.sum(axis=0) + fibres.rest
    tensor = _mean_tensor(moment, unweighted, fibres)
    labels = parcels.astype(np.uint8)
    return DiffusionBody(slab, unweighted, isotropic, fibres, tensor, brain, white, grey, fluid, labels)


def signal(body: DiffusionBody, b: float, g_ras: Floats) -> Image:
    """Noise-free signal (x, y, z) at a b-value of the protocol, s/mm2, and a unit direction in scanner axes."""
    if b == 0:
        return body.unweighted.copy()
    image = body.isotropic[b].copy()
    parts = body.fibres
    add_fibres(
        image.reshape(-1),
        parts.index,
        parts.weight,
        parts.radial,
        parts.direction,
        parts.rest,
        parts.between,
        BUNDLE[0],
        b * 1e-3,
        np.asarray(g_ras, np.float32),
    )
    return image


def reversed_protocol(protocol: dwi.Protocol) -> dwi.Protocol:
    """The second series, with the phase encoding reversed: images at b = 0 alone."""
    return replace(protocol, shells=(), unweighted=protocol.reversed_unweighted, interspersed=False)


def acquire(
    painted: DiffusionBody,
    person: Person,
    slab: Slab,
    protocol: dwi.Protocol,
    artefacts: Artefacts,
    sigma: float,
    seed: np.random.SeedSequence,
    phase_positive: bool = True,
) -> tuple[npt.NDArray[np.uint16], History]:
    """Stored values (x, y, z, volume) in the order of `dwi.table`, and what happened while they were taken.

    painted: on `slab`, or on `finer(slab)` when k-space is truncated. sigma: of the noise, in units of signal.
    phase_positive: a field above the centre frequency shifts towards higher y of the array. Each artefact and each
    volume's noise draw from a stream of their own: to switch one changes no other.
    """
    b, g_lps = dwi.table(protocol)
    g_ras = g_lps * LPS_TO_RAS
    volumes = len(b)
    # Children by their place, not by `spawn`, which counts on: the same seed gives the same scan however often.
    noise, motion_seed, eddy_seed, dropout_seed = (
        np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, place)) for place in range(4)
    )
    history = _happening(
        painted,
        person,
        protocol,
        artefacts,
        b,
        [np.random.Generator(np.random.PCG64(s)) for s in (motion_seed, eddy_seed, dropout_seed)],
        1 if phase_positive else -1,
    )
    sensitivity = shading(painted.slab.points_ras(), person.centre_ras, artefacts.bias).reshape(painted.slab.shape)
    static = None
    if history.field_hz is not None:
        voxel = painted.slab.voxel_mm[spoil.PHASE_AXIS]
        fold = painted.slab.shape[spoil.PHASE_AXIS] // slab.shape[spoil.PHASE_AXIS]  # painted lines per echo line
        shift = history.shift_sign * protocol.readout_ms * 1e-3 * voxel * fold
        static = history.field_hz * np.float32(shift)
    brightest = dwi.unweighted_signal(Tissue.VITREOUS, protocol) * (1 + artefacts.bias)
    scale = np.float32(BRIGHTEST_STORED / brightest)
    series = np.empty((*slab.shape, volumes), np.uint16)
    lost = set(history.dropped)

    def measure(volume: int) -> None:
        image = _distorted(painted, b[volume], g_ras[volume], volume, history, static, sensitivity)
        if painted.slab.shape != slab.shape:
            image = spoil.truncated(image)
        for place in range(slab.shape[2]):
            if (volume, place) in lost:
                image[:, :, place] *= np.float32(spoil.LEFT_BY_DROPOUT)
        own = np.random.SeedSequence(noise.entropy, spawn_key=(*noise.spawn_key, volume))
        noisy = rician(image, sigma, np.random.Generator(np.random.PCG64(own)))
        series[..., volume] = np.clip(np.rint(noisy * scale), 0, MAXIMUM_STORED)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(measure, range(volumes)))
    return series, history


def _happening(
    painted: DiffusionBody,
    person: Person,
    protocol: dwi.Protocol,
    artefacts: Artefacts,
    b: Floats,
    random: list[np.random.Generator],
    shift_sign: int,
) -> History:
    """What happens during a series; `random`: of motion, eddy currents and dropouts."""
    motion = eddy = field_hz = None
    if artefacts.motion_mm or artefacts.motion_deg:
        motion = spoil.walk(len(b), artefacts, person.centre_ras, random[0])
    if artefacts.eddy_mm:
        eddy = spoil.eddies(protocol.b, artefacts, random[1])
    dropped = spoil.dropouts(b, painted.slab.shape[2], artefacts, random[2])
    if artefacts.susceptibility:
        field_hz = off_resonance(person, painted.slab) * np.float32(artefacts.susceptibility)
    return History(motion, eddy, dropped, field_hz, shift_sign)


def _distorted(
    painted: DiffusionBody,
    b: float,
    g_ras: Floats,
    volume: int,
    history: History,
    static_mm: Image | None,
    sensitivity: Image,
) -> Image:
    """One volume before k-space: the head as it lay, seen by the coils, pushed along the phase encoding.

    The field stays where the first volume had it: that it moves a little with the head is left out.
    """
    if history.motion is None:
        image = signal(painted, b, g_ras)
    else:
        # In the head's own frame the direction turns the other way.
        image = signal(painted, b, history.motion.turn[volume].T @ g_ras)
        image = spoil.moved(image, painted.slab.affine, history.motion, volume)
    image = image * sensitivity
    shift = static_mm
    if history.eddy is not None and b > 0:
        currents = spoil.eddy_displacement(history.eddy.terms_mm(b, g_ras), painted.slab)
        shift = currents if shift is None else shift + currents
    if shift is None:
        return image
    return spoil.displaced(image, shift, painted.slab.voxel_mm[spoil.PHASE_AXIS])


def noise_free(body: DiffusionBody, b: Floats, g_ras: Floats) -> Image:
    """Volumes (x, y, z, volume) of a perfect scanner; b in s/mm2, directions (volume, 3) in scanner axes."""
    series = np.empty((*body.unweighted.shape, len(b)), np.float32)

    def one(volume: int) -> None:
        series[..., volume] = signal(body, b[volume], g_ras[volume])

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, range(len(b))))
    return series
