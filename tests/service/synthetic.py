"""Small objects and ledger rows for the tests of delivery and status: a map, a report and a page of one study."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from service.config import Config, Deliver, Destination, Spool
from service.ledger import Ledger
from service.tables import deliveries, results

CLASSES = {"map": MRImageStorage, "sr": ComprehensiveSRStorage, "page": SecondaryCaptureImageStorage}
MODALITIES = {"map": "MR", "sr": "SR", "page": "OT"}
SIZE = 64


def data_set(kind: str, study_uid: str, series_uid: str | None = None, number: int = 1) -> Dataset:
    """A valid enough object of a kind, Explicit VR Little Endian, with a patient's name that must never leak."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = CLASSES[kind]
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.StudyInstanceUID = study_uid
    made.SeriesInstanceUID = series_uid or generate_uid()
    made.PatientName = "Geheim^Gerda"
    made.PatientID = "SECRET-4711"
    made.StudyDate = "20260301"
    made.Modality = MODALITIES[kind]
    made.SeriesNumber = 1
    made.InstanceNumber = number
    if kind != "sr":
        made.Rows = made.Columns = SIZE
        made.SamplesPerPixel = 1
        made.PhotometricInterpretation = "MONOCHROME2"
        made.BitsAllocated = made.BitsStored = 16
        made.HighBit = 15
        made.PixelRepresentation = 0
        made.PixelData = bytes(range(256)) * (SIZE * SIZE * 2 // 256)
    return made


def config(
    folder: Path, *destinations: Destination, first_retry_s: float = 0.2, longest_retry_s: float = 1.0
) -> Config:
    """A configuration whose spool and ledger lie in `folder`."""
    (folder / "spool").mkdir(exist_ok=True, parents=True)
    deliver = Deliver(destinations=destinations, first_retry_s=first_retry_s, longest_retry_s=longest_retry_s)
    return Config(spool=Spool(path=folder / "spool", reserve_mb=1), deliver=deliver)


def queue(
    made_for: Config, ledger: Ledger, study_uid: str, kinds: tuple[str, ...] = ("sr", "page", "map"), syntax: str = ""
) -> list[Dataset]:
    """Write objects of a study into the spool and queue them for every destination that wants their kind."""
    made = [data_set(kind, study_uid) for kind in kinds]
    for kind, one in zip(kinds, made, strict=True):
        if syntax:
            one.compress(syntax, generate_instance_uid=False)
        path = Path("results") / study_uid / f"{one.SOPInstanceUID}.dcm"
        (made_for.spool.path / path).parent.mkdir(parents=True, exist_ok=True)
        one.save_as(made_for.spool.path / path, enforce_file_format=True)
        with ledger.transaction() as connection:
            connection.execute(
                results.insert().values(
                    sop_instance_uid=one.SOPInstanceUID,
                    sop_class_uid=one.SOPClassUID,
                    series_uid=one.SeriesInstanceUID,
                    study_uid=study_uid,
                    job_id="job-1",
                    kind=kind,
                    path=str(path),
                    sha256="",
                )
            )
            for destination in made_for.deliver.destinations:
                if kind in destination.kinds:
                    connection.execute(
                        deliveries.insert().values(
                            sop_instance_uid=one.SOPInstanceUID,
                            study_uid=study_uid,
                            destination=destination.name,
                            state="queued",
                            queued_at=time.time(),
                        )
                    )
    return made


def states(ledger: Ledger, destination: str) -> list[tuple[str, str]]:
    """(state, reason) of every delivery to a destination, oldest first."""
    query = sa.select(deliveries).where(deliveries.c.destination == destination).order_by(deliveries.c.id)
    return [(row["state"], row["reason"]) for row in ledger.all(query)]
