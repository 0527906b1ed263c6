"""Do the pixels of a slice lie where its header puts them? The last guard against a mirrored or shuffled image.

One slice, a third up the stack, is read from its DICOM file and looked up in the converted volume, pixel by pixel,
through the affine. Converters scale linearly, so the two correlate to rounding; after a flip of any axis they do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array

from analyses.contract import Unsuitable, Volume
from dicom_io.layout import Layout, Plane

SAME_PIXELS = 0.999  # correlation; rounding to 12 bits leaves 1e-6, and a mirrored head stays under 0.99
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])  # DICOM's patient axes (PS3.3 C.7.6.2.1.1) to those of affines


def hold_pixels(volume: Volume, planes: Sequence[Plane], arranged: Layout) -> None:
    """`Unsuitable` where no volume has the pixels of that plane at its place.

    Not held: images that this machine cannot decode (dcm2niix can) and planes that are the same everywhere.
    """
    placed = sorted((plane for plane in planes if plane.slice_mm is not None), key=lambda plane: plane.slice_mm or 0.0)
    if not placed:
        return
    plane = placed[len(placed) // 3]  # not the middle: that stays in its place when the stack is turned over
    image = _image(plane)
    spacing = plane.instance.pixel_spacing_mm
    if image is None or spacing is None or plane.frame.position_lps is None or plane.frame.orientation_lps is None:
        return
    position, direction = np.array(plane.frame.position_lps), np.array(plane.frame.orientation_lps)
    if plane.instance.tiles:
        number, ahead = arranged.slices // 3, plane.instance.tile_normal_lps
        if ahead is None or arranged.spacing_mm is None:
            return
        image = _tile(image, plane, number)
        position = position + number * arranged.spacing_mm * np.array(ahead)
    if np.ptp(image) == 0:
        return
    rows, columns = image.shape
    along = np.arange(columns)[None, :, None] * spacing[1] * direction[:3]
    place = position + along + np.arange(rows)[:, None, None] * spacing[0] * direction[3:]
    back = np.linalg.inv(volume.affine)
    index = np.rint(place * LPS_TO_RAS @ back[:3, :3].T + back[:3, 3]).astype(int)
    if np.any(index < 0) or np.any(index >= volume.data.shape[:3]):
        raise Unsuitable("dcm2niix put the image elsewhere in the patient than the headers do.")
    found = volume.data[index[..., 0], index[..., 1], index[..., 2]].reshape(image.size, -1).astype(np.float64)
    if max(_correlations(image.ravel(), found)) < SAME_PIXELS:
        raise Unsuitable("The converted image does not have a slice's pixels where its header puts them.")


def _image(plane: Plane) -> npt.NDArray[np.float64] | None:
    """Pixels of the plane's frame, (row, column) or all tiles; None where they cannot be decoded here."""
    try:
        return np.asarray(pixel_array(dcmread(plane.instance.path), index=plane.index), dtype=np.float64)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        return None


def _tile(image: npt.NDArray[np.float64], plane: Plane, number: int) -> npt.NDArray[np.float64]:
    """Tile `number`, counted along the rows of tiles."""
    rows, columns = plane.instance.tile_rows, plane.instance.tile_columns
    down, along = divmod(number, image.shape[1] // columns)
    return image[down * rows : (down + 1) * rows, along * columns : (along + 1) * columns]


def _correlations(image: npt.NDArray[np.float64], found: npt.NDArray[np.float64]) -> list[float]:
    """Pearson correlation of an image (pixel,) with each column of `found` (pixel, volume); 0 where one is flat."""
    centred = image - image.mean()
    others = found - found.mean(axis=0)
    size = np.linalg.norm(centred) * np.linalg.norm(others, axis=0)
    return [float(c) for c in np.divide(centred @ others, size, out=np.zeros(len(size)), where=size > 0)]
