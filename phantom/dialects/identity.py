"""Who the digital patient is in DICOM: marks that keep it apart from every person, and names that never change.

Each mark alone is enough for a reader: QualityControlSubject, the patient's name and ID, the device's serial number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_io.marks import DIGITAL_PATIENT_ID, DIGITAL_PATIENT_NAME, DIGITAL_PATIENT_SERIAL

NAME = DIGITAL_PATIENT_NAME
ID_PREFIX = DIGITAL_PATIENT_ID
ISSUER = "BETZ"
SERIAL = DIGITAL_PATIENT_SERIAL
COMMENT = "Digital phantom. Not a person."
STUDY_DESCRIPTION = "PHANTOM"
BIRTH_DATE = "19650101"
# 38 digits, never a leading zero: every UID has the same length, so one encoded object can be patched into the next.
_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two phantom studies the same one: everything that decides a byte of its images.

    key: text of all parameters. seed: part of the patient ID. date: YYYYMMDD of the study. title: after "PHANTOM" in
    the study's description.
    """

    key: str
    seed: int
    date: str = "20260102"
    title: str = "brain"

    @property
    def age_years(self) -> int:
        """Age on the day of the study; the birthday is the first day of a year."""
        return int(self.date[:4]) - int(BIRTH_DATE[:4])

    def uid(self, *parts: object) -> str:
        """UID of a part (study, series, instance): the same at every making, another for another key (PS3.5 B.2)."""
        digest = hashlib.sha256("/".join([self.key, *map(str, parts)]).encode()).digest()
        lowest = 10 ** (_DIGITS - 1)
        return f"2.25.{lowest + int.from_bytes(digest[:16], 'big') % (9 * lowest)}"

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID."""
        return self.uid("study")

    def write(self, dataset: Dataset) -> None:
        """Put patient, study and marks into a dataset."""
        dataset.PatientName = NAME
        dataset.PatientID = f"{ID_PREFIX}{self.seed}"
        dataset.IssuerOfPatientID = ISSUER
        dataset.PatientBirthDate = BIRTH_DATE
        dataset.PatientSex = "O"
        dataset.PatientAge = f"{self.age_years:03d}Y"
        dataset.PatientWeight = "75"
        dataset.QualityControlSubject = "YES"
        dataset.PatientComments = COMMENT
        dataset.ImageComments = COMMENT
        dataset.DeviceSerialNumber = SERIAL
        dataset.StudyInstanceUID = self.study_uid
        dataset.StudyID = "1"
        dataset.StudyDescription = f"{STUDY_DESCRIPTION} {self.title}"
        dataset.StudyDate = self.date
        dataset.StudyTime = "101500"
        dataset.AccessionNumber = ""
        dataset.ReferringPhysicianName = ""
        dataset.FrameOfReferenceUID = self.uid("frame of reference")
        dataset.PositionReferenceIndicator = ""
