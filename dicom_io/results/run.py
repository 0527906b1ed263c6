"""What the results are made from: one analysis run with its series and findings, and who makes the objects, when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    Comprehensive3DSRStorage,
    MRImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
)

from analyses.contract import Findings, Technique, Unsuitable
from dicom_io.header import InstanceHeader, SeriesHeader, one_patient


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes the objects, and the moment of the run: two runs with the same maker write the same bytes.

    timezone: "+hhmm" of the site, used where a source has no TimezoneOffsetFromUTC; "" = none.
    at: moment of the first run of this version of the study, with its zone.
    inputs: digest of all bytes that the job works on; UIDs follow it, so that changed files never share a result's UID.
    """

    software_version: str
    device_serial: str
    timezone: str
    at: datetime
    inputs: str = ""


class RunState(StrEnum):
    """How a run of an analysis ended; the values stand in results.json and routing.json."""

    DONE = "done"
    UNSUITABLE = "unsuitable"
    NOT_RUN = "not run"
    FAILED = "failed"


class ObjectKind(StrEnum):
    """Kinds of result objects that a destination can choose."""

    SR = "sr"
    MAP = "map"
    PAGE = "page"


KIND_OF_CLASS = {
    Comprehensive3DSRStorage: ObjectKind.SR,
    ParametricMapStorage: ObjectKind.MAP,
    MRImageStorage: ObjectKind.MAP,
    SecondaryCaptureImageStorage: ObjectKind.PAGE,
}


@dataclass(frozen=True, slots=True)
class AnalysisRun:
    """One analysis of one study: what it ran on, how it ended, what it found, and the files of its maps.

    series: need -> series, also for a run that was turned down; empty when nothing was there to run on.
    findings: None unless state is done.
    """

    analysis: str
    version: str
    technique: Technique
    series: Mapping[str, SeriesHeader]
    state: RunState
    reason: str = ""
    findings: Findings | None = None
    maps: tuple[Path, ...] = ()

    @property
    def sources(self) -> tuple[SeriesHeader, ...]:
        """Series of the run, each once, in the order of their UIDs."""
        by_uid = {series.first.series_uid: series for series in self.series.values()}
        return tuple(by_uid[uid] for uid in sorted(by_uid))


def object_kind(path: Path) -> ObjectKind:
    """Return the kind of a result file, from its file meta information; KeyError when it is no result object."""
    return KIND_OF_CLASS[read_file_meta_info(path).MediaStorageSOPClassUID]


def middle(series: SeriesHeader) -> InstanceHeader:
    """Return the instance that stands for its series: the middle one by instance number."""
    return series.instances[len(series.instances) // 2]


def same_patient_and_study(series: Iterable[SeriesHeader]) -> None:
    """Raise `Unsuitable` where instances of the series belong to more than one patient or study."""
    instances = [instance for one in series for instance in one.instances]
    if not one_patient(instances):
        raise Unsuitable("two patients in one study: nothing is written")
    if len({instance.study_uid for instance in instances}) > 1:
        raise Unsuitable("two studies in one series set: nothing is written")
