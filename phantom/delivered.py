"""Delivered measurement reports (Comprehensive 3D SR, TID 1500) read back into the form of `results.json`.

What an archive gave back is read here with pydicom alone, by the standard's own structure: nothing that wrote it helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import Comprehensive3DSRStorage

from analyses.quantities import QUANTITIES, SITES
from dicom_io.results import codes
from dicom_io.results.modules import MODEL

# PS3.16 TID 1500, 1501, 300: concept names, as scheme and value
MEASUREMENTS, GROUP = ("DCM", "126010"), ("DCM", "125007")
FINDING_SITE, SIDE = ("SCT", "363698007"), ("SCT", "272741003")
DERIVATION, ALGORITHM = ("DCM", "121401"), ("DCM", "111001")
# How our reports name themselves: the algorithm, and the group of an analysis that did not run.
MADE_BY = f"{MODEL} "

_QUANTITY = {(q.code.scheme, q.code.value): name for name, q in QUANTITIES.items()}
_SITE = {(code.scheme, code.value): name for name, code in SITES.items()}
_STATISTIC = {(code.scheme, code.value): statistic.value for statistic, code in codes.STATISTIC.items()}
_SIDE = {(code.scheme, code.value): side.value for side, code in codes.LATERALITY.items()}
_SPREAD = "standard deviation"


def results(folder: Path, study_uid: str) -> dict[str, Any] | None:
    """What the reports below a folder say of a study, in the form of results.json; None when no report is there.

    Reports that a newer one replaces are left out. When no report is of the study, another study's is returned.
    """
    found = list(_reports(folder))
    replaced = {
        str(instance.ReferencedSOPInstanceUID)
        for report in found
        for study in report.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    newest = {str(one.SOPInstanceUID): one for one in found if str(one.SOPInstanceUID) not in replaced}
    if not newest:
        return None
    studies = {str(one.StudyInstanceUID) for one in newest.values()}
    wanted = study_uid if study_uid in studies else min(studies)
    of_study = [one for one in newest.values() if str(one.StudyInstanceUID) == wanted]
    groups = [group for report in of_study for group in _groups(report)]
    measured = [number for group in groups for number in _numbers(group)]
    study: dict[str, Any] = {"study_uid": wanted, "series_uids": []}
    if any(_of_phantom(report, _groups(report)) for report in of_study):
        study["phantom"] = True
    return {
        "schema": 1,
        "study": study,
        "measurements": measured,
        "not_run": [one for group in groups for one in _not_run(group)],
    }


def _reports(folder: Path) -> Iterator[Dataset]:
    """Every report of ours below a folder; other DICOM objects and other files are passed by."""
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        try:
            kind = pydicom.dcmread(path, specific_tags=["SOPClassUID", "ManufacturerModelName"])
        except InvalidDicomError:
            continue
        if kind.get("SOPClassUID") == Comprehensive3DSRStorage and kind.get("ManufacturerModelName") == MODEL:
            yield pydicom.dcmread(path)


def _coded(sequence: pydicom.Sequence | None) -> tuple[str, str]:
    """Scheme and value of a code sequence's item; two empty words when there is none."""
    if not sequence:
        return "", ""
    return str(sequence[0].CodingSchemeDesignator), str(sequence[0].CodeValue)


def _name(item: Dataset) -> tuple[str, str]:
    return _coded(item.get("ConceptNameCodeSequence"))


def _content(item: Dataset, name: tuple[str, str]) -> list[Dataset]:
    return [one for one in item.get("ContentSequence", []) if _name(one) == name]


def _groups(report: Dataset) -> list[Dataset]:
    return [group for container in _content(report, MEASUREMENTS) for group in _content(container, GROUP)]


def _of_phantom(report: Dataset, groups: list[Dataset]) -> bool:
    subject, phantom = ((code.scheme, code.value) for code in (codes.SUBJECT, codes.PHANTOM))
    said = any(_coded(one.ConceptCodeSequence) == phantom for group in groups for one in _content(group, subject))
    return said or report.get("QualityControlSubject") == "YES"


def _analysis(group: Dataset) -> str:
    named = _content(group, ALGORITHM)
    return str(named[0].TextValue).removeprefix(MADE_BY) if named else ""


def _text(known: dict[tuple[str, str], str], sequence: pydicom.Sequence) -> str:
    """Our name of a code; the code itself when it is none of ours, so that it is told as unexpected."""
    code = _coded(sequence)
    return known.get(code, ":".join(code))


def _numbers(group: Dataset) -> Iterator[dict[str, Any]]:
    """The numbers of a group that has a site; spread and count of voxels belong to the others."""
    for place in _content(group, FINDING_SITE):
        sides = _content(place, SIDE)
        for item in group.ContentSequence:
            if item.ValueType != "NUM" or not item.get("MeasuredValueSequence") or _name(item) == _VOXELS:
                continue
            derived = _content(item, DERIVATION)
            statistic = _text(_STATISTIC, derived[0].ConceptCodeSequence) if derived else ""
            if statistic == _SPREAD:
                continue
            measured = item.MeasuredValueSequence[0]
            yield {
                "analysis": _analysis(group),
                "quantity": _text(_QUANTITY, item.ConceptNameCodeSequence),
                "code": ":".join(_name(item)),
                "site": _text(_SITE, place.ConceptCodeSequence),
                "laterality": _text(_SIDE, sides[0].ConceptCodeSequence) if sides else None,
                "statistic": statistic,
                "value": float(measured.NumericValue),
                "unit": str(measured.MeasurementUnitsCodeSequence[0].CodeValue),
            }


_VOXELS = (codes.VOXELS.scheme, codes.VOXELS.value)
_STATUS = (codes.STATUS.scheme, codes.STATUS.value)
_REASON = (codes.REASON.scheme, codes.REASON.value)


def _not_run(group: Dataset) -> Iterator[dict[str, str]]:
    """An analysis with the reason why it did not run: sentences are split over the meanings of several codes."""
    if _content(group, _STATUS):
        lines = [str(one.ConceptCodeSequence[0].CodeMeaning) for one in _content(group, _REASON)]
        yield {"analysis": _analysis(group), "reason": " ".join(lines)}
