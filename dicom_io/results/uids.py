"""UIDs of result objects: 2.25.<UUIDv5> of what the object was made from, so that a repeated run repeats its UIDs.

PS3.5 B.2 (UUID-derived UIDs). Same inputs, version and configuration -> same UID; anything else -> another one.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

from pydicom.dataset import Dataset

from dicom_io.header import SeriesHeader
from dicom_io.results.run import Maker

NAMESPACE = uuid.UUID("5b0c1d6e-6f0f-5c8e-9a51-7d2b8c3f4e60")
BETZ_ROOT = "2.25." + str(uuid.uuid5(NAMESPACE, "root").int)  # of the 99BETZ coding scheme


def uid(*key: str) -> str:
    """UID of a key; parts are separated so that ("ab", "c") and ("a", "bc") differ."""
    return "2.25." + str(uuid.uuid5(NAMESPACE, "\x1f".join(key)).int)


def digest(series: Iterable[SeriesHeader]) -> str:
    """SHA-256 (hex) over the sorted SOP Instance UIDs of the series: the identity of an input."""
    uids = sorted({instance.sop_instance_uid for one in series for instance in one.instances})
    return hashlib.sha256("\n".join(uids).encode("ascii")).hexdigest()


def configuration(maker: Maker) -> tuple[str, str, str, str]:
    """Key parts of who makes the object of what; not the moment, so that a repetition keeps its UIDs."""
    return maker.software_version, maker.device_serial, maker.timezone, maker.inputs


def tracking_uid(patient: Dataset, analysis: str, site: str, side: str) -> str:
    """UID of a measured site of a patient, without version or study, so that follow-ups join.

    Without a patient ID nothing says who is followed up: then the study stands for the patient.
    """
    who = str(patient.get("PatientID") or "") or f"study {patient.get('StudyInstanceUID', '')}"
    return uid("tracking", who, str(patient.get("IssuerOfPatientID", "")), analysis, site, side)
