"""Groups of the measurement report: one a site and side, image quality, what was not run, the research statement."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable, Sequence

import highdicom.sr as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dcm

from analyses.contract import Laterality, Measurement, Statistic, Verdict
from analyses.quantities import SITES, Code
from dicom_io.header import SeriesHeader
from dicom_io.results import codes, uids
from dicom_io.results.modules import MANUFACTURER, MODEL
from dicom_io.results.run import AnalysisRun, Maker, middle

SIGNIFICANT_DIGITS = 4  # of written values: more than any measurement here is worth, and a DS has 16 characters
MEANING_LENGTH = 64  # of a code meaning (LO)
NORMS = "norms"  # provenance that begins with this names the reference population of the z-scores

Group = hd.MeasurementsAndQualitativeEvaluations
CONTEXT = hd.RelationshipTypeValues.HAS_ACQ_CONTEXT
CONTAINS = hd.RelationshipTypeValues.CONTAINS


def observer(maker: Maker) -> hd.ObserverContext:
    """The device that reports: this installation."""
    return hd.ObserverContext(
        observer_type=dcm.DCM.Device,
        observer_identifying_attributes=hd.DeviceObserverIdentifyingAttributes(
            uid=uids.uid("device", maker.device_serial),
            name=MODEL,
            manufacturer_name=MANUFACTURER,
            model_name=MODEL,
            serial_number=maker.device_serial,
        ),
    )


def library(sources: Sequence[SeriesHeader]) -> hd.ContainerContentItem:
    """Image library with one image a source series; all others stand in the evidence (an entry each costs 40 ms)."""
    group = hd.ContainerContentItem(dcm.DCM.ImageLibraryGroup, relationship_type=CONTAINS)
    group.ContentSequence = hd.ContentSequence([_library_entry(series) for series in sources])
    whole = hd.ContainerContentItem(dcm.DCM.ImageLibrary, relationship_type=CONTAINS)
    whole.ContentSequence = hd.ContentSequence([group])
    return whole


def research_group(patient: Dataset, phantom: bool) -> Group:
    """The statement that all of this is for research only, and of a phantom where it is."""
    subject = [_evaluation(codes.SUBJECT, codes.PHANTOM)] if phantom else []
    return Group(
        tracking_identifier=_tracking(patient, "betz", "use", "Intended use"),
        qualitative_evaluations=[_evaluation(codes.USE, codes.RESEARCH), *subject],
    )


def measured_groups(patient: Dataset, run: AnalysisRun) -> list[Group]:
    """One group a site and side, in the order of the findings."""
    if run.findings is None:
        return []
    by_place: dict[tuple[str, Laterality | None], list[Measurement]] = {}
    for one in run.findings.measurements:
        by_place.setdefault((one.site, one.laterality), []).append(one)
    return [_site_group(patient, run, site, side, numbers) for (site, side), numbers in by_place.items()]


def quality_group(patient: Dataset, run: AnalysisRun) -> Group:
    """Every quality check that is a number, the worst verdict, and a sentence for each that is not good."""
    checks = run.findings.quality if run.findings else ()
    verdict = run.findings.verdict if run.findings else Verdict.GOOD
    notes = [check.sentence for check in checks if check.verdict is not Verdict.GOOD]
    notes += run.findings.statements if run.findings else ()
    return Group(
        tracking_identifier=_tracking(patient, run.analysis, "quality", f"{run.analysis} image quality"),
        algorithm_id=_algorithm(run),
        source_images=_source_images(run),
        measurements=[
            hd.Measurement(
                name=codes.concept(_check_code(check.name)),
                value=_rounded(check.value),
                unit=codes.unit(check.unit or "1"),
            )
            for check in checks
            if check.value is not None
        ]
        or None,
        qualitative_evaluations=[_evaluation(codes.SERIES_QUALITY, codes.VERDICT[verdict]), *_text(codes.NOTE, notes)],
    )


def not_run_group(patient: Dataset, run: AnalysisRun) -> Group:
    """What was not run, and why."""
    return Group(
        tracking_identifier=_tracking(patient, run.analysis, "status", f"{run.analysis} not run"),
        algorithm_id=_algorithm(run),
        source_images=_source_images(run) or None,
        qualitative_evaluations=[
            _evaluation(codes.STATUS, codes.STATE[run.state]),
            *_text(codes.REASON, [run.reason]),
        ],
    )


def _site_group(
    patient: Dataset, run: AnalysisRun, site: str, side: Laterality | None, numbers: Sequence[Measurement]
) -> Group:
    name = f"{site} {side}" if side else site
    worst = max((one.quality for one in numbers), key=list(Verdict).index)
    reasons = dict.fromkeys(one.quality_reason for one in numbers if one.quality is not Verdict.GOOD)
    return Group(
        tracking_identifier=_tracking(patient, run.analysis, site, f"{run.analysis} {name}", side or ""),
        finding_type=codes.concept(codes.ANATOMICAL_STRUCTURE),
        finding_sites=[
            hd.FindingSite(
                anatomic_location=codes.concept(SITES[site]),
                laterality=codes.concept(codes.LATERALITY[side]) if side else None,
            )
        ],
        algorithm_id=_algorithm(run),
        source_images=_source_images(run),
        measurements=list(_measurements(run, numbers)),
        qualitative_evaluations=[_evaluation(codes.SERIES_QUALITY, codes.VERDICT[worst]), *_text(codes.NOTE, reasons)],
    )


def _measurements(run: AnalysisRun, numbers: Sequence[Measurement]) -> Iterable[hd.Measurement]:
    """Each value, the standard deviation of its voxels once, and after them the number of voxels."""
    spread_told = set()
    for index, one in enumerate(numbers):
        name, unit = codes.concept(one.quantity.code), codes.unit(one.quantity.unit)
        statistic = codes.concept(codes.STATISTIC[one.statistic])
        yield hd.Measurement(name, _rounded(one.value), unit, derivation=statistic, properties=_properties(run, one))
        if one.sd is not None and (one.quantity.name, one.sd) not in spread_told:
            spread_told.add((one.quantity.name, one.sd))
            spread = codes.concept(codes.STATISTIC[Statistic.SD])
            yield hd.Measurement(name, _rounded(one.sd), unit, derivation=spread)
        last_of_its_count = index + 1 == len(numbers) or numbers[index + 1].n != one.n
        if one.n is not None and last_of_its_count:
            yield hd.Measurement(codes.concept(codes.VOXELS), one.n, codes.unit("{voxels}"))


def _properties(run: AnalysisRun, one: Measurement) -> hd.MeasurementProperties | None:
    """The z-score with the population it stands against; without a named population there is none."""
    provenance = run.findings.provenance if run.findings else ()
    norms = next((item for item in provenance if item.what.startswith(NORMS)), None)
    if one.z is None or norms is None:
        return None
    z = hd.NumContentItem(
        codes.concept(codes.Z_SCORE),
        _rounded(one.z),
        codes.unit("1"),
        relationship_type=hd.RelationshipTypeValues.HAS_PROPERTIES,
    )
    return hd.MeasurementProperties(
        measurement_statistical_properties=hd.MeasurementStatisticalProperties(
            values=[z], description=norms.what, authority=f"Betz reference set {norms.version}"
        )
    )


def _library_entry(series: SeriesHeader) -> hd.ImageContentItem:
    shown = middle(series)
    entry = hd.ImageContentItem(
        name=hd.CodedConcept("260753009", "SCT", "Source"),
        referenced_sop_class_uid=shown.sop_class_uid,
        referenced_sop_instance_uid=shown.sop_instance_uid,
        relationship_type=CONTAINS,
    )
    entry.ContentSequence = hd.ContentSequence(
        [hd.CodeContentItem(dcm.DCM.Modality, dcm.cid29.MagneticResonance, relationship_type=CONTEXT)]
    )
    if shown.frame_of_reference_uid:
        entry.ContentSequence.append(
            hd.UIDRefContentItem(dcm.DCM.FrameOfReferenceUID, shown.frame_of_reference_uid, relationship_type=CONTEXT)
        )
    pixels = hd.CodedConcept("{pixels}", "UCUM", "Pixels")
    for name, value in ((dcm.DCM.PixelDataRows, shown.rows), (dcm.DCM.PixelDataColumns, shown.columns)):
        entry.ContentSequence.append(hd.NumContentItem(name, value, pixels, relationship_type=CONTEXT))
    return entry


def _source_images(run: AnalysisRun) -> list[hd.SourceImageForMeasurementGroup]:
    shown = [middle(series) for series in run.sources]
    return [hd.SourceImageForMeasurementGroup(one.sop_class_uid, one.sop_instance_uid) for one in shown]


def _algorithm(run: AnalysisRun) -> hd.AlgorithmIdentification:
    provenance = run.findings.provenance if run.findings else ()
    return hd.AlgorithmIdentification(
        name=f"Betz {run.analysis}",
        version=run.version,
        parameters=[run.technique.value, *(f"{one.what} {one.version}" for one in provenance)],
        manufacturer=MANUFACTURER,
    )


def _tracking(patient: Dataset, analysis: str, site: str, name: str, side: str = "") -> hd.TrackingIdentifier:
    return hd.TrackingIdentifier(uid=uids.tracking_uid(patient, analysis, site, side), identifier=name)


def _evaluation(name: Code, value: Code) -> hd.QualitativeEvaluation:
    return hd.QualitativeEvaluation(name=codes.concept(name), value=codes.concept(value))


def _text(name: Code, sentences: Iterable[str]) -> list[hd.QualitativeEvaluation]:
    """Sentences as private codes; a code's meaning is short, so that a long one goes on in the next item."""
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, MEANING_LENGTH)]
    return [
        _evaluation(name, Code("T" + hashlib.sha256(line.encode()).hexdigest()[:12], codes.BETZ_SCHEME, line))
        for line in lines
    ]


def _check_code(name: str) -> Code:
    word = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return Code(f"{codes.CHECK}_{word}"[:16], codes.BETZ_SCHEME, name[:MEANING_LENGTH])


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
