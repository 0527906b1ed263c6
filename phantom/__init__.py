"""The digital patient: anatomy, physics, and how a scanner writes them as DICOM; with its truth."""
