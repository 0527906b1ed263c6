"""conformance.md says what the service does: its tables are held against the tables in the code."""

from __future__ import annotations

import re
from pathlib import Path

from dicom_io.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.intake import CANNOT_UNDERSTAND, DATA_SET_MISMATCH, OUT_OF_RESOURCES, UNDECODABLE
from service.sop_classes import STORAGE, TRANSFER_SYNTAXES

TEXT = (Path(__file__).resolve().parent.parent / "conformance.md").read_text()


def rows(heading: str) -> dict[str, str]:
    section = TEXT.split(f"### {heading}")[1].split("\n### ")[0]
    return {uid: name for name, uid in re.findall(r"^\| (.+?) \| ([0-9.]{10,}) \|$", section, re.MULTILINE)}


def test_the_receiver_takes_what_the_statement_says_and_nothing_else() -> None:
    assert rows("5.2 Storage SCP") == {**STORAGE, **TRANSFER_SYNTAXES}


def test_the_statement_names_every_status_that_a_sender_may_get() -> None:
    for status in (OUT_OF_RESOURCES, DATA_SET_MISMATCH, CANNOT_UNDERSTAND, UNDECODABLE):
        assert f"| {status:04X} |" in TEXT


def test_the_statement_names_our_implementation() -> None:
    assert IMPLEMENTATION_CLASS_UID in TEXT
    assert IMPLEMENTATION_VERSION_NAME in TEXT
