"""Does a converted volume say what the headers say? Counts, voxels, place in the patient, times, diffusion table.

Raises `Unsuitable` with both sides of the first disagreement. What the headers do not say is not held against anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyses.contract import Unsuitable, Volume
from analyses.shared.orientation import axis_directions
from dicom_io.frames import Component
from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.layout import Layout, Plane, layout, nearest
from dicom_io.pixels import LPS_TO_RAS, hold_pixels

VOXEL_TOLERANCE = 0.005  # relative; headers round spacing to four digits
SAME_DIRECTION = 0.9999  # cosine of 0.8 degrees
PLACE_TOLERANCE = 0.1  # voxels; a slice or a side off is at least one
TIME_TOLERANCE = 0.01  # relative; makers write TR and TE to three or four digits
BVALUE_TOLERANCE = 0.02  # relative
BVALUE_FLOOR = 5.0  # s/mm2; b = 0 is written as anything up to here by one side and 0 by the other
ANGLE_TOLERANCE_DEG = 1.0


@dataclass(frozen=True, slots=True)
class Axes:
    """Which array axis runs along a header's rows, down its columns, and through its slices."""

    along_row: int
    down: int
    through: int


def hold_against_headers(volume: Volume, series: SeriesHeader) -> None:
    """Compare all that can be compared; `Unsuitable` names the first disagreement."""
    if len({instance.frame_of_reference_uid for instance in series.instances}) > 1:  # PS3.3 C.7.4.1: one a series
        raise Unsuitable("The images of this series lie in different frames of reference.")
    arranged = layout(series)
    axes = array_axes_of(volume, arranged)
    magnitude = [plane for plane in arranged.planes if plane.frame.component is Component.MAGNITUDE]
    columns = sorted(one_a_volume(magnitude, arranged), key=in_turn)
    hold_counts(volume, series, arranged, magnitude, columns, axes)
    hold_voxels(volume, series, arranged, axes)
    hold_place(volume, series, arranged, axes)
    hold_times(volume, series, arranged)
    if volume.bvals is not None and volume.bvecs is not None:
        hold_diffusion(volume, [plane for plane in columns if not plane.frame.isotropic])
    hold_pixels(volume, [plane for plane in magnitude if not plane.frame.isotropic], arranged)


def array_axes_of(volume: Volume, arranged: Layout) -> Axes:
    """Match array axes to the headers' planes; dcm2niix turns 3D acquisitions towards the patient's axes."""
    plane = next((plane.frame.orientation_lps for plane in arranged.planes if plane.frame.orientation_lps), None)
    if plane is None:
        return Axes(0, 1, 2)
    row, down = np.array(plane[:3]) * LPS_TO_RAS, np.array(plane[3:]) * LPS_TO_RAS
    cosines = np.abs(np.stack([row, down, np.cross(row, down)]) @ axis_directions(volume.affine))
    order = [int(axis) for axis in np.argmax(cosines, axis=1)]
    if sorted(order) != [0, 1, 2] or cosines.max(axis=1).min() < SAME_DIRECTION:
        raise Unsuitable("dcm2niix turned the image away from the planes that the headers give.")
    return Axes(*order)


def one_a_volume(planes: Sequence[Plane], arranged: Layout) -> list[Plane]:
    """Planes at the slice place that most volumes share, so one a volume (and echo); all planes when they are tiled."""
    if not arranged.slice_places_mm or any(plane.instance.tiles for plane in planes):
        return list(planes)
    columns: dict[float, list[Plane]] = {}
    for plane in planes:
        if plane.slice_mm is not None:
            columns.setdefault(nearest(plane.slice_mm, arranged.slice_places_mm), []).append(plane)
    return max(columns.values(), key=len, default=[])


def in_turn(plane: Plane) -> tuple[int, tuple[int, ...], int]:
    """Order of volumes: of objects, within an enhanced one by its dimension indices, else as the frames lie in it."""
    return plane.instance.instance_number or 0, plane.frame.turn, plane.index


def hold_counts(
    volume: Volume,
    series: SeriesHeader,
    arranged: Layout,
    magnitude: Sequence[Plane],
    columns: Sequence[Plane],
    axes: Axes,
) -> None:
    """Matrix, slices, volumes, and that every volume has every slice."""
    first = series.first
    matrix = (first.tile_columns, first.tile_rows) if first.tiles else (first.columns, first.rows)
    shape = volume.data.shape
    _same("a matrix of", (shape[axes.along_row], shape[axes.down]), matrix, "")
    _same("", shape[axes.through], arranged.slices, "slices")
    if not first.tiles and len(magnitude) != len(columns) * arranged.slices:
        raise Unsuitable(
            f"Volumes are incomplete: {len(magnitude)} of {len(columns) * arranged.slices} slices received."
        )
    directed = [plane for plane in columns if not plane.frame.isotropic]
    volumes = volume.data.shape[3] if volume.data.ndim > 3 else 1
    _same("", volumes, len(directed) if volume.bvals is not None else len(columns), "volumes")


def hold_voxels(volume: Volume, series: SeriesHeader, arranged: Layout, axes: Axes) -> None:
    """Voxel edges against pixel spacing and the distance between slice positions."""
    spacing = series.first.pixel_spacing_mm
    expected = {axes.through: arranged.spacing_mm}
    if spacing is not None:  # Pixel Spacing is (distance of rows, distance of columns)
        expected |= {axes.along_row: spacing[1], axes.down: spacing[0]}
    for axis, said in expected.items():
        edge = volume.voxel_mm[axis]
        if said is not None and abs(edge - said) > VOXEL_TOLERANCE * said:
            raise Unsuitable(
                f"dcm2niix made voxels of {edge:.4g} mm along axis {axis + 1}, the headers say {said:.4g} mm."
            )


def hold_place(volume: Volume, series: SeriesHeader, arranged: Layout, axes: Axes) -> None:
    """Three corners of the outer slices must lie at corners of the array: sides, up and down, order of slices."""
    first = series.first
    placed = sorted((p for p in arranged.planes if p.slice_mm is not None), key=lambda p: p.slice_mm or 0.0)
    if first.pixel_spacing_mm is None or not placed:
        return
    low, high = (_corners(plane, first, volume.affine) for plane in (placed[0], placed[-1]))
    last = np.array(volume.data.shape[:3]) - 1.0
    in_plane = [axes.along_row, axes.down]
    for corner in (*low, *high):
        if not np.all(np.minimum(np.abs(corner), np.abs(corner - last))[in_plane] < PLACE_TOLERANCE):
            raise Unsuitable("dcm2niix put the image elsewhere in the patient than the headers do.")
    depths = (low[0][axes.through], high[0][axes.through])
    end = last[axes.through]
    expected = [(0.0, end), (end, 0.0)]
    if first.tiles:  # the headers give the place of the first tile and the way to the next
        ahead = first.tile_normal_lps
        upward = ahead is None or np.array(ahead) * LPS_TO_RAS @ axis_directions(volume.affine)[:, axes.through] > 0
        expected = [(0.0, 0.0)] if upward else [(end, end)]
    if not any(np.allclose(depths, pair, atol=PLACE_TOLERANCE) for pair in expected):
        raise Unsuitable("dcm2niix put the slices in another place or order than the headers do.")


def _corners(
    plane: Plane, first: InstanceHeader, affine: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], ...]:
    """Array indices of a plane's first pixel, the end of its first row and the end of its first column."""
    frame, spacing = plane.frame, first.pixel_spacing_mm
    if frame.position_lps is None or frame.orientation_lps is None or spacing is None:
        raise Unsuitable("A slice of the series does not say where in the patient it lies.")
    columns, rows = (first.tile_columns, first.tile_rows) if first.tiles else (first.columns, first.rows)
    origin, direction = np.array(frame.position_lps), np.array(frame.orientation_lps)
    along_row, down = direction[:3] * spacing[1] * (columns - 1), direction[3:] * spacing[0] * (rows - 1)
    back = np.linalg.inv(affine)
    return tuple(back[:3, :3] @ (p * LPS_TO_RAS) + back[:3, 3] for p in (origin, origin + along_row, origin + down))


def hold_times(volume: Volume, series: SeriesHeader, arranged: Layout) -> None:
    """TR and every TE."""
    said = series.first.tr_ms
    if volume.tr_ms is not None and said and abs(volume.tr_ms - said) > TIME_TOLERANCE * said:
        raise Unsuitable(f"dcm2niix says TR {volume.tr_ms:.4g} ms, the headers say {said:.4g} ms.")
    echoes = sorted(set(volume.te_ms))
    if echoes and arranged.echoes_ms:
        _same("", len(echoes), len(arranged.echoes_ms), "echoes")
        for made, told in zip(echoes, arranged.echoes_ms, strict=True):
            if abs(made - told) > max(TIME_TOLERANCE * told, 0.01):
                raise Unsuitable(f"dcm2niix says TE {made:.4g} ms, the headers say {told:.4g} ms.")


def hold_diffusion(volume: Volume, planes: Sequence[Plane]) -> None:
    """b-value and axis of every volume against its header, in order of acquisition; a direction's sign has no meaning.

    In order, because a table that is symmetric about an axis has the same set of directions when that axis is flipped.
    """
    if volume.bvals is None or volume.bvecs is None or any(plane.frame.bvalue is None for plane in planes):
        return
    axes = header_axes(planes, volume.affine)
    least = np.cos(np.radians(ANGLE_TOLERANCE_DEG))
    for number, plane in enumerate(planes):
        made, said = float(volume.bvals[number]), float(plane.frame.bvalue or 0.0)
        if abs(made - said) > max(BVALUE_FLOOR, BVALUE_TOLERANCE * said):
            raise Unsuitable(f"dcm2niix gives volume {number + 1} b={made:.0f} s/mm2, its header says {said:.0f}.")
        if not np.any(volume.bvecs[number]) or not np.any(axes[number]):
            continue
        cosine = abs(float(axes[number] @ volume.bvecs[number]))
        if cosine < least:
            angle = float(np.degrees(np.arccos(cosine)))
            raise Unsuitable(
                f"dcm2niix gives volume {number + 1} a diffusion direction {angle:.0f} degrees from its header's."
            )


def header_axes(planes: Sequence[Plane], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Diffusion directions of the headers along the array axes, (plane, 3); zero where a header gives none."""
    lps = np.array([plane.frame.gradient_lps or (0.0, 0.0, 0.0) for plane in planes]).reshape(-1, 3)
    return np.asarray((lps * LPS_TO_RAS) @ np.linalg.inv(axis_directions(affine)).T)


def _same(what: str, made: object, said: object, unit: str) -> None:
    if made != said:
        raise Unsuitable(
            f"dcm2niix made {what} {made} {unit}, the headers say {said}.".replace("  ", " ").replace(" ,", ",")
        )
