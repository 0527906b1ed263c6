"""DICOM out: structured report, parametric maps, summary pages; coded, deterministic, checked before they leave."""
