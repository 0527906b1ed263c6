"""The digital patient: one head, scanned as T1 and DWI, written as a scanner's DICOM, with its truth.

Everything follows from the examination: the same one gives the same bytes and the same UIDs.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyses.contract import RoleKind
from analyses.registry import ANALYSES
from phantom import anatomical_truth, breakages, diffusion, diffusion_truth, plan, t1, truth
from phantom.anatomy import template
from phantom.anatomy.adult import Adult
from phantom.anatomy.change import Bumps, Change, Unchanged
from phantom.anatomy.deep import LESION_CENTRE_MM
from phantom.anatomy.person import Person
from phantom.anatomy.warp import random_warp
from phantom.dialects.identity import Identity
from phantom.dialects.registry import WRITERS
from phantom.dialects.series import MAXIMUM_STORED, Acquired
from phantom.disease import Condition
from phantom.examination import Dialect, Examination, Technique
from phantom.painting import Image
from phantom.sequences import dwi, mprage
from phantom.slab import Slab, finer, rotation
from phantom.tissue import Tissue
from phantom.truth import Kind, Refusal, TimePoint, TrueMeasurement, TrueSeries, Truth

VERSION = "2"
WARP_RMS_MM = 3.0
TILT_SD_DEG = 3.0
SHIFT_SD_MM = 3.0
T1_SNR = 30.0  # of white matter
T1_BRIGHTEST_STORED = 3000.0  # stored value of fat, the brightest of all, where the coils are most sensitive
FIRST_VISIT = datetime.date(2026, 1, 2)
DAYS_A_YEAR = 365.25
FINEST_T1_MM = 1.0

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:  # noqa: ARG001
    return


def _stream(seed: int, *place: int) -> np.random.SeedSequence:
    """A stream of random numbers by its place: none depends on how much another one was used."""
    return np.random.SeedSequence(seed, spawn_key=place)


_WARP, _POSE, _T1, _DWI, _REVERSED, _DELIVERY = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """The person at a visit, how the head was pitched, and the person as the first visit saw it."""

    person: Person
    pitch_deg: float
    first: Change

    @classmethod
    def born(cls, examination: Examination) -> Patient:
        """The patient of a seed at a visit: the same warp, another pose, and what time did."""
        seed, visit = examination.seed, examination.visit
        disease = examination.disease
        body = Adult(template.load(), disease.thinning_mm())
        warp = random_warp(np.random.default_rng(_stream(seed, _WARP)), WARP_RMS_MM)
        pose = np.random.default_rng(_stream(seed, _POSE, visit))
        pitch, roll, yaw = (float(v) for v in pose.normal(0, TILT_SD_DEG, 3))
        x, y, z = (float(v) for v in pose.normal(0, SHIFT_SD_MM, 3))
        straight = Person(body, warp, rotation((pitch, roll, yaw)), (x, y, z))
        # Neither visit is the true one: the body of the tables lies midway between the first two.
        now, first = (_changed(straight, disease, (n - 0.5) * examination.years_between) for n in (visit, 0))
        return cls(replace(straight, change=now), pitch, first)


def _changed(person: Person, disease: Condition, years: float) -> Change:
    """What `years` of the disease make of a person: its bumps carried to where the person has their centres."""
    bumps = []
    for bump in disease.atrophy(years):
        x, y, z = (float(v) for v in person.unwarped(bump.centre_mm))
        bumps.append(replace(bump, centre_mm=(x, y, z)))
    return Bumps(tuple(bumps)) if bumps else Unchanged()


def date_of(examination: Examination) -> str:
    """Day of a visit, YYYYMMDD."""
    days = round(examination.visit * examination.years_between * DAYS_A_YEAR)
    return (FIRST_VISIT + datetime.timedelta(days=days)).strftime("%Y%m%d")


def identity_of(examination: Examination, visit: int | None = None) -> Identity:
    """Names of a study in DICOM, at this or another visit."""
    at = examination if visit is None else replace(examination, visit=visit)
    return Identity(f"{VERSION} {at!r}", at.seed, date_of(at), at.disease.name)


@dataclass(frozen=True, slots=True, eq=False)
class _Scanned:
    """A series with what it is to a classifier, and what happened while it was taken."""

    role: RoleKind
    acquired: Acquired
    happened: Mapping[str, object] = field(default_factory=dict)


def _scan_t1(patient: Patient, slab: Slab, examination: Examination) -> tuple[_Scanned, t1.T1Body]:
    person, protocol, artefacts = patient.person, plan.MPRAGE, examination.artefacts
    body = t1.see(person, slab, protocol, artefacts.bias)
    sigma = mprage.signal(Tissue.WHITE, protocol) / T1_SNR if examination.snr > 0 else 0.0
    random = np.random.default_rng(_stream(examination.seed, _T1, examination.visit))
    image = t1.acquire(body, person, slab, protocol, artefacts, sigma, random)
    scale = T1_BRIGHTEST_STORED / (mprage.signal(Tissue.FAT, protocol) * (1 + artefacts.bias))
    stored = np.minimum(np.rint(image * np.float32(scale)), MAXIMUM_STORED).astype(np.uint16)
    return _Scanned(RoleKind.T1, Acquired(plan.T1, slab, stored[..., None])), body


def _scan_dwi(
    patient: Patient, slab: Slab, examination: Examination, protocol: dwi.Protocol
) -> tuple[list[_Scanned], diffusion.DiffusionBody, Image | None]:
    """The series, what they show, and the field (x, y, z) Hz that pushed it about, None without one."""
    person, artefacts = patient.person, examination.artefacts
    body = diffusion.see(person, slab, protocol, examination.disease)
    painted = body
    if artefacts.gibbs:
        painted = diffusion.see(person, finer(slab), protocol, examination.disease)
    sigma = dwi.unweighted_signal(Tissue.WHITE, protocol) / examination.snr if examination.snr > 0 else 0.0
    times = plan.slice_times_ms(slab.shape[2], protocol.tr_ms)
    runs = [(plan.diffusion(protocol), protocol, _DWI)]
    if protocol.reversed_unweighted:
        runs.append((plan.reversed_diffusion(protocol), diffusion.reversed_protocol(protocol), _REVERSED))
    scanned, field_hz = [], None
    for sequence, played, stream in runs:
        seed = _stream(examination.seed, stream, examination.visit)
        data, history = diffusion.acquire(
            painted, person, slab, played, artefacts, sigma, seed, sequence.phase_positive
        )
        b, g_lps = breakages.table(examination.breakages, *dwi.table(played), slab)
        role = RoleKind.DWI if (b > 0).any() else RoleKind.FIELD_MAP
        acquired = Acquired(sequence, slab, data, b, g_lps, times)
        scanned.append(_Scanned(role, acquired, diffusion_truth.happened(history)))
        field_hz = diffusion_truth.field_on(slab, history)
    return scanned, body, field_hz


def objects(dialect: Dialect, acquired: Acquired) -> int:
    """How many DICOM objects a dialect makes of a series."""
    slices, volumes = (int(count) for count in acquired.data.shape[2:])
    if dialect is Dialect.PHILIPS_ENHANCED:
        return 1
    mosaic = dialect is Dialect.SIEMENS and acquired.diffusion
    return volumes if mosaic or dialect is Dialect.SIEMENS_XA else slices * volumes


def make(folder: Path, examination: Examination | None = None, progress: Progress = _silent) -> Truth:
    """Scan the patient and write the study to `folder/dicom`, truth maps to `folder/truth`, and `folder/truth.json`.

    progress(done, total): objects written. Raises `breakages.UnknownBreakage`, `deliveries.CannotSpoil`.
    """
    asked = examination or Examination()
    protocol = breakages.protocol(asked.breakages, asked.diffusion)
    patient, identity = Patient.born(asked), identity_of(asked)
    scanned: list[_Scanned] = []
    measurements: list[TrueMeasurement] = []
    files: dict[str, str] = {}

    def keep(made: tuple[tuple[TrueMeasurement, ...], dict[str, npt.NDArray[np.generic]]], slab: Slab) -> None:
        measurements.extend(made[0])
        for name, data in made[1].items():
            files[name] = f"truth/{name}.nii.gz"
            truth.write_map(folder / files[name], data, slab.affine)

    if Technique.T1 in asked.techniques:
        slab = plan.t1_slab(patient.person, patient.pitch_deg, max(FINEST_T1_MM, asked.resolution_mm / 2))
        slab = breakages.slab(asked.breakages, slab)
        series, body = _scan_t1(patient, slab, asked)
        scanned.append(series)
        keep(anatomical_truth.of(patient.person, patient.first, body, slab, asked), slab)
        del body  # 0.2 GB that the diffusion series needs
    if Technique.DWI in asked.techniques:
        slab = plan.dwi_slab(patient.person, patient.pitch_deg, asked.resolution_mm)
        slab = breakages.slab(asked.breakages, slab)
        runs, seen, field_hz = _scan_dwi(patient, slab, asked, protocol)
        scanned += runs
        keep(diffusion_truth.of(seen, protocol, asked), slab)
        if field_hz is not None:
            keep(((), {"field_hz": field_hz}), slab)
    series_written = tuple(_write(folder, asked, identity, scanned, progress))
    breakages.files(asked.breakages, folder / "dicom", np.random.default_rng(_stream(asked.seed, _DELIVERY)))
    x, y, z = (float(v) for v in patient.person.scanner(LESION_CENTRE_MM))
    refusals = _refusals(asked, protocol)
    refused = {one.analysis for one in refusals}
    record = Truth(
        folder,
        truth.parameters(asked, VERSION, patient.person.body.name),
        identity.study_uid,
        series_written,
        tuple(one for one in measurements if one.kind is Kind.BODY or one.analysis not in refused),
        files,
        (x, y, z),
        not_run=truth.left_out(ANALYSES, series_written),
        refuse=refusals,
        timepoints=tuple(
            TimePoint(n, n * asked.years_between, identity_of(asked, n).study_uid) for n in range(asked.visit + 1)
        ),
    )
    truth.write(record)
    return record


def _refusals(asked: Examination, played: dwi.Protocol) -> tuple[Refusal, ...]:
    """Analyses that must not run on a study that is spoilt on purpose."""
    names = breakages.refused(asked.breakages, asked.dialect, played)
    if breakages.EVERY in names:
        names = tuple(analysis.name for analysis in ANALYSES)
    return tuple(Refusal(name) for name in names)


def _write(
    folder: Path, asked: Examination, identity: Identity, scanned: list[_Scanned], progress: Progress
) -> Iterator[TrueSeries]:
    """Write every series in the examination's dialect."""
    total = sum(objects(asked.dialect, one.acquired) for one in scanned)
    counted = 0
    for one in scanned:
        number = one.acquired.sequence.number
        before = counted
        for _ in WRITERS[asked.dialect](folder / "dicom" / str(number), one.acquired, identity):
            counted += 1
            progress(counted, total)
        g = tuple((float(x), float(y), float(z)) for x, y, z in one.acquired.gradients_lps)
        b = tuple(map(float, one.acquired.b))
        yield TrueSeries(identity.uid(number), one.role.value, str(number), counted - before, b, g, one.happened)
