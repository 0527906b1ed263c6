"""What a series was made for, where that is no plain anatomy: spectrum, map, scout, diffusion, field, BOLD ..."""

from __future__ import annotations

import re
from collections import Counter

from analyses.contract import RoleKind
from dicom_io.finding import Finding, number, timing
from dicom_io.frames import Component
from dicom_io.view import View

MR_IMAGE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4": "MR Image",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image",
    "1.2.840.10008.5.1.4.1.1.4.3": "Enhanced MR Color Image",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image",
}
SPECTROSCOPY_CLASS = "1.2.840.10008.5.1.4.1.1.4.2"
COLOUR_CLASS = "1.2.840.10008.5.1.4.1.1.4.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
OTHER_CLASSES = {  # beginning of the SOP class UID -> what it is to a reader
    "1.2.840.10008.5.1.4.1.1.88": "a structured report",
    "1.2.840.10008.5.1.4.1.1.11": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.66": "raw data or a registration",
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map",
    "1.2.840.10008.5.1.4.1.1.104": "an encapsulated document",
    "1.3.12.2.1107.5.9.1": "a private Siemens object without an image",
    "1.3.46.670589": "a private Philips object without an image",
}
# words of Image Type that only a computed image has
MAP_WORDS = frozenset(
    (
        *("ADC", "EADC", "EXP", "FA", "COLFA", "TRACEW", "TRACE", "TENSOR", "TENSOR_B0", "MD", "AD", "RD", "ISO"),
        *("T1MAP", "T2MAP", "T2STAR", "T2_STAR", "T2STARMAP", "R2", "R2STAR", "T_MAP", "TMAP", "ZMAP", "GLM", "UNI"),
        *("CBF", "RCBF", "RELCBF", "CBV", "RCBV", "RELCBV", "MTT", "RELMTT", "TTP", "PBP", "PERFUSION", "QSM"),
        *("SUBTRACTION", "SUB", "MIP", "MINIP", "MNIP", "MIP_SW", "MPR", "CPR", "VRT", "SSD", "MEAN", "STDDEV", "MOCO"),
    )
)
MAP_PHRASES = (
    "PROJECTION IMAGE",
    "SCREEN SAVE",
    "T1 MAP",
    "T2 MAP",
    "ADC MAP",
    "T MAP",
    "REFORMATTED",
    "AVERAGE",
    "PROCESSED",
)
# DERIVED alone is no proof: scanners write it for normalised, distortion-corrected, interpolated or combined originals
SCOUT_MOST_PLANES = 200
SCOUT_NAMES = re.compile(r"\b(locali[sz]er|scout|survey|3.?plane|aahscout|aahead|smartbrain|loc)\b", re.IGNORECASE)
SCOUT_FEW_PLANES = 15
PERFUSION_NAMES = re.compile(r"\b(pc|p|v|3d )?asl\b|perfusion|\bdsc\b", re.IGNORECASE)
SPIN_ECHO_REFERENCE_VOLUMES = 10  # as many spin-echo EPI volumes at most are a reference for distortion
FIELD_SEQUENCE = re.compile(r"(^|[\s*])fm[23]d|b0.?map|field.?map", re.IGNORECASE)
FIELD_COARSEST_ECHO_MS = 15.0  # echoes of a field map lie before the signal is lost
FIELD_FINEST_MM = 1.8  # a 2D double echo finer than that is anatomy
BOLD_TE_MS = (
    15.0,
    60.0,
)  # T2* of grey matter: 84 ms at 1.5 T, 66 at 3 T, 33 at 7 T (Peters 2007, 10.1016/j.mri.2007.02.014)
BOLD_FEWEST_VOLUMES = 10  # fewer are a test or a reference, never a run
REST_SHORTEST_S = 60.0  # below it no network can be told, whatever the name


def no_image(view: View) -> Finding | None:
    """Everything that has no MR image in it."""
    uid = view.first.sop_class_uid
    if uid.startswith(SECONDARY_CAPTURE):
        return Finding(RoleKind.DERIVED, "secondary capture: a screen save or a finished page, no acquisition")
    if uid in MR_IMAGE_CLASSES or uid == SPECTROSCOPY_CLASS or view.first.spectroscopy:
        return None
    for start, what in OTHER_CLASSES.items():
        if uid == start or uid.startswith(start + "."):
            return Finding(RoleKind.UNKNOWN, f"{what}, no image")
    return Finding(RoleKind.UNKNOWN, f"no MR image (modality {view.first.modality or 'not said'})")


def spectrum(view: View) -> Finding | None:
    """Single-voxel spectroscopy or spectroscopic imaging."""
    first = view.first
    if first.sop_class_uid != SPECTROSCOPY_CLASS and not first.spectroscopy:
        return None
    how = timing(first.tr_ms, view.te_ms)
    how = f", {how}" if how else ""
    grid = first.rows * first.columns
    if first.spectroscopy not in ("", "SINGLE_VOXEL") or (not first.spectroscopy and grid > 1):
        shape = f" of {first.columns} x {first.rows} voxels" if grid > 1 else ""
        return Finding(RoleKind.CSI, f"spectroscopic imaging{shape}{how}")
    return Finding(RoleKind.SVS, f"single-voxel spectroscopy{how}")


def derived(view: View) -> Finding | None:
    """Computed images: maps, traces, projections, reformats, screen saves. DERIVED alone does not prove it."""
    if view.first.sop_class_uid == COLOUR_CLASS:
        return Finding(RoleKind.DERIVED, "colour image: a map painted by the scanner")
    maps = sorted(view.words & MAP_WORDS) + [word for word in MAP_PHRASES if any(word in other for other in view.words)]
    if maps:
        return Finding(RoleKind.DERIVED, f"computed by the scanner: image type says {maps[0]}")
    if {"DERIVED", "SECONDARY"} <= view.words:
        return Finding(RoleKind.DERIVED, "made from other images: image type says DERIVED and SECONDARY")
    arranged = view.arranged
    if view.weighted and arranged.isotropic and arranged.isotropic == arranged.volumes:
        return Finding(RoleKind.DERIVED, f"trace-weighted images at b = {_most(view.weighted)} s/mm2 only")
    return None


def localizer(view: View) -> Finding | None:
    """Scouts: several planes in one series, or the header's own word."""
    arranged, planes = view.arranged, len(view.arranged.planes)
    if "LOCALIZER" in view.words:
        return Finding(RoleKind.LOCALIZER, "localizer: image type says so")
    if arranged.orientations > 1 and planes <= SCOUT_MOST_PLANES:
        return Finding(RoleKind.LOCALIZER, f"localizer: {planes} images in {arranged.orientations} orientations")
    if SCOUT_NAMES.search(view.names) and (planes <= SCOUT_FEW_PLANES or (view.first.tr_ms or 1e9) < 20):
        return Finding(RoleKind.LOCALIZER, f"localizer by its name, {planes} images")
    return None


def perfusion(view: View) -> Finding | None:
    """Perfusion: arterial spin labelling or bolus."""
    first = view.first
    if first.perfusion or "ASL" in view.words or "PERFUSION" in first.contrast:
        return Finding(RoleKind.UNKNOWN, "perfusion series (spin labelling or bolus), no analysis uses it")
    if view.echo_planar and first.contrast_agent and not view.weighted and view.arranged.volumes >= BOLD_FEWEST_VOLUMES:
        return Finding(RoleKind.UNKNOWN, "echo planar series with contrast agent: bolus perfusion, no analysis uses it")
    if PERFUSION_NAMES.search(view.names) and not view.weighted and not view.inverted:
        return Finding(RoleKind.UNKNOWN, "perfusion series by its name, no analysis uses it")
    return None


def diffusion(view: View) -> Finding | None:
    """Diffusion weighting said by b-values, or by the header's words; few volumes at b = 0 alone are a reference.

    Such a series, mostly with the phase encoding reversed, tells the field that distorts the weighted ones.
    """
    arranged = view.arranged
    readout = f"{'spin-echo ' if view.spin_echo else ''}EPI" if view.echo_planar else "diffusion-weighted series"
    if view.weighted:
        zero = len(arranged.bvalues) - len(view.weighted)
        trace = f" and {arranged.isotropic} trace image{'s' * (arranged.isotropic > 1)}" if arranged.isotropic else ""
        shells = _shells(view.weighted)
        return Finding(
            RoleKind.DWI,
            f"{readout} with {zero} b = 0 and {arranged.directions or 'no'} directions at b = {shells} s/mm2{trace}",
        )
    if "DIFFUSION" in view.words or view.first.contrast == "DIFFUSION" or "dwi" in view.sequence.lower():
        if view.echo_planar and arranged.bvalues and arranged.volumes <= SPIN_ECHO_REFERENCE_VOLUMES:
            return Finding(
                RoleKind.FIELD_MAP,
                f"{readout} of a diffusion protocol, {arranged.volumes} volumes, all at b = 0: distortion reference",
            )
        return Finding(RoleKind.DWI, f"{readout} of a diffusion protocol, {arranged.volumes} volumes, all at b = 0")
    return None


def field_map(view: View) -> Finding | None:
    """Maps of the static field, and what they are computed from."""
    arranged = view.arranged
    if Component.FIELD in arranged.components:
        return Finding(
            RoleKind.FIELD_MAP, f"gradient echo field map computed by the scanner, {' and '.join(arranged.components)}"
        )
    echoes = arranged.echoes_ms
    early = bool(echoes) and echoes[-1] <= FIELD_COARSEST_ECHO_MS
    parts = " and ".join(arranged.components)
    times = " and ".join(f"{echo:g}" for echo in echoes)
    if FIELD_SEQUENCE.search(view.sequence) and early:
        return Finding(RoleKind.FIELD_MAP, f"field-mapping gradient echo, {parts}, TE {times} ms")
    flat = view.gradient_echo and not view.three_d and not view.echo_planar and not view.inverted and early
    if flat and len(echoes) == 2 and view.coarsest_mm >= FIELD_FINEST_MM:
        return Finding(RoleKind.FIELD_MAP, f"2D gradient echo with two early echoes ({times} ms), {parts}")
    if flat and view.phase_only and view.coarsest_mm >= FIELD_FINEST_MM:
        return Finding(RoleKind.FIELD_MAP, f"phase of a 2D gradient echo at TE {times} ms without magnitude")
    return None


def echo_planar(view: View) -> Finding | None:
    """Echo planar series without diffusion: BOLD, or a reference for its distortion."""
    if not view.echo_planar:
        return None
    first, volumes = view.first, view.arranged.volumes
    how = timing(first.tr_ms, view.te_ms)
    if view.spin_echo and not view.gradient_echo:
        if volumes <= SPIN_ECHO_REFERENCE_VOLUMES:
            return Finding(
                RoleKind.FIELD_MAP,
                f"spin-echo EPI without diffusion weighting, {volumes} volumes: distortion reference",
            )
        return Finding(RoleKind.UNKNOWN, f"spin-echo EPI series of {volumes} volumes, no analysis")
    if not BOLD_TE_MS[0] <= (view.te_ms or 0) <= BOLD_TE_MS[1]:
        return Finding(RoleKind.UNKNOWN, f"gradient-echo EPI, {how}: no BOLD contrast at this TE")
    if view.phase_only:
        return Finding(RoleKind.UNKNOWN, f"phase images of a gradient-echo EPI, {how}, no analysis")
    what = f"gradient-echo EPI, {how}, {volumes} volumes"
    if volumes < BOLD_FEWEST_VOLUMES:
        return Finding(RoleKind.UNKNOWN, f"{what}: BOLD contrast, too short to analyse")
    seconds = volumes * (first.tr_ms or 0) / 1000.0
    if seconds < REST_SHORTEST_S:
        return Finding(
            RoleKind.UNKNOWN,
            f"{what}, {number(seconds)} s: BOLD contrast, too short for rest and no task is named",
            (RoleKind.TASK_BOLD,),
        )
    return Finding(
        RoleKind.REST_BOLD,
        f"{what}, {number(seconds)} s: BOLD contrast; physics cannot tell rest from task",
        (RoleKind.TASK_BOLD, RoleKind.REST_BOLD),
    )


def _most(values: tuple[float, ...]) -> str:
    return number(Counter(round(value) for value in values).most_common(1)[0][0])


def _shells(values: tuple[float, ...]) -> str:
    """B-values for a sentence, those within 50 s/mm2 told as one."""
    shells: list[list[float]] = []
    for value in sorted(values):
        if shells and value - shells[-1][-1] <= 50:
            shells[-1].append(value)
        else:
            shells.append([value])
    return ", ".join(number(round(sum(shell) / len(shell))) for shell in shells)
