"""One typed, immutable view of an instance's header and of a series, every vendor behind it.

A header is hostile until proven otherwise: an element that is absent, empty or garbage is None or "", never an error.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from dicom_io import elements as part5
from dicom_io import frames as planes
from dicom_io import thermometry, vendors
from dicom_io.acquisition import acquisition
from dicom_io.elements import Elements, Vector
from dicom_io.frames import Component, FrameHeader
from dicom_io.marks import is_digital_patient
from dicom_io.thermometry import temperature_c
from dicom_io.vendors.said import unit

__all__ = [
    "Component",
    "Folder",
    "FrameHeader",
    "InstanceHeader",
    "SeriesHeader",
    "Unreadable",
    "Vector",
    "read_folder",
    "read_instance",
    "read_series",
    "series_of",
]


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """What Betz reads of one instance, pixel data aside. None or "" = not said."""

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_uid: str
    series_uid: str
    identity: str  # digests of patient ID (name, where there is none), issuer, birth date, sex: see `one_patient`
    age_years: float | None
    sex: str
    study_date: str
    acquired: str
    quality_control_subject: bool
    modality: str
    manufacturer: str
    model: str
    software: str
    device_serial: str
    field_t: float | None
    series_number: int | None
    instance_number: int | None
    series_description: str
    protocol_name: str
    sequence_name: str
    body_part: str
    coil: str
    patient_position: str
    image_type: tuple[str, ...]
    scanning_sequence: tuple[str, ...]
    sequence_variant: tuple[str, ...]
    scan_options: tuple[str, ...]
    three_d: bool | None
    tr_ms: float | None
    ti_ms: float | None
    flip_deg: float | None
    echo_train: int | None
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None
    slice_spacing_mm: float | None
    frame_of_reference_uid: str
    tiles: int  # slices in one tiled instance, 0 when not tiled
    tile_rows: int
    tile_columns: int
    tile_normal_lps: Vector | None
    frames: tuple[FrameHeader, ...]
    expected_slices: int | None  # vendor or standard counts, for completeness
    expected_volumes: int | None  # of one echo and one component
    expected_instances: int | None = None  # of the whole series
    expected_frames: int | None = None  # NumberOfFrames of an enhanced object
    expected_echoes: int | None = None
    study_description: str = ""
    contrast: str = ""  # AcquisitionContrast: DIFFUSION, PERFUSION, TIME_OF_FLIGHT ...
    perfusion: bool = False  # arterial spin labelling or contrast bolus, said in so many words
    spectroscopy: str = ""  # MR Spectroscopy Acquisition Type: SINGLE_VOXEL, ROW, PLANE, VOLUME
    derivation: str = ""
    contrast_agent: bool = False
    temperature_c: float | None = None  # of a spectroscopy voxel, by the distance of water and NAA
    pulse_sequence: str = ""  # the maker's own name of the sequence where SequenceName is empty or free text
    digital_patient: bool = False  # written by the package `phantom`


@dataclass(frozen=True, slots=True)
class SeriesHeader:
    """All instances of one series, ordered by instance number then UID."""

    instances: tuple[InstanceHeader, ...]

    @property
    def first(self) -> InstanceHeader:
        """Return the first instance; a series has at least one."""
        return self.instances[0]


@dataclass(frozen=True, slots=True)
class Folder:
    """Everything under a folder: its series, and the files that are no DICOM instance with the reason."""

    series: tuple[SeriesHeader, ...]
    unreadable: tuple[tuple[Path, str], ...]


class Unreadable(Exception):
    """A file that is not a DICOM instance; the text is the reason."""


MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")  # PS3.5 9.1
LONGEST_UID = 64
PHANTOM_WORDS = re.compile(r"phantom|fantom|(?<![a-z])(acr|fbirn|qa|qc)(?![a-z])", re.IGNORECASE)
AGE = re.compile(r"(\d{3})([DWMY])")  # AS, PS3.5 6.2
DATE_TIME = re.compile(r"\d{8}")
AGE_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
SPECTROSCOPY_CLASS = "1.2.840.10008.5.1.4.1.1.4.2"


def read_series(paths: Iterable[Path]) -> SeriesHeader:
    """Headers of the instances of one series, ordered; `Unreadable` names the first file that cannot belong to it."""
    instances = [read_instance(path) for path in paths]
    if not instances:
        raise Unreadable("a series without instances")
    for instance in instances:
        if instance.series_uid != instances[0].series_uid:
            raise Unreadable(f"{instance.path.name} belongs to another series than {instances[0].path.name}")
    return series_of(instances)


def read_folder(folder: Path) -> Folder:
    """Every series below `folder`, in the order of their numbers, and what could not be read or is there twice."""
    first_of: dict[tuple[str, str, str], Path] = {}
    found: dict[tuple[str, str], list[InstanceHeader]] = defaultdict(list)
    unreadable: list[tuple[Path, str]] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            instance = read_instance(path)
        except Unreadable as reason:
            unreadable.append((path, str(reason)))
            continue
        series_key = (instance.study_uid, instance.series_uid)
        first = first_of.setdefault((*series_key, instance.sop_instance_uid), path)
        if first == path:
            found[series_key].append(instance)
        else:
            unreadable.append((path, f"its SOP Instance UID is that of {first.relative_to(folder)}"))
    series = sorted(map(series_of, found.values()), key=lambda one: (one.first.study_uid, one.first.series_number or 0))
    return Folder(tuple(series), tuple(unreadable))


def read_instance(path: Path) -> InstanceHeader:
    """Header of one instance, without its pixel data; `Unreadable` says why there is none."""
    try:
        meta, data = part5.read(path)
    except part5.Malformed as reason:
        raise Unreadable(f"not a DICOM file: {reason}") from None
    except OSError as error:
        raise Unreadable(error.strerror or "cannot be read") from None
    if meta.text(0x00020002) == MEDIA_DIRECTORY:
        raise Unreadable("a DICOMDIR, not an instance")
    for tag, name in ((0x00080018, "SOP Instance UID"), (0x0020000D, "Study UID"), (0x0020000E, "Series UID")):
        if not is_uid(data.text(tag)):
            raise Unreadable(f"no valid {name}")
    return _instance(path, meta, data)


def is_uid(text: str) -> bool:
    """Whether the text is a UID by PS3.5 9.1, safe to be a file name."""
    return len(text) <= LONGEST_UID and UID.fullmatch(text) is not None


def series_of(instances: Iterable[InstanceHeader]) -> SeriesHeader:
    """Put the instances of one series in order: instance number, then UID."""

    def place(instance: InstanceHeader) -> tuple[bool, int, str]:
        return instance.instance_number is None, instance.instance_number or 0, instance.sop_instance_uid

    return SeriesHeader(tuple(sorted(instances, key=place)))


def _instance(path: Path, meta: Elements, data: Elements) -> InstanceHeader:
    manufacturer = data.text(0x00080070)
    said = vendors.said(manufacturer, data, planes.orientation(data))
    many = planes.FRAME_GROUPS in data or planes.SHARED_GROUPS in data
    frames = planes.enhanced(data, said) if many else (planes.classic(data, said),)
    how = acquisition(data)
    rows, columns = data.integer(planes.ROWS) or 0, data.integer(planes.COLUMNS) or 0
    return InstanceHeader(
        path=path,
        sop_instance_uid=data.text(0x00080018),
        sop_class_uid=data.text(0x00080016) or meta.text(0x00020002),
        transfer_syntax_uid=meta.text(0x00020010),
        study_uid=data.text(0x0020000D),
        series_uid=data.text(0x0020000E),
        identity=_identity(data),
        age_years=_age(data),
        sex=data.text(0x00100040),
        study_date=data.text(0x00080020),
        acquired=_acquired(data),
        quality_control_subject=_is_quality_control(data),
        modality=data.text(0x00080060),
        manufacturer=manufacturer,
        model=data.text(0x00081090),
        software=data.text(0x00181020).replace("\\", " "),
        device_serial=data.text(0x00181000),
        field_t=_field(data.number(0x00180087)),
        series_number=data.integer(0x00200011),
        instance_number=data.integer(0x00200013),
        series_description=data.text(0x0008103E),
        protocol_name=data.text(0x00181030),
        sequence_name=data.text(0x00180024) or data.text(0x00189005),
        body_part=_body_part(data),
        coil=" ".join(word for word in (how.coil, said.coil) if word),
        patient_position=data.text(0x00185100),
        image_type=data.texts(planes.IMAGE_TYPE),
        scanning_sequence=how.scanning_sequence,
        sequence_variant=how.sequence_variant,
        scan_options=data.texts(0x00180022),
        three_d={"3D": True, "2D": False}.get(data.text(0x00180023)),
        tr_ms=how.tr_ms,
        ti_ms=how.ti_ms or said.ti_ms,
        flip_deg=how.flip_deg,
        echo_train=how.echo_train,
        rows=rows,
        columns=columns,
        pixel_spacing_mm=how.pixel_spacing_mm,
        slice_thickness_mm=how.slice_thickness_mm,
        slice_spacing_mm=how.slice_spacing_mm,
        frame_of_reference_uid=data.text(0x00200052),
        tiles=said.tiles,
        tile_rows=rows // said.tile_rows if said.tiles else 0,
        tile_columns=columns // said.tile_columns if said.tiles else 0,
        tile_normal_lps=unit(said.tile_normal),
        frames=frames,
        expected_slices=said.slices,
        expected_volumes=data.integer(0x00200105) if many else said.volumes or data.integer(0x00200105),
        expected_instances=said.instances,
        expected_frames=data.integer(0x00280008) if many else None,
        expected_echoes=said.echoes,
        study_description=data.text(0x00081030),
        contrast=data.text(0x00089209),
        perfusion=said.perfusion or data.text(0x00089209) == "PERFUSION" or data.text(0x00189250) not in ("", "NONE"),
        spectroscopy=data.text(0x00189200) or said.spectroscopy,
        derivation=data.text(0x00082111),
        contrast_agent=data.text(0x00180010) != "" or bool(data.items(0x00180012)),
        temperature_c=temperature_c(data) if thermometry.SPECTRUM in data else None,
        pulse_sequence=said.sequence,
        digital_patient=is_digital_patient(data),
    )


def _body_part(data: Elements) -> str:
    """Body Part Examined, else the meaning of the coded region, of the object or of its frames."""
    for elements in (
        data,
        data.item(planes.SHARED_GROUPS).item(0x00209071),
        data.item(planes.FRAME_GROUPS).item(0x00209071),
    ):
        said = elements.text(0x00180015) or elements.item(0x00082218).text(0x00080104)
        if said:
            return said
    return ""


IDENTITY_TAGS = (0x00100020, 0x00100021, 0x00100030, 0x00100040)  # patient ID, its issuer, birth date, sex
NAME_TAG = 0x00100010


def _identity(data: Elements) -> str:
    """Digests of who the patient is, one a field, "" where it is not said; the values themselves go no further.

    The name counts only where there is no ID: the same person's name is spelt in many ways.
    """
    parts = [data.text(tag).upper() for tag in IDENTITY_TAGS]
    parts.append("" if parts[0] else data.text(NAME_TAG).upper().rstrip("^ "))
    return "|".join(hashlib.sha256(part.encode()).hexdigest()[:32] if part else "" for part in parts)


def one_patient(instances: Iterable[InstanceHeader]) -> bool:
    """Whether nothing says that the instances are of two patients; a field that is empty in one contradicts nothing.

    But an ID in one and only a name in another cannot be compared: these are two patients.
    """
    fields = list(zip_longest(*{tuple(one.identity.split("|")) for one in instances}, fillvalue=""))
    named_differently = len(fields) > len(IDENTITY_TAGS) and any(fields[0]) and any(fields[-1])
    return not named_differently and all(len(set(said) - {""}) <= 1 for said in fields)


def _is_quality_control(data: Elements) -> bool:
    """Said by the element, or registered under a test object's name."""
    registered = f"{data.text(0x00100010)} {data.text(0x00100020)}"
    return data.text(0x00100200) == "YES" or PHANTOM_WORDS.search(registered) is not None


def _age(data: Elements) -> float | None:
    """Age in years by PatientAge, else by birth and study date; 000Y is how de-identification writes "removed"."""
    said = AGE.fullmatch(data.text(0x00101010))
    if said and not (said[1] == "000" and said[2] == "Y"):
        return int(said[1]) * AGE_YEARS[said[2]]
    try:
        born = datetime.date.fromisoformat(data.text(0x00100030))
        studied = datetime.date.fromisoformat(data.text(0x00080020))
    except ValueError:
        return None
    days = (studied - born).days
    return days / 365.25 if days > 0 else None


def _acquired(data: Elements) -> str:
    """Acquisition date and time as DICOM text; the series' own where the acquisition's is not said."""
    whole = data.text(0x0008002A)
    if DATE_TIME.match(whole):
        return whole
    for date, time in ((0x00080022, 0x00080032), (0x00080021, 0x00080031), (0x00080023, 0x00080033)):
        text = data.text(date) + data.text(time)
        if DATE_TIME.match(text):
            return text
    return ""


def _field(value: float | None) -> float | None:
    """Field strength in tesla; some old objects write gauss."""
    if value is None or value <= 0:
        return None
    return value / GAUSS_PER_TESLA if value > GAUSS_ABOVE else value


GAUSS_PER_TESLA = 10_000.0
GAUSS_ABOVE = 100.0  # no scanner has 100 T, none below 100 gauss makes DICOM
