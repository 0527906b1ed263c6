"""What is true of a patient's anatomy: numbers by region, and maps on the grid of the T1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from phantom import body_truth
from phantom.anatomy import template
from phantom.anatomy.change import Change
from phantom.anatomy.cortex import Cortex
from phantom.anatomy.person import Person
from phantom.examination import Examination
from phantom.slab import Slab
from phantom.t1 import T1Body
from phantom.truth import TrueMeasurement

Made = tuple[tuple[TrueMeasurement, ...], dict[str, npt.NDArray[np.generic]]]


def of(person: Person, first: Change, body: T1Body, slab: Slab, examination: Examination) -> Made:
    """Numbers of the body by parcel; maps by name."""
    percent = {"grey_percent": body.grey, "white_percent": body.white}
    maps: dict[str, npt.NDArray[np.generic]] = {"labels": body.parcels}
    maps |= {name: np.rint(100 * share).astype(np.uint8) for name, share in percent.items()}
    growth = body_truth.grown(person, first, body, slab) if examination.visit > 0 else None
    if growth is not None:
        maps["jacobian"] = growth.jacobian
    cortex = Cortex(template.load(), examination.disease.thinning_mm())
    years = examination.visit * examination.years_between
    return body_truth.measurements(person, cortex, body, slab, growth, years), maps
