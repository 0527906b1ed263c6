"""The DICOM modules that all result objects share: patient, study, series, equipment, references.

Patient and study come from the source, in Unicode whatever the source's character set; PS3.3 C.7.1-C.7.5, C.12.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_io.results import codes
from dicom_io.results.run import Maker
from dicom_io.results.subject import registered_as_phantom
from dicom_io.results.uids import BETZ_ROOT

UNICODE = "ISO_IR 192"
MANUFACTURER, MODEL, CREATOR = "Betz project", "Betz", "Betz^Software"

IDENTITY = (  # the results must carry these exactly as the source does; `dicom_io.check` holds them against it
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence",
    "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight", "StudyInstanceUID", "StudyDate",
    "StudyTime", "StudyID", "AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName",
    "StudyDescription", "ProcedureCodeSequence",
)  # fmt: skip
OTHER_COPIED = (
    "QualityControlSubject", "PatientComments", "EthnicGroup", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "RequestAttributesSequence", "InstitutionName", "InstitutionalDepartmentName",
    "TimezoneOffsetFromUTC",
)  # fmt: skip
EMPTY_IF_ABSENT = (  # type 2 of the patient and study modules
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
SCANNER = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "StationName")
RESEARCH_SENTENCE = "For research use only. Not for diagnosis."
GRID = ("FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition")
ACQUISITION_MOMENT = ("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime")
ACQUISITION = (
    *ACQUISITION_MOMENT, "AcquisitionNumber", "ProtocolName",
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "SequenceName", "AngioFlag",
    "SliceThickness", "SpacingBetweenSlices", "RepetitionTime", "EchoTime", "EchoTrainLength",
    "NumberOfAverages", "ImagingFrequency", "ImagedNucleus", "EchoNumbers", "MagneticFieldStrength",
    "NumberOfPhaseEncodingSteps", "PercentSampling", "PercentPhaseFieldOfView", "PixelBandwidth", "ReceiveCoilName",
    "TransmitCoilName", "InPlanePhaseEncodingDirection", "FlipAngle",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewSeries:
    """A series of results: its UID, number, description (at most 64 ASCII characters) and modality."""

    uid: str
    number: int
    description: str
    modality: str


def source_attributes(instance: InstanceHeader) -> Dataset:
    """Read what results copy from a source instance, decoded to Unicode; no pixel data, no private elements.

    An instance that any mark tells to be of a phantom says so in QualityControlSubject: results keep that mark.
    """
    wanted = [*IDENTITY, *OTHER_COPIED, *SCANNER, *GRID, *ACQUISITION]
    source = pydicom.dcmread(instance.path, stop_before_pixels=True, specific_tags=wanted, force=True)
    source.decode()
    source.SpecificCharacterSet = UNICODE
    if registered_as_phantom(instance):
        source.QualityControlSubject = "YES"
    return source


def copy(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy those attributes that the source has; a sequence without items counts as absent."""
    for keyword in keywords:
        if keyword in source and not (source[keyword].VR == "SQ" and source[keyword].is_empty):
            target[keyword] = source[keyword]


def new_object(
    source: Dataset, sop_class_uid: str, sop_instance_uid: str, instance_number: int, series: NewSeries, maker: Maker
) -> Dataset:
    """Return an object with file meta, patient, study, series, equipment and SOP common modules, without content."""
    ds = Dataset()
    ds.file_meta = file_meta(sop_class_uid, sop_instance_uid)
    ds.SpecificCharacterSet = UNICODE
    for keyword in EMPTY_IF_ABSENT:
        setattr(ds, keyword, None)
    copy(source, ds, [*IDENTITY, *OTHER_COPIED])
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, sop_instance_uid
    ds.InstanceNumber = instance_number
    ds.Modality, ds.SeriesInstanceUID, ds.SeriesNumber = series.modality, series.uid, series.number
    ds.SeriesDescription = series.description
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MODEL
    ds.SoftwareVersions, ds.DeviceSerialNumber = maker.software_version, maker.device_serial
    ds.ContributingEquipmentSequence = [_scanner(source)]
    if "TimezoneOffsetFromUTC" not in ds and maker.timezone:
        ds.TimezoneOffsetFromUTC = maker.timezone
    moment = at_site(maker, str(ds.get("TimezoneOffsetFromUTC", "")))
    for date in ("InstanceCreationDate", "SeriesDate", "ContentDate"):
        setattr(ds, date, moment.strftime("%Y%m%d"))
    for time in ("InstanceCreationTime", "SeriesTime", "ContentTime"):
        setattr(ds, time, moment.strftime("%H%M%S"))
    return ds


def file_meta(sop_class_uid: str, sop_instance_uid: str) -> FileMetaDataset:
    """File meta information of an uncompressed explicit little endian object."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class_uid), UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = (
        UID(IMPLEMENTATION_CLASS_UID),
        IMPLEMENTATION_VERSION_NAME,
    )
    return meta


def at_site(maker: Maker, offset: str) -> datetime:
    """The maker's moment in the zone "+hhmm" of the object, or in its own where the object names none."""
    if not re.fullmatch(r"[+-]\d{4}", offset):
        return maker.at
    sign = -1 if offset.startswith("-") else 1
    hours, minutes = int(offset[-4:-2]), int(offset[-2:])
    return maker.at.astimezone(timezone(sign * timedelta(hours=hours, minutes=minutes)))


def name_private_scheme(ds: Dataset) -> None:
    """Say whose the 99BETZ codes of this object are (PS3.3 C.12.1.1.7)."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeUID = codes.BETZ_SCHEME, BETZ_ROOT
    scheme.CodingSchemeName = "Betz private codes"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    ds.CodingSchemeIdentificationSequence = [scheme]


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """A reference to one instance."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def instance_references(series: SeriesHeader) -> list[Dataset]:
    """References to all instances of a series."""
    return [reference(instance.sop_class_uid, instance.sop_instance_uid) for instance in series.instances]


def save(ds: Dataset, path: Path) -> Path:
    """Write a result object as a DICOM file."""
    ds.save_as(path, enforce_file_format=True)
    return path


def _scanner(source: Dataset) -> Dataset:
    item = Dataset()
    item.Manufacturer = ""
    copy(source, item, [*SCANNER, "InstitutionName", "InstitutionalDepartmentName"])
    item.PurposeOfReferenceCodeSequence = [codes.concept(codes.ACQUISITION_EQUIPMENT)]
    return item


def series_description(name: str) -> str:
    """SeriesDescription of a result series."""
    return f"Betz {name} (research)"


def derived_from(sources: Sequence[SeriesHeader]) -> str:
    """The series as people name them: "5 DTI b1000, 7 T1"."""
    return ", ".join(f"{series.first.series_number} {series.first.series_description}".strip() for series in sources)
