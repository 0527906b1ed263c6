"""DICOM in (read, classify, convert) and out (SR, Parametric Map, pages, check)."""
