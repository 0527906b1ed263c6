"""Siemens: groups 0019 and 0051, the CSA headers of group 0029 with their text protocol, mosaics, private spectroscopy.

CSA layout: https://nipy.org/nibabel/dicom/siemens_csa.html. XA objects say nearly all of it in standard elements.
"""

from __future__ import annotations

import math
import re
import struct

from dicom_io.elements import Elements, Vector
from dicom_io.vendors.said import Orientation, Said, unit

SHADOW, CSA = "SIEMENS MR HEADER", "SIEMENS CSA HEADER"
IMAGE_TYPE, SOP_CLASS, ACQUISITION_TYPE = 0x00080008, 0x00080016, 0x00180023
NON_IMAGE_CLASS = "1.3.12.2.1107.5.9.1"
MOST_TAGS, MOST_ITEMS, LONGEST_ITEM = 1000, 1000, 1 << 20  # beyond, the block is garbage
PROTOCOL = re.compile(
    rb"\n(lRepetitions|lAverages|sSliceArray\.lSize|sKSpace\.lImagesPerSlab|sDiffusion\.\w+(?:\[\d+\])?)\s*=\s*(\d{1,6})(?=\s)"
)
DIRECTIONS_MODE = 256  # sDiffusion.ulMode of the scanner's own direction table (MDDW)
SEQUENCE_BVALUE = re.compile(r"ep_b(\d+)")  # *ep_b1000#12, *ep_b1000t
SEQUENCE_NAME = 0x00180024


def said(elements: Elements, orientation: Orientation | None) -> Said:  # noqa: ARG001  directions are in patient space
    """Diffusion, mosaic, coil, counts and spectroscopy of one Siemens instance."""
    csa = parse_csa(elements.raw(elements.private(CSA, 0x0029, 0x10)))
    bvalue, gradient, isotropic = _diffusion(elements, csa)
    tiles = _tiles(elements, csa)
    slices, volumes = _counts(elements, diffusion=bvalue is not None)
    return Said(
        bvalue=bvalue,
        gradient_lps=gradient,
        isotropic=isotropic,
        coil=elements.text(elements.private(SHADOW, 0x0051, 0x0F)),
        slices=tiles or slices,
        volumes=volumes,
        tiles=tiles,
        tile_columns=math.ceil(math.sqrt(tiles)),  # the grid is always square
        tile_rows=math.ceil(math.sqrt(tiles)),
        tile_normal=_vector(csa.get("SliceNormalVector", ())),
        spectroscopy=_spectroscopy(elements, csa),
    )


def parse_csa(block: bytes) -> dict[str, tuple[str, ...]]:
    """Values of a CSA header by tag name; {} for anything that is not one. CSA1 has no signature, CSA2 starts SV10."""
    second = block[:4] == b"SV10"
    offset = 8 if second else 0
    found: dict[str, tuple[str, ...]] = {}
    try:
        count, _ = struct.unpack_from("<2I", block, offset)
        if not 0 < count <= MOST_TAGS:
            return {}
        offset += 8
        first_items = 0
        for index in range(count):
            name, _, _, _, items, _ = struct.unpack_from("<64si4s3i", block, offset)
            offset += 84
            values: list[str] = []
            first_items = items if index == 0 else first_items
            if not 0 <= items <= MOST_ITEMS:
                return found
            for _ in range(items):
                lengths = struct.unpack_from("<4i", block, offset)
                offset += 16
                # CSA1 adds the first tag's number of items to every length (SPM, spm_dicom_headers.m)
                length = lengths[1] if second else lengths[0] - first_items
                if not 0 <= length <= LONGEST_ITEM:
                    return found
                values.append(block[offset : offset + length].split(b"\0", 1)[0].decode("latin-1").strip())
                offset += (length + 3) // 4 * 4
            found[name.split(b"\0", 1)[0].decode("latin-1")] = tuple(value for value in values if value)
    except struct.error:
        return found
    return found


def _diffusion(elements: Elements, csa: dict[str, tuple[str, ...]]) -> tuple[float | None, Vector | None, bool]:
    bvalue = elements.number(elements.private(SHADOW, 0x0019, 0x0C))
    if bvalue is None:
        bvalue = _number(csa.get("B_value", ()))
    if bvalue is None and (found := SEQUENCE_BVALUE.search(elements.text(SEQUENCE_NAME))):
        bvalue = float(found[1])
    gradient = elements.vector(elements.private(SHADOW, 0x0019, 0x0E))
    gradient = unit(gradient or _vector(csa.get("DiffusionGradientDirection", ())))
    words = (elements.text(elements.private(SHADOW, 0x0019, 0x0D)), *csa.get("DiffusionDirectionality", ()))
    return bvalue, gradient if bvalue else None, "ISOTROPIC" in words


def _tiles(elements: Elements, csa: dict[str, tuple[str, ...]]) -> int:
    if "MOSAIC" not in elements.texts(IMAGE_TYPE):
        return 0
    tiles = elements.integer(elements.private(SHADOW, 0x0019, 0x0A))
    if tiles is None:
        tiles = int(_number(csa.get("NumberOfImagesInMosaic", ())) or 0)
    return tiles if 0 < tiles < 10_000 else 0


def _counts(elements: Elements, diffusion: bool) -> tuple[int | None, int | None]:
    """Slices and volumes that the text protocol announces."""
    text = elements.raw(elements.private(CSA, 0x0029, 0x20))
    protocol = {name.decode(): int(value) for name, value in PROTOCOL.findall(text)}
    slices = protocol.get("sSliceArray.lSize")
    if slices and elements.text(ACQUISITION_TYPE) == "3D":
        per_slab = protocol.get("sKSpace.lImagesPerSlab")
        slices = slices * per_slab if per_slab else None
    if not protocol:
        return slices, None
    return slices, _diffusion_volumes(protocol) if diffusion else protocol.get("lRepetitions", 0) + 1


def _diffusion_volumes(protocol: dict[str, int]) -> int | None:
    """One volume at b = 0 and one a direction at every other b; None where averages or a free table make it unsure."""
    weightings, directions = protocol.get("sDiffusion.lDiffWeightings"), protocol.get("sDiffusion.lDiffDirections")
    averages = [value for name, value in protocol.items() if name.startswith(("lAverages", "sDiffusion.alAverages"))]
    table = protocol.get("sDiffusion.ulMode") == DIRECTIONS_MODE
    if not weightings or not directions or not table or any(value > 1 for value in averages):
        return None
    return sum(directions if protocol.get(f"sDiffusion.alBValue[{i}]") else 1 for i in range(weightings))


def _spectroscopy(elements: Elements, csa: dict[str, tuple[str, ...]]) -> str:
    """Kind of a spectrum in the private non-image class, as (0018,9200) would say it; "" for anything else."""
    if elements.text(SOP_CLASS) != NON_IMAGE_CLASS:
        return ""
    if not elements.text(elements.private(CSA, 0x0029, 0x08)).startswith("SPEC"):
        return ""
    steps = [
        _number(csa.get(f"SpectroscopyAcquisition{axis}", ())) or 1
        for axis in ("PhaseColumns", "PhaseRows", "Out-of-planePhaseSteps")
    ]
    if math.prod(steps) <= 1:
        return "SINGLE_VOXEL"
    return "VOLUME" if steps[2] > 1 else "PLANE"


def _number(values: tuple[str, ...]) -> float | None:
    try:
        value = float(values[0])
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _vector(values: tuple[str, ...]) -> Vector | None:
    numbers = [_number((value,)) for value in values[:3]]
    if len(numbers) < 3 or numbers[0] is None or numbers[1] is None or numbers[2] is None:
        return None
    return numbers[0], numbers[1], numbers[2]
