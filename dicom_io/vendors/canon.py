"""Canon (and Toshiba): classic objects tell the diffusion direction only as text in Image Comments."""

from __future__ import annotations

import re

from dicom_io.elements import Elements
from dicom_io.vendors.said import Orientation, Said, in_patient

IMAGE_COMMENTS = 0x00204000
COMMENT = re.compile(r"b=([\d.]+)\(([-+\d.]+),([-+\d.]+),([-+\d.]+)\)")  # b=1500(0.895,0.000,-0.445)


def said(elements: Elements, orientation: Orientation | None) -> Said:
    """B-value and direction from Image Comments: column, row and slice component, in image space.

    Order and signs as dcm2niix reads them, validated there with dcm_qa_canon (nii_dicom.cpp, kImageComments).
    """
    found = COMMENT.search(elements.text(IMAGE_COMMENTS))
    if not found:
        return Said()
    try:
        bvalue, first, second, third = (float(part) for part in found.groups())
    except ValueError:
        return Said()
    gradient = in_patient((second, first, third), orientation, flip_normal=True)
    return Said(bvalue=bvalue, gradient_lps=gradient if bvalue > 0 else None)
