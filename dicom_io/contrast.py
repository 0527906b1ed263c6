"""Structural contrast from timing: T1, T2, FLAIR, PD, magnetisation transfer, multi-echo gradient echo.

Limits are those of clinical protocols (Bernstein, Handbook of MRI Pulse Sequences, 2004, chapters 14 and 16; Haacke,
Magnetic Resonance Imaging, 2nd ed., 2014, chapters 7 and 18); between them a series stays unknown.
"""

from __future__ import annotations

import math

from analyses.contract import RoleKind
from dicom_io.finding import Finding, timing
from dicom_io.view import View

# spin echo and turbo spin echo, ms
T1_LONGEST_TE, T1_LONGEST_TR = 40.0, 1300.0
PD_LONGEST_TE, PD_SHORTEST_TR = 45.0, 1800.0
T2_SHORTEST_TE, T2_SHORTEST_TR = 60.0, 1400.0
MANY_ECHOES = 4  # a spin echo with as many images a slice maps T2
# inversion, ms: fat is nulled near 170 (1.5 T) to 230 (3 T), white matter near 400, fluid from 1650 up (3D, effective)
STIR_LONGEST_TI = 300.0
T1_INVERSION = (300.0, 1500.0)
FLAIR_SHORTEST_TI = 1500.0
FLAIR_SHORTEST_TE = 50.0
# gradient echo
T1_LONGEST_GRADIENT_TE = 9.0  # ms; beyond, T2* takes over
T1_WEIGHTED_RATIO = 1.05  # white over grey matter signal
WATER_WHITE, WATER_GREY = 0.70, 0.82  # water content; Tofts, Quantitative MRI of the Brain, 2003, chapter 4
GYROMAGNETIC_HZ_PER_T = 42.577e6
SCOUT_LONGEST_TR, SCOUT_COARSEST_MM = 4.5, 1.5  # AutoAlign scouts, coil sensitivity scans
TOF_FINEST_MM, TOF_SMALLEST_FLIP = 0.7, 15.0
DIXON_WORDS = frozenset(("W", "F", "IP", "OP", "WATER", "FAT", "IN_PHASE", "OPP_PHASE", "OUT_PHASE", "FF"))


def structural(view: View) -> Finding | None:
    """Contrast of anything that is no echo planar image."""
    if view.echo_planar:
        return None
    if view.gradient_echo:
        return _gradient_echo(view)
    if view.spin_echo:
        return _spin_echo(view)
    return None


def _gradient_echo(view: View) -> Finding | None:
    for rule in (_angiography, _transfer, _dixon, _prepared, _multi_echo, _susceptibility, _balanced, _spoiled):
        finding = rule(view)
        if finding:
            return finding
    return None


def _how(view: View) -> str:
    first = view.first
    return timing(first.tr_ms, view.te_ms, first.flip_deg, first.ti_ms)


def _dimension(view: View) -> str:
    return "3D" if view.three_d else "2D"


def _angiography(view: View) -> Finding | None:
    fine = 0 < min(view.first.pixel_spacing_mm or (0.0,)) <= TOF_FINEST_MM
    compensated = view.has("FC", "FC_FREQ_AX_GEMS", "FC_SLICE_AX_GEMS") or "r_t" in view.sequence
    inflow = fine and compensated and view.three_d and (view.first.flip_deg or 0) >= TOF_SMALLEST_FLIP
    short = (view.te_ms or 0) <= T1_LONGEST_GRADIENT_TE
    if view.has("TOF") or view.first.contrast in ("TIME_OF_FLIGHT", "FLOW_ENCODED") or (inflow and short):
        return Finding(RoleKind.UNKNOWN, f"flow-compensated gradient echo for angiography ({_how(view)}), no analysis")
    if view.has("PC") or view.first.contrast == "PHASE_CONTRAST":
        return Finding(RoleKind.UNKNOWN, "phase-contrast flow measurement, no analysis")
    return None


def _transfer(view: View) -> Finding | None:
    if view.has("MTC", "MT", "MT_GEMS"):
        return Finding(RoleKind.MT_ON, f"gradient echo with a magnetisation transfer pulse, {_how(view)}")
    return None


def _dixon(view: View) -> Finding | None:
    if view.words & DIXON_WORDS:
        word = sorted(view.words & DIXON_WORDS)[0]
        return Finding(RoleKind.UNKNOWN, f"Dixon water-fat image ({word}), no analysis")
    return None


def _prepared(view: View) -> Finding | None:
    ti = view.first.ti_ms
    if not view.inverted or "INV1" in view.words or "INV2" in view.words or view.phase_only:
        return None
    if ti is not None and not T1_INVERSION[0] <= ti <= T1_INVERSION[1]:
        return Finding(
            RoleKind.UNKNOWN, f"inversion-prepared gradient echo with TI {ti:g} ms, outside that of T1 images"
        )
    return Finding(RoleKind.T1, f"{_dimension(view)} inversion-prepared gradient echo (MPRAGE kind), {_how(view)}")


def _multi_echo(view: View) -> Finding | None:
    echoes = view.arranged.echoes_ms
    combined = view.sequence.lower().lstrip("*").startswith(("me2d", "me3d"))
    if len(echoes) < 2 and not combined:
        return None
    parts = " and ".join(view.arranged.components)
    times = (
        f"TE {echoes[0]:g} to {echoes[-1]:g} ms"
        if len(echoes) > 1
        else f"echoes combined by the scanner, TE {view.te_ms} ms"
    )
    count = f"{len(echoes)} echoes" if len(echoes) > 1 else "several echoes"
    return Finding(RoleKind.MULTI_ECHO_GRE, f"{_dimension(view)} gradient echo with {count}, {times}, {parts}")


def _susceptibility(view: View) -> Finding | None:
    if (view.te_ms or 0) > T1_LONGEST_GRADIENT_TE:
        return Finding(RoleKind.UNKNOWN, f"T2*-weighted gradient echo with one echo ({_how(view)}), no analysis")
    return None


def _balanced(view: View) -> Finding | None:
    balanced = view.has("SS", "TRSS") and not view.has("SP", "MP")
    if balanced and (view.first.flip_deg or 0) > 30:
        return Finding(RoleKind.UNKNOWN, f"balanced steady-state gradient echo ({_how(view)}), no analysis")
    return None


def _spoiled(view: View) -> Finding | None:
    first = view.first
    if view.phase_only:
        return Finding(RoleKind.UNKNOWN, f"phase of a gradient echo with one echo ({_how(view)}), no analysis")
    if first.tr_ms is None or first.flip_deg is None:
        return None
    if view.three_d and first.tr_ms <= SCOUT_LONGEST_TR and view.coarsest_mm >= SCOUT_COARSEST_MM:
        return Finding(
            RoleKind.LOCALIZER,
            f"fast coarse 3D gradient echo ({_how(view)}, {view.coarsest_mm:.2g} mm): a scout or a coil calibration",
        )
    ratio = white_over_grey(first.tr_ms, first.flip_deg, first.field_t or 3.0)
    shown = f"{_dimension(view)} spoiled gradient echo, {_how(view)}: white matter {ratio:.2f} of grey"
    if ratio >= T1_WEIGHTED_RATIO:
        return Finding(RoleKind.T1, shown, (RoleKind.MT_OFF,))
    return Finding(RoleKind.PD, shown, (RoleKind.MT_OFF,))


def white_over_grey(tr_ms: float, flip_deg: float, field_t: float) -> float:
    """Ratio of white to grey matter signal of a spoiled gradient echo at short TE (Ernst equation).

    T1 by field strength: Rooney 2007, 10.1002/mrm.21122, T1 = 0.00071 (gamma B0)^0.382 s in white matter and
    0.00116 (gamma B0)^0.376 s in grey matter, gamma B0 in Hz.
    """
    larmor = GYROMAGNETIC_HZ_PER_T * field_t
    angle = math.radians(flip_deg)

    def signal(t1_s: float, water: float) -> float:
        decay = math.exp(-tr_ms / 1000.0 / t1_s)
        return water * (1.0 - decay) / (1.0 - math.cos(angle) * decay)

    grey = signal(0.00116 * larmor**0.376, WATER_GREY)
    return signal(0.00071 * larmor**0.382, WATER_WHITE) / grey if grey > 0 else 1.0


def _spin_echo(view: View) -> Finding | None:
    te, tr = view.te_ms, view.first.tr_ms
    if te is None or tr is None:
        return None
    echoes = view.arranged.echoes_ms
    if len(echoes) >= MANY_ECHOES:
        return Finding(RoleKind.UNKNOWN, f"spin echo with {len(echoes)} echoes: a T2 mapping series, no analysis")
    if view.inverted:
        return _inverted_spin_echo(view, echoes[-1])
    what = f"{_dimension(view)} spin echo, {_how(view)}"
    if len(echoes) > 1 and echoes[-1] >= T2_SHORTEST_TE:
        return Finding(RoleKind.T2, f"double-echo spin echo (PD and T2), TE {echoes[0]:g} and {echoes[-1]:g} ms")
    if te >= T2_SHORTEST_TE and tr >= T2_SHORTEST_TR:
        return Finding(RoleKind.T2, f"{what}: T2 contrast", (RoleKind.FLAIR,))
    if te <= PD_LONGEST_TE and tr >= PD_SHORTEST_TR:
        return Finding(RoleKind.PD, f"{what}: proton density contrast")
    if te <= T1_LONGEST_TE and tr <= T1_LONGEST_TR:
        return Finding(RoleKind.T1, f"{what}: T1 contrast")
    return Finding(RoleKind.UNKNOWN, f"{what}: between the contrasts", (RoleKind.T1, RoleKind.T2, RoleKind.PD))


def _inverted_spin_echo(view: View, te: float) -> Finding:
    ti = view.first.ti_ms
    what = f"{_dimension(view)} inversion recovery spin echo, {_how(view)}"
    if te >= FLAIR_SHORTEST_TE and (ti is None or ti >= FLAIR_SHORTEST_TI):
        return Finding(RoleKind.FLAIR, f"{what}: fluid is nulled")
    if ti is not None and ti <= STIR_LONGEST_TI:
        return Finding(RoleKind.UNKNOWN, f"{what}: fat is nulled (STIR), no analysis")
    if te <= T1_LONGEST_TE and ti is not None and T1_INVERSION[0] <= ti <= T1_INVERSION[1]:
        return Finding(RoleKind.T1, f"{what}: T1 contrast")
    return Finding(RoleKind.UNKNOWN, f"{what}: contrast not known", (RoleKind.FLAIR, RoleKind.T1))
