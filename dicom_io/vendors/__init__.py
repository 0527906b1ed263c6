"""Private elements of each maker and nothing else; `said` asks the right one."""

from __future__ import annotations

from dicom_io.elements import Elements
from dicom_io.vendors import canon, ge, philips, siemens, uih
from dicom_io.vendors.said import NOTHING, Orientation, Said

MAKERS = {  # how (0008,0070) begins, in capitals
    "SIEMENS": siemens.said,
    "GE ": ge.said,
    "GEMS": ge.said,
    "PHILIPS": philips.said,
    "UIH": uih.said,
    "UNITED IMAGING": uih.said,
    "CANON": canon.said,
    "TOSHIBA": canon.said,
}


def said(manufacturer: str, elements: Elements, orientation: Orientation | None) -> Said:
    """What the private elements of `elements` say; nothing for a maker that is not known."""
    name = manufacturer.upper() + " "
    maker = next((read for start, read in MAKERS.items() if name.startswith(start)), None)
    return maker(elements, orientation) if maker else NOTHING
