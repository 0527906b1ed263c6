"""Small studies for the conductor's tests: classic MR instances put into a spool, roles by the site's own table."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dicom_io.part10 import Origin, Uids
from service.spool import Placed, Spool

ROLES = ({"role": "DWI", "series_description": "^dwi$"}, {"role": "T1", "series_description": "^t1$"})
SLICES = 3


@dataclass(frozen=True)
class Slice:
    """One instance; its UIDs follow from study, series and number."""

    study: int = 1
    series: int = 1
    number: int = 1
    description: str = "dwi"
    patient: str = "P1"

    @property
    def study_uid(self) -> str:
        return f"1.2.826.{self.study}"

    @property
    def series_uid(self) -> str:
        return f"{self.study_uid}.{self.series}"

    @property
    def uid(self) -> str:
        return f"{self.series_uid}.{self.number}"


def series_of(study: int = 1, series: int = 1, description: str = "dwi", slices: int = SLICES) -> list[Slice]:
    return [Slice(study, series, number, description) for number in range(1, slices + 1)]


def data_set(one: Slice) -> Dataset:
    """A classic MR image that a scanner might have made, 4 x 4 pixels."""
    made = Dataset()
    made.SOPClassUID = MRImageStorage
    made.SOPInstanceUID = one.uid
    made.StudyInstanceUID = one.study_uid
    made.SeriesInstanceUID = one.series_uid
    made.PatientName = "Geheim^Gerda"
    made.PatientID = one.patient
    made.PatientBirthDate = "19600101"
    made.PatientSex = "F"
    made.StudyDate = "20260301"
    made.StudyTime = made.SeriesTime = "101500"
    made.AcquisitionDateTime = "20260301101500"
    made.AccessionNumber = made.StudyID = made.ReferringPhysicianName = ""
    made.Modality = "MR"
    made.Manufacturer = "Nobody"
    made.SeriesDescription = one.description
    made.SeriesNumber = one.series
    made.InstanceNumber = one.number
    made.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    made.ScanningSequence = "SE"
    made.SequenceVariant = "NONE"
    made.MRAcquisitionType = "2D"
    made.FrameOfReferenceUID = one.study_uid
    made.ImagePositionPatient = [0, 0, 3 * one.number]
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.PixelSpacing = [2, 2]
    made.SliceThickness = made.SpacingBetweenSlices = 3
    made.EchoTime = 80
    made.RepetitionTime = 5000
    made.Rows = made.Columns = 4
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit = 15
    made.PixelRepresentation = 0
    made.PixelData = bytes([one.number, 0]) * 16
    return made


def put(spool: Spool, one: Slice) -> Placed:
    """Put an instance into the spool as the receiver does."""
    made = data_set(one)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    bare = io.BytesIO()
    pydicom.filewriter.write_dataset(_little(bare), made)
    origin = Origin(MRImageStorage, one.uid, ExplicitVRLittleEndian)
    return spool.place(origin, Uids(MRImageStorage, one.uid, one.study_uid, one.series_uid), bare.getbuffer())


def _little(buffer: io.BytesIO) -> pydicom.filebase.DicomIO:
    encoded = pydicom.filebase.DicomIO(buffer)
    encoded.is_little_endian, encoded.is_implicit_VR = True, False
    return encoded
