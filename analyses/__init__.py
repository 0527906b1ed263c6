"""Techniques: pure functions from arrays to findings; no DICOM, no network, no clock."""
