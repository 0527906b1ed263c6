"""Marks that everything of the package `phantom` carries; each alone tells the digital patient from a person."""

from __future__ import annotations

from dicom_io.elements import Elements

DIGITAL_PATIENT_SERIAL = "BETZ-PHANTOM"  # device serial number
DIGITAL_PATIENT_ID = "BETZ-PHANTOM-"  # the patient ID begins so
DIGITAL_PATIENT_NAME = "PHANTOM^BETZ"  # the patient's name begins so

_NAME, _ID, _SERIAL = 0x00100010, 0x00100020, 0x00181000


def is_digital_patient(data: Elements) -> bool:
    """Whether the package `phantom` wrote this instance: its scanner, its patient ID or its patient's name says so.

    Quality Control Subject says the same of every test object, and so does not make this one.
    """
    return (
        data.text(_SERIAL) == DIGITAL_PATIENT_SERIAL
        or data.text(_ID).upper().startswith(DIGITAL_PATIENT_ID)
        or data.text(_NAME).upper().startswith(DIGITAL_PATIENT_NAME)
    )
