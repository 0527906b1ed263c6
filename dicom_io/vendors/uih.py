"""United Imaging: group 0065 holds diffusion, and in VFRAME files the number and the place of the tiled slices."""

from __future__ import annotations

import math

from dicom_io.elements import Elements
from dicom_io.vendors.said import Orientation, Said, in_patient

CREATOR = "IMAGE PRIVATE HEADER"
IMAGE_TYPE = 0x00080008
COILS, BVALUE, DIRECTION, TILES, TILE_SEQUENCE = 0x03, 0x09, 0x37, 0x50, 0x51
POSITION, ACQUISITION_TIME = 0x00200032, 0x00080032


def said(elements: Elements, orientation: Orientation | None) -> Said:
    """Diffusion per volume; tiles of a VFRAME file stand in ceil(sqrt(n)) columns."""

    def at(element: int) -> int:
        return elements.private(CREATOR, 0x0065, element)

    bvalue = elements.number(at(BVALUE))
    gradient = in_patient(elements.vector(at(DIRECTION)), orientation)
    tiles, columns, first, normal = 0, 0, None, None
    if "VFRAME" in elements.texts(IMAGE_TYPE):
        planes = elements.items(at(TILE_SEQUENCE))
        tiles = elements.integer(at(TILES)) or len(planes)
        columns = math.ceil(math.sqrt(tiles)) if tiles > 0 else 0
        places = [plane.vector(POSITION) for plane in planes]
        first = places[0] if places else None
        if len(places) > 1 and first and (second := places[1]):
            normal = (second[0] - first[0], second[1] - first[1], second[2] - first[2])
    return Said(
        bvalue=bvalue,
        gradient_lps=gradient,
        coil=elements.text(at(COILS)),
        slices=tiles or None,
        tiles=max(tiles, 0),
        tile_columns=columns,
        tile_rows=math.ceil(tiles / columns) if columns else 0,
        first_tile_lps=first,
        tile_normal=normal,
    )
