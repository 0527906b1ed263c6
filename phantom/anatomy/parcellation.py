"""Where things of the cerebrum lie in body coordinates: the lobes, the gyri of the motor strip, the homunculus.

Everything is said of |x| and holds on both sides; only the sulci's own course differs from side to side. A hemisphere
is looked at from an axis inside it (`AXIS_XZ_MM`): the angle round it, 0 to the side, 90 up, 180 to the middle, is the
same from the crown of a gyrus down to the floor of its sulcus, so that what is told by it stands upright on the hull.
Courses are read off the MNI template, mm; homunculus after Penfield & Boldrey 1937, 10.1093/brain/60.4.389.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from phantom.anatomy.body import Labels, Points
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure

Table = npt.NDArray[np.float64]

AXIS_XZ_MM = (30.0, 28.0)

# Central sulcus: y of its course by the angle round the axis, degrees (upwards).
CENTRAL_DEG = np.array([-60.0, -30, -5, 17, 31, 48, 65, 82, 102, 116, 130, 180, 220])
CENTRAL_Y_MM = np.array([-3.0, -5, -9, -12, -14, -16, -20, -26, -31, -33, -35, -36, -36])
# The hand knob: the precentral gyrus bulges backwards here (Yousry 1997, 10.1093/brain/120.1.141).
KNOB_DEG, KNOB_WIDTH_DEG, KNOB_MM = 77.0, 9.0, 4.5
PRECENTRAL_MM, POSTCENTRAL_MM = 14.0, -13.0  # the next sulci, along y from the central one
WIGGLE_MM, WIGGLE_TURNS = 1.6, 9.0  # small waves of its course: turns a circle
BEND_MM, BEND_LENGTH_MM = 1.5, 5.0  # and of its way down
PHASE = (0.4, 2.3)  # left, right: hemispheres are no mirror images
FORWARD_MM = (0.0, 1.5)  # left, right: the right central sulcus lies a little further forward

LEG_DEG, BULBAR_DEG = 104.0, 25.0  # where |x| = 18 and z = 42 meet the hull
PREMOTOR_MM = 38.0  # along y from the central sulcus to its front end
PREMOTOR_LOWEST_DEG = 0.0
MEDIAL_MM = 15.0  # |x| that parts SMA from premotor cortex
SMA_FRONT_Y_MM = 0.0

# Sylvian fissure: a plane bent at y = 0, from its stem to the planum temporale; insula at its floor.
SYLVIAN_Z_MM, SYLVIAN_FRONT, SYLVIAN_BACK, SYLVIAN_END_Y_MM = -3.0, -0.25, -0.43, -42.0
SYLVIAN_WAVE_MM, SYLVIAN_WAVE_LENGTH_MM = 1.5, 6.0
INSULA_X_MM = 39.0
INSULA_CENTRE_YZ_MM, INSULA_HALF_MM = (0.0, 2.5), (25.0, 12.5)
INSULA_WAVE_MM, INSULA_WAVE_LENGTH_MM = 1.2, 3.2  # its short gyri

# Callosum with all that it encloses, seen from the side: two half ellipses.
CORE_CENTRE_YZ_MM, CORE_HALF_Y_MM, CORE_UP_MM, CORE_DOWN_MM = (-4.0, 2.0), 38.0, 26.0, 13.0
CORE_HALF_X_MM = 25.0
PINEAL_YZ_MM = (-33.0, 8.0)  # behind and below it: cistern, not core
CINGULATE_MM = 12.5  # from the callosum up to the cingulate sulcus
CINGULATE_WAVE_MM = 2.0

OCCIPITAL_Y_MM, OCCIPITAL_SLOPE, OCCIPITAL_Z_MM = -64.0, 0.55, 8.0

NONE, LEG, HAND, BULBAR, POSTCENTRAL, PREMOTOR, SMA, FRONTAL, TEMPORAL, PARIETAL, OCCIPITAL, INSULA = range(12)
STRUCTURES: dict[int, Structure] = {
    LEG: Structure.PRECENTRAL_LEG,
    HAND: Structure.PRECENTRAL_HAND,
    BULBAR: Structure.PRECENTRAL_BULBAR,
    POSTCENTRAL: Structure.POSTCENTRAL,
    PREMOTOR: Structure.PREMOTOR,
    SMA: Structure.SMA,
    FRONTAL: Structure.FRONTAL,
    TEMPORAL: Structure.TEMPORAL,
    PARIETAL: Structure.PARIETAL,
    OCCIPITAL: Structure.OCCIPITAL,
}
CORTICAL = tuple(STRUCTURES.values())
# Label by structure (row) and side (column: left, right); the insula has no parcel of its own.
LABELS: npt.NDArray[np.uint8] = np.array(
    [
        [LABEL[Parcel(STRUCTURES[row], side)] if row in STRUCTURES else 0 for side in (Side.LEFT, Side.RIGHT)]
        for row in range(INSULA + 1)
    ],
    np.uint8,
)


@njit(cache=True, nogil=True)
def angle_deg(x: float, z: float) -> float:
    """Angle round the hemisphere's axis: 0 to the side, 90 up, 180 to the middle, -90 down; -120...240."""
    angle: float = math.degrees(math.atan2(z - AXIS_XZ_MM[1], abs(x) - AXIS_XZ_MM[0]))
    return angle + 360.0 if angle < -120 else angle


def _courses() -> tuple[Table, Table]:
    """Central sulcus (y, mm) by side and whole degree from -120, and the share of the knob: no sine in the kernels."""
    angle = np.arange(-120.0, 242.0)
    course = np.interp(angle, CENTRAL_DEG, CENTRAL_Y_MM)
    waves = [WIGGLE_MM * np.sin(WIGGLE_TURNS * np.radians(angle) + phase) for phase in PHASE]
    knob = KNOB_MM * np.exp(-0.5 * ((angle - KNOB_DEG) / KNOB_WIDTH_DEG) ** 2)
    return np.stack([course + wave + more for wave, more in zip(waves, FORWARD_MM, strict=True)]), knob


_CENTRAL_Y_MM, _KNOB_MM = _courses()


@njit(cache=True, nogil=True)
def strip_mm(x: float, y: float, z: float) -> float:
    """Place along y across the motor strip: 0 in the central sulcus, 14 in the precentral, -13 in the postcentral."""
    side = 1 if x > 0 else 0
    angle = angle_deg(x, z) + 120
    n = int(angle)
    part = angle - n
    central: float = _CENTRAL_Y_MM[side, n] + part * (_CENTRAL_Y_MM[side, n + 1] - _CENTRAL_Y_MM[side, n])
    away = math.sqrt((abs(x) - AXIS_XZ_MM[0]) ** 2 + (z - AXIS_XZ_MM[1]) ** 2)
    forward: float = y - central + BEND_MM * math.sin(away / BEND_LENGTH_MM + PHASE[side])
    # The knob fades towards the neighbours, whose sulci run straight.
    near = 1 - (forward / 20) ** 2
    if near > 0:
        forward += _KNOB_MM[n] * near * near
    return forward


@njit(cache=True, nogil=True)
def sylvian_mm(x: float, y: float, z: float) -> float:
    """Height over the plane of the Sylvian fissure."""
    slope = SYLVIAN_FRONT if y > 0 else SYLVIAN_BACK
    wave = SYLVIAN_WAVE_MM * math.sin((y + 0.7 * abs(x)) / SYLVIAN_WAVE_LENGTH_MM + PHASE[1 if x > 0 else 0])
    return z - SYLVIAN_Z_MM - slope * max(y, SYLVIAN_END_Y_MM) - wave


@njit(cache=True, nogil=True)
def _ellipse(u: float, v: float, a: float, b: float) -> float:
    """First-order distance to an ellipse, positive inside."""
    p, q = u / a, v / b
    size = max(math.sqrt(p * p + q * q), 1e-3)
    slope = max(math.sqrt((p / a) ** 2 + (q / b) ** 2), 1e-4)
    return size * (1 - size) / slope


@njit(cache=True, nogil=True)
def insula_x(y: float, z: float) -> float:
    """How far to the side the insula's surface lies, |x|."""
    return INSULA_X_MM + INSULA_WAVE_MM * math.sin((y + 0.5 * z) / INSULA_WAVE_LENGTH_MM)


@njit(cache=True, nogil=True)
def insula_mm(y: float, z: float) -> float:
    """Distance to the rim of the insula, positive on it, seen from the side."""
    v = z - INSULA_CENTRE_YZ_MM[1] + 0.25 * y  # its long axis runs with the fissure
    return _ellipse(y - INSULA_CENTRE_YZ_MM[0], v, INSULA_HALF_MM[0], INSULA_HALF_MM[1])


@njit(cache=True, nogil=True)
def callosal_mm(y: float, z: float) -> float:
    """Distance to the outer border of the callosum, positive within, seen from the side."""
    v = z - CORE_CENTRE_YZ_MM[1]
    inside = _ellipse(y - CORE_CENTRE_YZ_MM[0], v, CORE_HALF_Y_MM, CORE_UP_MM if v > 0 else CORE_DOWN_MM)
    return min(inside, max(y - PINEAL_YZ_MM[0], z - PINEAL_YZ_MM[1]))


@njit(cache=True, nogil=True)
def core_mm(x: float, y: float, z: float) -> float:
    """Distance to the border of the deep core (callosum, nuclei, ventricles: no cortex), positive inside."""
    return min(callosal_mm(y, z), CORE_HALF_X_MM - abs(x))


@njit(cache=True, nogil=True)
def cingulate_mm(x: float, y: float, z: float) -> float:
    """Distance outwards from the cingulate sulcus, seen from the side."""
    wave = CINGULATE_WAVE_MM * math.sin((y - z) / 7 + abs(x) / 5 + 2 * PHASE[1 if x > 0 else 0])
    return -callosal_mm(y, z) - CINGULATE_MM - wave


@njit(cache=True, nogil=True)
def above_cingulate_mm(x: float, y: float, z: float) -> float:
    """Distance of medial cortex above the cingulate sulcus; what lies lateral is always above it."""
    return max(cingulate_mm(x, y, z), abs(x) - MEDIAL_MM - 3)


@njit(cache=True, nogil=True)
def _is_temporal(x: float, y: float, z: float) -> bool:
    aside = abs(x)
    if y > 24:
        return False
    lateral = min(max((aside - 20) / 15, 0.0), 1.0)
    roof = (1 - lateral) * -4 + lateral * (z - sylvian_mm(x, y, z))
    reach = 14 + 0.8 * max(y + 5, 0.0)  # in front the orbital gyri lie between the temporal poles
    return z < roof and (aside > reach or z < -24)


@njit(cache=True, nogil=True)
def structure_at(x: float, y: float, z: float) -> int:
    """Which piece of cortex a point of the cerebrum belongs to."""
    aside = abs(x)
    if y < OCCIPITAL_Y_MM - OCCIPITAL_SLOPE * max(z - OCCIPITAL_Z_MM, 0.0):
        return OCCIPITAL
    if aside < INSULA_X_MM + 5 and aside > INSULA_X_MM - 6 and insula_mm(y, z) > -2:
        return INSULA
    if _is_temporal(x, y, z):
        return TEMPORAL
    strip = strip_mm(x, y, z)
    angle = angle_deg(x, z)
    if above_cingulate_mm(x, y, z) <= 0:
        return FRONTAL if y > -18 else PARIETAL
    if strip <= POSTCENTRAL_MM:
        return PARIETAL
    if strip <= 0:
        return POSTCENTRAL
    if strip <= PRECENTRAL_MM:
        return LEG if angle > LEG_DEG else HAND if angle > BULBAR_DEG else BULBAR
    if aside < MEDIAL_MM and y < SMA_FRONT_Y_MM and z > AXIS_XZ_MM[1]:
        return SMA
    if aside >= MEDIAL_MM and strip < PREMOTOR_MM and angle > PREMOTOR_LOWEST_DEG:
        return PREMOTOR
    return FRONTAL


@njit(cache=True, nogil=True)
def _each(at: Points, labels: Labels, table: Labels) -> None:
    for n in range(at.shape[1]):
        labels[n] = table[structure_at(at[0, n], at[1, n], at[2, n]), 1 if at[0, n] > 0 else 0]


def cortical_labels(at: Points) -> Labels:
    """Cortical parcel (n,) to which points (3, n) of the cerebrum belong, by their place alone; 0 in the insula."""
    labels = np.zeros(at.shape[1], np.uint8)
    _each(np.ascontiguousarray(at, np.float32), labels, LABELS)
    return labels
