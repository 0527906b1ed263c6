"""Codes and numbers that only the result objects use; quantities and sites stand in `analyses.quantities`.

DICOM PS3.16 (CID 42, 100, 244, 7005, 7203, 7464, TID 300, 1500, 1501); `99BETZ` is private and named in every object.
"""

from __future__ import annotations

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from analyses.contract import Laterality, Statistic, Technique, Verdict
from analyses.quantities import Code, Quantity
from dicom_io.header import SeriesHeader
from dicom_io.results.run import RunState

BETZ_SCHEME = "99BETZ"

# Series numbers (one series an object kind; maps: base + number of the technique + index of the map)
PAGE_SERIES, REPORT_SERIES, MAP_SERIES, MR_SERIES = 9000, 9001, 9100, 9200
TECHNIQUE_NUMBER = {Technique.DTI: 10}
DERIVATION_OF_TECHNIQUE = {Technique.DTI: Code("129105", "DCM", "Diffusion image analysis")}  # CID 7203

STATISTIC = {
    Statistic.MEAN: Code("373098007", "SCT", "Mean"),
    Statistic.MEDIAN: Code("373099004", "SCT", "Median"),
    Statistic.SD: Code("386136009", "SCT", "Standard Deviation"),
    Statistic.TOTAL: Code("255619001", "SCT", "Total"),
    Statistic.MAXIMUM: Code("56851009", "SCT", "Maximum"),
    Statistic.MINIMUM: Code("255605001", "SCT", "Minimum"),
}
LATERALITY = {
    Laterality.LEFT: Code("7771000", "SCT", "Left"),
    Laterality.RIGHT: Code("24028007", "SCT", "Right"),
}
SERIES_QUALITY = Code("130550", "DCM", "Imaging Series Quality")
VERDICT = {
    Verdict.GOOD: Code("122741", "DCM", "Good image quality"),
    Verdict.LIMITED: Code("LIMITED", BETZ_SCHEME, "Limited image quality"),
    Verdict.UNSUITABLE: Code("122742", "DCM", "Poor image quality"),
}
STATUS = Code("STATUS", BETZ_SCHEME, "Analysis status")
STATE = {
    RunState.DONE: Code("DONE", BETZ_SCHEME, "Done"),
    RunState.UNSUITABLE: Code("UNSUITABLE", BETZ_SCHEME, "Not run: input unsuitable"),
    RunState.NOT_RUN: Code("NOINPUT", BETZ_SCHEME, "Not run: an input is missing"),
    RunState.FAILED: Code("FAILED", BETZ_SCHEME, "Not run: the analysis failed"),
}
REASON = Code("REASON", BETZ_SCHEME, "Reason")
NOTE = Code("NOTE", BETZ_SCHEME, "Note")
USE = Code("USE", BETZ_SCHEME, "Intended use")
RESEARCH = Code("RESEARCH", BETZ_SCHEME, "Research use only, not for diagnosis")
SUBJECT = Code("121024", "DCM", "Subject Class")
PHANTOM = Code("113681", "DCM", "Phantom")
VOXELS = Code("NVOX", BETZ_SCHEME, "Number of voxels")
CHECK = "QC"  # prefix of the private codes of quality checks

REPORT_TITLE = Code("126000", "DCM", "Imaging Measurement Report")
PROCEDURE = Code("25056-3", "LN", "MRI unspecified body region")  # CID 100 has no more exact one
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
Z_SCORE = Code("121416", "DCM", "Z-Score of measurement")
QUANTITY = Code("246205007", "SCT", "Quantity")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")

ANATOMY = {
    "BRAIN": Code("12738006", "SCT", "Brain"),
    "CSPINE": Code("2748008", "SCT", "Spinal cord"),
}
FRAME_LATERALITY = {"BRAIN": "B", "CSPINE": "U"}

UNIT_MEANING = {
    "1": "no units",
    "%": "percent",
    "%/a": "percent per year",
    "um2/ms": "square micrometer per millisecond",
    "ml": "milliliter",
    "mm": "millimeter",
    "mm3": "cubic millimeter",
    "s": "second",
    "deg": "degree",
    "{voxels}": "voxels",
    "{volumes}": "volumes",
    "{directions}": "directions",
}


def concept(code: Code) -> CodedConcept:
    """The code as a DICOM code sequence item."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def unit(ucum: str) -> CodedConcept:
    """A UCUM unit as a code sequence item; a unit without an entry in the table is its own meaning."""
    return CodedConcept(ucum, "UCUM", UNIT_MEANING.get(ucum, ucum))


def quantity_definition(quantity: Quantity) -> Dataset:
    """What a mapped value is: name-value pair of Quantity Definition Sequence (PS3.3 C.7.6.16.2.11.1.2)."""
    item = Dataset()
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = [concept(QUANTITY)]
    item.ConceptCodeSequence = [concept(quantity.code)]
    return item


def body_part(series: SeriesHeader) -> str:
    """BodyPartExamined of the results: CSPINE for a series that says spine or cord, else BRAIN."""
    said = series.first.body_part.upper()
    return "CSPINE" if "SPINE" in said or "CORD" in said else "BRAIN"
