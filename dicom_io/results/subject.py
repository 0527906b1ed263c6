"""Whom the results are of: a patient, or a phantom whose numbers must never be taken for a patient's."""

from __future__ import annotations

from collections.abc import Sequence

from dicom_io.classify import Role
from dicom_io.header import InstanceHeader, SeriesHeader

Series = Sequence[tuple[SeriesHeader, Role]]


def is_phantom(series: Series) -> bool:
    """Whether any series of the study is of a phantom: one is enough to keep its results apart."""
    return any(role.phantom for _, role in series)


def registered_as_phantom(instance: InstanceHeader) -> bool:
    """Whether an instance says so: QualityControlSubject, patient name or ID, or the serial number of the device."""
    return instance.quality_control_subject or instance.digital_patient


def banner(series: Series) -> str:
    """The words on every page of a phantom's results; "" for a patient."""
    marked = [header for header, role in series if role.phantom]
    if not marked:
        return ""
    if len(marked) == len(series):
        return "PHANTOM, not a patient"
    numbers = sorted(one.first.series_number for one in marked if one.first.series_number is not None)
    return f"PHANTOM, not a patient: series {', '.join(map(str, numbers))}" if numbers else "PHANTOM among the series"
