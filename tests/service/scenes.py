"""Ledgers as they look in a hospital: busy, and with failures; for the pages, the metrics and the screenshots."""

from __future__ import annotations

import time
from typing import Any

from service.config import Config, Deliver, Destination, Peer, Receive, Site, Spool, StatusPage
from service.ledger import Ledger
from service.states import Event, Kind
from service.tables import associations, deliveries, events, instances, jobs, results, series, studies

NOW = time.time()
ROOT = "1.2.826.0.1.3680043.8.498"
SR, MAP, PAGE = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.30", "1.2.840.10008.5.1.4.1.1.7"
KINDS = ((MAP, "map"), (MAP, "map"), (SR, "sr"), (PAGE, "page"))
DWI_REASON = "diffusion: b-values 0, 1000 s/mm2 in 64 directions; EPI, TE 85 ms; coil and geometry: head"


def study_uid(number: int) -> str:
    """UID of a scene's study."""
    return f"{ROOT}.{10_000_000 + number * 1_234_567}"


def site(folder: Any, port: int = 8042) -> Config:
    """A hospital with a PACS and a research archive."""
    (folder / "spool").mkdir(parents=True, exist_ok=True)
    destinations = (
        Destination(name="pacs", ae_title="HOSPITALPACS", host="10.20.0.11", port=104),
        Destination(name="research", ae_title="ORTHANC", host="10.20.4.7", port=4242, kinds=("sr", "map")),
    )
    return Config(
        site=Site(name="Neurology, example site"),
        spool=Spool(path=folder / "spool", reserve_mb=100),
        receive=Receive(peers=(Peer(ae_title="MR3T"), Peer(ae_title="MR15T"))),
        deliver=Deliver(destinations=destinations),
        status=StatusPage(port=port),
    )


def insert(ledger: Ledger, table: Any, **values: Any) -> Any:
    """One row; its key."""
    with ledger.transaction() as connection:
        return (connection.execute(table.insert().values(**values)).inserted_primary_key or [None])[0]


def add_study(ledger: Ledger, number: int, state: str, age_s: float, **values: Any) -> str:
    uid = study_uid(number)
    row = {"version": 1, "reason": "all series complete, association released", **values}
    insert(
        ledger,
        studies,
        study_uid=uid,
        state=state,
        first_at=NOW - age_s,
        last_instance_at=NOW - age_s + min(age_s, 240),
        **row,
    )
    happened(ledger, Kind.STUDY, uid, uid, Event.RECEIVED, "", "receiving", age_s)
    return uid


def add_series(ledger: Ledger, uid: str, number: int, role: str | None, body: str | None, **values: Any) -> str:
    key = f"{uid}.{number}"
    state = "classified" if role else "open"
    row = {"state": state, "instances": 192, "completeness": "192 of 192 instances", "reason": "", **values}
    row.setdefault("last_instance_at", NOW)
    row = {name: value for name, value in row.items() if name in series.c}
    insert(ledger, series, series_uid=key, study_uid=uid, role=role, body=body, number=number, **row)
    if role:
        happened(ledger, Kind.SERIES, key, uid, Event.CLASSIFIED, "settled", "classified", 600, row["reason"])
    return key


def add_job(ledger: Ledger, uid: str, analysis: str, state: str, reason: str = "", **values: Any) -> str:
    key = f"{analysis}-{uid[-8:]}"
    row = {"created_at": NOW - 500, "study_version": 1, "analysis_version": "1.0", "attempts": 1, **values}
    if state in ("done", "dead", "unsuitable", "failed"):
        row = {"started_at": NOW - 480, "ended_at": NOW - 300, "cpu_s": 210.0, "peak_mb": 1420.0, **row}
    insert(ledger, jobs, job_id=key, study_uid=uid, analysis=analysis, state=state, reason=reason, **row)
    happened(ledger, Kind.JOB, key, uid, Event.STARTED, "queued", "running", 480)
    if state in ("done", "dead", "unsuitable"):
        ended = {"done": Event.FINISHED, "dead": Event.GAVE_UP, "unsuitable": Event.REFUSED_INPUT}[state]
        happened(ledger, Kind.JOB, key, uid, ended, "running", state, 300, reason)
    return key


def add_results(ledger: Ledger, uid: str, job: str, ways: dict[str, tuple[str, str]], **values: Any) -> None:
    """Four result objects, delivered to each destination in the (state, reason) of `ways`."""
    for number, (sop_class, kind) in enumerate(KINDS):
        key = f"{uid}.9.{number + 41873000}"
        names = {"sop_instance_uid": key, "study_uid": uid}
        insert(
            ledger,
            results,
            **names,
            sop_class_uid=sop_class,
            series_uid=f"{uid}.9",
            job_id=job,
            kind=kind,
            path=key,
            sha256="",
        )
        for destination, (state, reason) in ways.items():
            if kind == "page" and destination == "research":
                continue
            row: dict[str, Any] = {"queued_at": NOW - 290, **values}
            if state in ("sent", "confirmed"):
                row |= {"sent_at": NOW - 280}
            if state == "confirmed":
                row |= {"confirmed_at": NOW - 279}
            number_of = insert(ledger, deliveries, **names, destination=destination, state=state, reason=reason, **row)
            if state != "queued":
                happened(ledger, Kind.DELIVERY, str(number_of), uid, Event.SENT, "sending", state, 280, reason)


def happened(
    ledger: Ledger, kind: Kind, subject: str, uid: str, event: Event, was: str, now: str, age_s: float, reason: str = ""
) -> None:
    insert(
        ledger,
        events,
        at=NOW - age_s,
        kind=kind,
        subject=subject,
        study_uid=uid,
        event=event,
        was=was,
        now=now,
        reason=reason,
    )


def ordinary_series(ledger: Ledger, uid: str) -> None:
    add_series(
        ledger,
        uid,
        1,
        "localizer",
        "none",
        instances=9,
        completeness="9 of 9 instances",
        reason="three planes, 8 mm slices, TE 3 ms",
    )
    add_series(ledger, uid, 2, "T1", "brain", reason="3D inversion-prepared gradient echo, TI 900 ms, TR 2300 ms")
    add_series(ledger, uid, 3, "DWI", "brain", instances=4680, completeness="4680 of 4680 instances", reason=DWI_REASON)
    add_series(
        ledger,
        uid,
        4,
        "derived",
        "brain",
        instances=72,
        completeness="72 of 72 instances",
        reason="ImageType DERIVED\\PRIMARY\\DIFFUSION\\ADC: made by the scanner",
    )


def busy(ledger: Ledger) -> None:
    """One study is coming, one runs, one waits for planning, several are delivered."""
    insert(ledger, associations, association_id="a1", calling_ae="MR3T", address="10.20.1.5", started_at=NOW - 42)
    coming = add_study(ledger, 1, "receiving", 40, reason="", version=1)
    add_series(ledger, coming, 1, None, None, instances=9, completeness="")
    add_series(ledger, coming, 2, None, None, instances=77, completeness="")
    planned = add_study(ledger, 2, "settled", 300)
    add_series(ledger, planned, 2, None, None, state="settled")
    runs = add_study(ledger, 3, "running", 700, version=2, reason="2 of 2 analyses can run")
    ordinary_series(ledger, runs)
    add_job(ledger, runs, "dti", "running", "", started_at=NOW - 75, inputs=f'{{"dwi": "{runs}.3"}}')
    add_job(ledger, runs, "report", "waiting", "waits for dti")
    sending = add_study(ledger, 4, "finished", 1500)
    ordinary_series(ledger, sending)
    job = add_job(ledger, sending, "dti", "done", inputs=f'{{"dwi": "{sending}.3"}}')
    add_results(ledger, sending, job, {"pacs": ("queued", ""), "research": ("confirmed", "")}, queued_at=NOW - 20)
    for number in range(5, 12):
        uid = add_study(ledger, number, "finished", 5000 * number)
        ordinary_series(ledger, uid)
        job = add_job(ledger, uid, "dti", "done", inputs=f'{{"dwi": "{uid}.3"}}')
        add_results(ledger, uid, job, {"pacs": ("confirmed", ""), "research": ("confirmed", "")})


def failing(ledger: Ledger) -> None:
    """The PACS is down, a job is dead, a series is unsuitable, a class is refused, instances conflict."""
    busy(ledger)
    down = "HOSPITALPACS at 10.20.0.11:104 does not answer: nothing listens there, or the network is down"
    held = add_study(ledger, 20, "finished", 9000)
    ordinary_series(ledger, held)
    job = add_job(ledger, held, "dti", "done", inputs=f'{{"dwi": "{held}.3"}}')
    add_results(ledger, held, job, {"pacs": ("held", down)}, next_try_at=NOW + 1380, queued_at=NOW - 8000, attempts=6)
    dead = add_study(ledger, 21, "finished", 8000)
    ordinary_series(ledger, dead)
    add_job(
        ledger,
        dead,
        "dti",
        "dead",
        "more than 4096 MB of memory were needed (tried 3 times)",
        attempts=3,
        inputs=f'{{"dwi": "{dead}.3"}}',
    )
    unsuitable = add_study(ledger, 22, "finished", 7000)
    add_series(
        ledger,
        unsuitable,
        5,
        "DWI",
        "brain",
        instances=24,
        completeness="24 of 24 instances",
        reason="diffusion: b-values 0, 1000 s/mm2 in 3 directions",
    )
    add_series(
        ledger,
        unsuitable,
        6,
        "unknown",
        "none",
        instances=40,
        completeness="the headers do not say",
        reason="spin echo with no TE: nothing to tell T2 from PD by",
    )
    add_job(
        ledger,
        unsuitable,
        "dti",
        "unsuitable",
        "3 diffusion directions: a tensor needs at least 6",
        inputs=f'{{"dwi": "{unsuitable}.5"}}',
    )
    job = add_job(ledger, unsuitable, "report", "done")
    refused = "ORTHANC at 10.20.4.7:4242 does not accept Parametric Map Storage"
    add_results(ledger, unsuitable, job, {"research": ("refused", refused)})
    retried = add_study(ledger, 23, "running", 900, reason="1 of 1 analyses can run")
    ordinary_series(ledger, retried)
    add_job(
        ledger,
        retried,
        "dti",
        "failed",
        "the worker was lost",
        attempts=2,
        next_try_at=NOW + 55,
        inputs=f'{{"dwi": "{retried}.3"}}',
    )
    conflict = "the same SOP Instance UID with other bytes: the first was kept"
    common = {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4", "state": "quarantined", "size": 1, "sha256": ""}
    for number in range(3):
        insert(
            ledger, instances, sop_instance_uid=f"{retried}.3.{number}", series_uid=f"{retried}.3", study_uid=retried,
            reason=conflict, path=f"quarantine/{number}", received_at=NOW - 800, **common,
        )  # fmt: skip
