"""A drawn page as RGB Secondary Capture (PS3.3 A.8.1): the one object that every viewer shows. Uncompressed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_io.header import SeriesHeader
from dicom_io.results import codes
from dicom_io.results.canvas import Canvas
from dicom_io.results.modules import (
    RESEARCH_SENTENCE,
    NewSeries,
    new_object,
    reference,
    save,
)
from dicom_io.results.run import Maker, middle


@dataclass(frozen=True, slots=True)
class Capture:
    """The series of pages of a study: from whom, made of what, where to."""

    source: Dataset
    sources: tuple[SeriesHeader, ...]
    series: NewSeries
    maker: Maker
    folder: Path

    def write(self, canvas: Canvas, number: int, uid: str) -> Path:
        """Write `page-<number>.dcm` and `page-<number>.png`; return the DICOM file."""
        pixels = canvas.pixels
        ds = new_object(self.source, SecondaryCaptureImageStorage, uid, number, self.series, self.maker)
        ds.ConversionType, ds.ImageType = "WSD", ["DERIVED", "SECONDARY"]
        ds.DateOfSecondaryCapture, ds.TimeOfSecondaryCapture = ds.ContentDate, ds.ContentTime
        ds.BurnedInAnnotation, ds.RecognizableVisualFeatures, ds.LossyImageCompression = "YES", "NO", "00"
        ds.BodyPartExamined = codes.body_part(self.sources[0])
        ds.PatientOrientation = ""
        ds.ImageComments = RESEARCH_SENTENCE
        ds.SourceImageSequence = [reference(m.sop_class_uid, m.sop_instance_uid) for m in map(middle, self.sources)]
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        ds.Rows, ds.Columns = pixels.shape[:2]
        ds.PixelData = pixels.tobytes()
        canvas.image.save(self.folder / f"page-{number}.png")
        return save(ds, self.folder / f"page-{number}.dcm")
