"""A map set on the image planes of its source: all that the objects made of it share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from analyses.contract import MapImage
from analyses.quantities import Quantity
from dicom_io.header import SeriesHeader
from dicom_io.results import codes, uids
from dicom_io.results.grid import Grid, grid_of
from dicom_io.results.modules import source_attributes
from dicom_io.results.run import AnalysisRun, Maker, middle
from dicom_io.results.sources import SourceReferences, orientation, source_references


@dataclass(frozen=True, slots=True)
class PlacedMap:
    """A map of a run on its planes.

    planes: (frame, row, column) float32, finite, 0 outside the mask.
    number: of the map among all (technique + index), the end of its series numbers.
    """

    quantity: Quantity
    planes: npt.NDArray[np.float32]
    window: tuple[float, float]
    grid: Grid
    source: Dataset
    series: SeriesHeader
    references: SourceReferences
    run: AnalysisRun
    maker: Maker
    number: int
    inputs: str

    def uid(self, kind: str, *rest: str) -> str:
        """UID of a series or an instance made of this map."""
        run = self.run
        return uids.uid(
            self.inputs, run.analysis, run.version, *uids.configuration(self.maker), kind, self.quantity.name, *rest
        )

    @property
    def body_part(self) -> str:
        """BodyPartExamined of the map."""
        return codes.body_part(self.series)


def place(run: AnalysisRun, maker: Maker) -> tuple[PlacedMap, ...]:
    """Set every map of a finished run on its planes; ValueError for a map that no image can carry."""
    if run.findings is None:
        return ()
    inputs = uids.digest(run.sources)
    references: dict[tuple[str, bytes], SourceReferences] = {}
    placed = []
    for index, image in enumerate(run.findings.maps):
        series = run.series[image.need]
        grid = grid_of(_shape(image), image.affine, orientation(series))
        key = (series.first.series_uid, np.ascontiguousarray(image.affine).tobytes())
        if key not in references:
            references[key] = source_references(series, grid)
        placed.append(
            PlacedMap(
                quantity=image.quantity,
                planes=grid.planes(_finite(image)),
                window=image.display_range,
                grid=grid,
                source=source_attributes(middle(series)),
                series=series,
                references=references[key],
                run=run,
                maker=maker,
                number=codes.TECHNIQUE_NUMBER[run.technique] + index,
                inputs=inputs,
            )
        )
    return tuple(placed)


def _shape(image: MapImage) -> tuple[int, int, int]:
    if image.data.ndim != 3:
        raise ValueError(f"the {image.quantity.name} map has {image.data.ndim} dimensions, not 3")
    return image.data.shape[0], image.data.shape[1], image.data.shape[2]


def _finite(image: MapImage) -> npt.NDArray[np.float32]:
    """The map with 0 for NaN: float pixels have no pad value that readers agree on, and NaN breaks their windows."""
    data = np.asarray(image.data, np.float32)
    outside = np.isnan(data)
    if outside.all() or np.isinf(data).any():
        what = "no value" if outside.all() else "infinite values"
        raise ValueError(f"the {image.quantity.name} map has {what}")
    return np.where(outside, np.float32(0), data)
