"""Vessels that a reader looks for: dural sinuses, middle cerebral arteries, veins in the central sulci. Body mm.

The sinuses run along the dura, which is known only when the template is: rays find it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from phantom.anatomy.outside import shells
from phantom.anatomy.parcellation import AXIS_XZ_MM, CENTRAL_DEG, CENTRAL_Y_MM
from phantom.anatomy.shapes import Shapes, Solid, Triple, tube
from phantom.anatomy.template import Template
from phantom.tissue import Tissue

# Radii, mm: estimates of adult size.
SINUS_MM, TRANSVERSE_MM, STRAIGHT_MM, ARTERY_MM, VEIN_MM = 3.6, 3.6, 2.2, 1.5, 1.0
MIDDLE: Triple = (0.0, -15.0, 15.0)
SINUS_DEG = np.arange(18.0, 196.0, 8.0)  # from the brow over the vertex to the torcula, in the midline plane
SEARCH_MM = np.arange(30.0, 120.0, 0.5)
TORCULA_DEG = 196.0

ARTERIES: tuple[Solid, ...] = (
    Solid(
        "middle cerebral artery",
        Tissue.BLOOD,
        tube(((9, 2, -20), (22, 5, -20), (34, 6, -16), (40, -4, -4), (40, -20, 5)), (1.6, 1.6, ARTERY_MM, 1.2, 1.0)),
        mirrored=True,
    ),
    Solid(
        "internal carotid artery",
        Tissue.BLOOD,
        tube(((22, -4, -62), (21, -8, -48), (12, -2, -40), (11, 10, -34), (9, 2, -20)), (2.4, 2.4, 2.3, 2.2, 1.8)),
        mirrored=True,
    ),
    Solid("basilar artery", Tissue.BLOOD, tube(((0, -24, -52), (0, -13, -36), (0, -9, -20)), (1.6, 1.7, 1.5))),
    Solid(
        "anterior cerebral artery",
        Tissue.BLOOD,
        tube(((9, 2, -20), (1, 8, -14), (0.6, 34, -4), (0.6, 39, 12)), (1.3,) * 4),
        mirrored=True,
    ),
)


def _on_dura(template: Template, origin: Triple, direction: tuple[float, float, float], depth_mm: float) -> Triple:
    """First point on a ray from `origin` that lies less than `depth_mm` under the dura."""
    points = np.array(origin)[:, None] + np.array(direction)[:, None] * SEARCH_MM
    distance = shells(template).distance(points.astype(np.float32), 1)
    found = points[:, int(np.argmax(distance > -depth_mm))]
    return float(found[0]), float(found[1]), float(found[2])


def _sinuses(template: Template) -> tuple[Solid, ...]:
    angles = np.radians(SINUS_DEG)
    path = [_on_dura(template, MIDDLE, (0.0, float(np.cos(a)), float(np.sin(a))), 1.6) for a in angles]
    radii = np.interp(SINUS_DEG, [18, 90, 190], [1.5, SINUS_MM, 4.4])
    torcula = path[-1]
    side = [
        torcula,
        _on_dura(template, (0, -40, -24), (0.45, -0.89, 0.03), 2.5),
        _on_dura(template, (0, -40, -24), (0.80, -0.60, -0.02), 2.5),
        _on_dura(template, (0, -40, -30), (0.96, -0.28, -0.05), 2.5),
        _on_dura(template, (0, -40, -46), (0.98, -0.14, -0.08), 2.5),
    ]
    return (
        Solid("superior sagittal sinus", Tissue.BLOOD, tube(path, [float(r) for r in radii])),
        Solid(
            "transverse sinus", Tissue.BLOOD, tube(side, (3.8, TRANSVERSE_MM, TRANSVERSE_MM, 3.4, 3.2)), mirrored=True
        ),
        Solid("straight sinus", Tissue.BLOOD, tube(((0, -47, 4), (0, -72, -6), torcula), (STRAIGHT_MM, 2.0, 2.4))),
    )


def _veins(template: Template) -> tuple[Solid, ...]:
    """A vein on each central sulcus."""
    veins = []
    for side, name in ((-1.0, "left"), (1.0, "right")):
        path = []
        for angle in np.arange(20.0, 101.0, 10.0):
            y = float(np.interp(angle, CENTRAL_DEG, CENTRAL_Y_MM))
            origin = (side * AXIS_XZ_MM[0], y, AXIS_XZ_MM[1])
            across, up = side * float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))
            path.append(_on_dura_near(template, origin, (across, 0.0, up)))
        veins.append(Solid(f"{name} central vein", Tissue.BLOOD, tube(path, np.linspace(0.7, 1.3, len(path)).tolist())))
    return tuple(veins)


def _on_dura_near(template: Template, origin: Triple, direction: tuple[float, float, float]) -> Triple:
    points = np.array(origin)[:, None] + np.array(direction)[:, None] * (SEARCH_MM - 20.0)
    distance = shells(template).distance(points.astype(np.float32), 1)
    found = points[:, int(np.argmax(distance > -2.2))]
    return float(found[0]), float(found[1]), float(found[2])


@lru_cache(maxsize=1)
def sinuses(template: Template) -> Shapes:
    """Dural sinuses: painted under the brain, which covers what they touch."""
    return Shapes(_sinuses(template))


@lru_cache(maxsize=1)
def surface_vessels(template: Template) -> Shapes:
    """Arteries and veins in the fluid round the brain: painted over it."""
    return Shapes((*ARTERIES, *_veins(template)))
