"""Regions of the cerebrum by place: each where anatomy has it, on its own side, and the sulci between them."""

import numpy as np
import pytest

from phantom.anatomy import folds, template
from phantom.anatomy import parcellation as place
from phantom.anatomy.cortex import Cortex
from phantom.anatomy.parcels import LABEL, PARCELS, Parcel, Side, Structure


@pytest.fixture(scope="module")
def healthy() -> Cortex:
    return Cortex(template.load(), {})


# MNI mm on the right. Hand and face: 10.1093/brain/120.1.141, 10.1016/j.neuroimage.2005.12.003 (rounded); SMA and
# premotor cortex: 10.1016/j.neuroimage.2006.02.036; the rest well inside its lobe.
LANDMARKS = (
    ((37, -22, 58), Structure.PRECENTRAL_HAND),
    ((6, -28, 68), Structure.PRECENTRAL_LEG),
    ((55, -8, 32), Structure.PRECENTRAL_BULBAR),
    ((37, -36, 58), Structure.POSTCENTRAL),
    ((30, 0, 60), Structure.PREMOTOR),
    ((6, -8, 60), Structure.SMA),
    ((30, 45, 20), Structure.FRONTAL),
    ((6, 45, 10), Structure.FRONTAL),
    ((20, 30, -18), Structure.FRONTAL),
    ((56, -25, -12), Structure.TEMPORAL),
    ((42, 10, -32), Structure.TEMPORAL),
    ((30, -20, -22), Structure.TEMPORAL),
    ((45, -55, 45), Structure.PARIETAL),
    ((6, -60, 40), Structure.PARIETAL),
    ((8, -88, 5), Structure.OCCIPITAL),
    ((30, -88, 10), Structure.OCCIPITAL),
)


@pytest.mark.parametrize(("point", "structure"), LANDMARKS)
@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT])
def test_a_landmark_lies_in_its_region_on_its_side(
    point: tuple[float, float, float], structure: Structure, side: Side
) -> None:
    sign = 1 if side is Side.RIGHT else -1
    at = (np.array(point, np.float32) * [sign, 1, 1])[:, None]
    assert PARCELS[place.cortical_labels(at)[0] - 1] == Parcel(structure, side)


@pytest.mark.parametrize("sign", [-1, 1])
def test_from_back_to_front_the_gyri_follow_one_another_with_fluid_between(healthy: Cortex, sign: int) -> None:
    y = np.arange(-60, 25, 0.1, dtype=np.float32)
    at = np.stack([np.full_like(y, sign * 37.0), y, np.full_like(y, 60.0)])
    found = [PARCELS[n - 1].structure for n in place.cortical_labels(at)]
    order = [s for n, s in enumerate(found) if n == 0 or s is not found[n - 1]]
    assert order == [
        Structure.PARIETAL,
        Structure.POSTCENTRAL,
        Structure.PRECENTRAL_HAND,
        Structure.PREMOTOR,
        Structure.FRONTAL,
    ]
    depth = healthy.depth(at)
    for n in range(1, 4):
        border = found.index(order[n])
        assert depth[border - 8 : border + 8].min() < 0, "a sulcus parts them"
    gyrus = np.array([s is Structure.PRECENTRAL_HAND for s in found])
    assert depth[gyrus].max() > 4, "white matter in the precentral gyrus"


def test_going_up_the_motor_strip_runs_from_mouth_to_leg() -> None:
    angle = np.radians(np.arange(-10, 160, 1.0))
    x = place.AXIS_XZ_MM[0] + 38 * np.cos(angle)
    z = place.AXIS_XZ_MM[1] + 38 * np.sin(angle)
    for sign in (-1, 1):
        inside = x > 2
        found = []
        for a, c in zip(x[inside], z[inside], strict=True):
            # 7 mm in front of the central sulcus, wherever that runs
            y = np.arange(-50.0, 20.0, 0.2)
            strip = np.array([place.strip_mm(sign * a, v, c) for v in y])
            at = np.array([[sign * a], [y[np.abs(strip - 7).argmin()]], [c]], np.float32)
            found.append(PARCELS[place.cortical_labels(at)[0] - 1].structure)
        order = [s for n, s in enumerate(found) if n == 0 or s is not found[n - 1]]
        assert order == [Structure.PRECENTRAL_BULBAR, Structure.PRECENTRAL_HAND, Structure.PRECENTRAL_LEG]


def test_every_parcel_has_cortex_and_the_motor_strip_has_white_matter(healthy: Cortex) -> None:
    at = np.stack(np.meshgrid(*[np.arange(lo, lo + n, 2.0) for lo, n in zip(folds.LOWER_MM, folds.SHAPE, strict=True)]))
    at = at.reshape(3, -1).astype(np.float32)
    labels = healthy.parcels(at)
    shares = healthy.shares(at, 2 * np.eye(3))
    left, right = at[0] < 0, at[0] > 0
    for parcel in PARCELS:
        inside = labels == LABEL[parcel]
        if parcel.structure in place.CORTICAL:
            assert shares[0, inside].sum() * 8 > 3000, parcel
        elif parcel.structure in (Structure.WHITE, Structure.MOTOR_WHITE):
            assert shares[1, inside].mean() > 0.85, parcel
        else:
            assert not inside.any(), f"{parcel} is not of the cortex"
        if inside.any():
            assert (right if parcel.side is Side.RIGHT else ~right)[inside].all(), parcel
    motor = labels == LABEL[Parcel(Structure.MOTOR_WHITE, Side.RIGHT)]
    assert 15_000 < motor.sum() * 8 < 45_000
    assert left[labels == LABEL[Parcel(Structure.MOTOR_WHITE, Side.LEFT)]].all()


def test_nothing_of_the_cerebrum_lies_under_the_tentorium_or_in_the_brain_stem(healthy: Cortex) -> None:
    x, y = (v.astype(np.float32).ravel() for v in np.meshgrid(np.arange(-50, 51, 4), np.arange(-90, -40, 4)))
    under = np.stack([x, y, folds.tentorium_mm(x, y) - 4])
    assert (healthy.parcels(under) == 0).mean() > 0.99
    pons = np.array([[0, 4, -6], [-24, -30, -26], [-30, -32, -28]], np.float32)
    assert (healthy.parcels(pons) == 0).all()
    assert (healthy.shares(pons, np.eye(3)) == 0).all()
