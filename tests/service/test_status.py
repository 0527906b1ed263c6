"""The status pages: what they say, what they never say, and that they work in a real browser without anything else."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service.config import Config
from service.ledger import Ledger
from service.states import DeliveryState, JobState, StudyState
from service.status import app, wording
from service.status.overview import overview, study_lines
from service.status.study import study
from tests.service import scenes
from tests.service.conftest import free_port

CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# elements that HTML leaves open
VOID = {"meta", "link", "br", "img", "hr", "input"}


@pytest.fixture
def made_for(tmp_path: Path) -> Config:
    return scenes.site(tmp_path, free_port())


@pytest.fixture
def ledger(made_for: Config) -> Iterator[Ledger]:
    scenes.NOW = time.time()
    one = Ledger(made_for.ledger_url)
    yield one
    one.close()


@pytest.fixture
def client(made_for: Config, ledger: Ledger) -> Iterator[FlaskClient]:
    made = app.create_app(made_for)
    yield made.test_client()
    made.extensions["ledger"].close()


@contextmanager
def serving(made_for: Config) -> Iterator[str]:
    stop = threading.Event()
    thread = threading.Thread(target=app.run, args=(made_for, stop))
    thread.start()
    address = f"http://127.0.0.1:{made_for.status.port}"
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(address + "/healthz", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield address
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive(), "the status server did not stop"


class Outline(HTMLParser):
    """Fails on elements that are not closed in order; collects ids, links and label targets."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labelled: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.labelled += [found["aria-labelledby"] or ""] if "aria-labelledby" in found else []
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    assert not found.open
    return found


def test_an_empty_betz_says_how_to_reach_it(client: FlaskClient) -> None:
    page = client.get("/").text
    assert "No study has come yet" in page
    assert "BETZ" in page
    assert "11112" in page
    assert "Nothing needs a person" in page


def test_a_busy_betz_says_what_waits_for_what(ledger: Ledger, made_for: Config) -> None:
    scenes.busy(ledger)
    lines = {line.study_uid: line for line in study_lines(ledger, made_for, scenes.NOW)}
    assert "the sender" in lines[scenes.study_uid(1)].waits
    assert lines[scenes.study_uid(2)].waits == "classification and planning"
    assert lines[scenes.study_uid(3)].waits == "dti, running"
    assert lines[scenes.study_uid(4)].waits == "4 objects to reach pacs"
    assert lines[scenes.study_uid(5)].waits == ""


def test_what_needs_a_person_comes_with_what_to_do(client: FlaskClient, ledger: Ledger) -> None:
    scenes.failing(ledger)
    page = client.get("/").text
    assert "4 things need a person" in page
    assert f"betz replay dti-{scenes.study_uid(21)[-8:]}" in page
    assert "HOSPITALPACS at 10.20.0.11:104 does not answer" in page
    assert "does not accept Parametric Map Storage" in page
    assert "3 instances in quarantine" in page


def test_unfinished_studies_come_first(ledger: Ledger, made_for: Config) -> None:
    scenes.failing(ledger)
    states = [line.state for line in study_lines(ledger, made_for, scenes.NOW)]
    assert states.index(StudyState.FINISHED) == 4
    assert set(states[4:]) == {StudyState.FINISHED}
    stuck = scenes.add_study(ledger, 30, "running", 900_000)
    assert stuck in [line.study_uid for line in study_lines(ledger, made_for, scenes.NOW)[:5]], "however old it is"


def test_the_numbers_are_those_of_the_ledger(ledger: Ledger, made_for: Config) -> None:
    scenes.failing(ledger)
    seen = overview(ledger, made_for, scenes.NOW)
    assert seen.jobs_by_state[JobState.DEAD] == 1
    assert seen.jobs_by_state[JobState.FAILED] == 1
    assert seen.deliveries_by_state[DeliveryState.HELD] == 4
    assert seen.deliveries_by_state[DeliveryState.REFUSED] == 3
    pacs, research = seen.destinations
    assert (pacs.state, research.state) == ("held", "idle")
    assert pacs.next_try_at == pytest.approx(scenes.NOW + 1380)
    assert [one.calling_ae for one in seen.associations] == ["MR3T"]
    assert seen.oldest_delivery_at == pytest.approx(scenes.NOW - 8000)


def test_a_destination_that_left_the_configuration_is_not_forgotten(ledger: Ledger, made_for: Config) -> None:
    uid = scenes.add_study(ledger, 1, "finished", 10)
    scenes.add_results(ledger, uid, "job", {"old-pacs": ("queued", "")})
    seen = overview(ledger, made_for, scenes.NOW)
    gone = seen.destinations[-1]
    assert (gone.name, gone.state) == ("old-pacs", "unknown")
    assert any("old-pacs, which is not in the configuration" in one.what for one in app.attention(ledger, seen))


def test_a_short_absence_of_a_destination_is_nobodys_business(ledger: Ledger, made_for: Config) -> None:
    uid = scenes.add_study(ledger, 1, "finished", 10)
    scenes.add_results(ledger, uid, "job", {"pacs": ("held", "no answer")}, queued_at=scenes.NOW - 60)
    assert app.attention(ledger, overview(ledger, made_for, scenes.NOW)) == ()


def test_a_study_page_tells_roles_reasons_jobs_and_ways(client: FlaskClient, ledger: Ledger) -> None:
    scenes.failing(ledger)
    page = client.get(f"/study/{scenes.study_uid(22)}").text
    for told in (
        "diffusion: b-values 0, 1000 s/mm2 in 3 directions",
        "3 diffusion directions: a tensor needs at least 6",
        "24 of 24 instances",
        "2 × Parametric Map Storage",
        "no destination takes this kind",
        "refused input",
    ):
        assert told in page


def test_many_slices_are_one_line(ledger: Ledger) -> None:
    scenes.busy(ledger)
    found = study(ledger, scenes.study_uid(5))
    assert found is not None
    assert [(one.kind, one.objects) for one in found.results] == [("map", 2), ("sr", 1), ("page", 1)]
    assert ("map to pacs", 2) in {(one.subject, one.times) for one in found.happenings}


def test_an_unknown_study_is_a_page_not_a_traceback(client: FlaskClient) -> None:
    for address in ("/study/1.2.3", "/study/..%2f..%2fetc", "/study/" + "1" * 65, "/nothing"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "<h2>Not Found</h2>" in answer.text


def test_nothing_about_a_patient_and_no_full_uid_in_the_text(client: FlaskClient, ledger: Ledger) -> None:
    scenes.failing(ledger)
    page = client.get("/").text
    shown = re.sub(r'href="[^"]*"', "", page)
    assert scenes.study_uid(20) not in shown
    assert wording.short_uid(scenes.study_uid(20)) in shown
    assert "description" not in client.get(f"/study/{scenes.study_uid(22)}").text.lower()


def test_pages_are_well_formed_and_take_nothing_from_elsewhere(client: FlaskClient, ledger: Ledger) -> None:
    scenes.failing(ledger)
    for address in ("/", "/?still", f"/study/{scenes.study_uid(22)}", "/nothing"):
        page = client.get(address).text
        found = outline(page)
        assert len(found.ids) == len(set(found.ids))
        assert set(found.labelled) <= set(found.ids)
        assert all(one.startswith(("/", "#", "?")) for one in found.addresses)
        assert "<script" not in page
        assert "style=" not in page, "the content security policy would drop it"


def test_reasons_cannot_bring_markup(client: FlaskClient, ledger: Ledger) -> None:
    uid = scenes.add_study(ledger, 1, "finished", 10)
    scenes.add_job(ledger, uid, "dti", "dead", "<script>alert(1)</script>")
    for address in ("/", f"/study/{uid}"):
        assert "&lt;script&gt;" in client.get(address).text


def test_every_answer_is_hardened_and_nothing_can_be_written(client: FlaskClient) -> None:
    for address in ("/", "/healthz", "/readyz", "/status", "/metrics", "/static/betz.css", "/nothing"):
        answer = client.get(address, buffered=True)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for method in (client.post, client.put, client.delete):
            assert method(address).status_code in (404, 405)


def test_ready_means_ledger_spool_and_disk(made_for: Config, client: FlaskClient) -> None:
    assert client.get("/healthz").text == "ok\n"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert [one["name"] for one in ready.json["conditions"]] == ["ledger", "spool", "disk"]
    made_for.spool.path.rmdir()
    unready = client.get("/readyz")
    assert unready.status_code == 503
    assert [one["name"] for one in unready.json["conditions"] if not one["met"]] == ["spool", "disk"]
    assert "The spool is not there" in client.get("/").text


def test_below_the_reserve_the_page_says_that_nothing_is_received(made_for: Config, ledger: Ledger) -> None:
    full = made_for.model_copy(update={"spool": made_for.spool.model_copy(update={"reserve_mb": 2**40})})
    client = app.create_app(full).test_client()
    assert client.get("/readyz").status_code == 503
    assert "Nothing is received" in client.get("/").text
    client.application.extensions["ledger"].close()


def test_a_ledger_that_is_away_leaves_the_page_standing(tmp_path: Path) -> None:
    made_for = scenes.site(tmp_path)
    away = made_for.model_copy(update={"ledger": made_for.ledger.model_copy(update={"url": f"sqlite:///{tmp_path}"})})
    client = app.create_app(away).test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    page = client.get("/")
    assert page.status_code == 503
    assert "The ledger is away" in page.text


def test_status_is_the_same_in_json(client: FlaskClient, ledger: Ledger) -> None:
    scenes.failing(ledger)
    told = json.loads(client.get("/status").text)
    assert told["schema"] == 1
    assert told["jobs_by_state"]["dead"] == 1
    assert told["destinations"][0]["counts"] == {"queued": 4, "held": 4, "confirmed": 28}
    assert {one["what"] for one in told["attention"]} >= {"dti is dead", "research refused 3 objects"}


@pytest.mark.parametrize(
    ("seconds", "words"), [(-3, "0 s"), (59, "59 s"), (61, "1 min"), (7265, "2 h 01 min"), (190_000, "2 d 4 h")]
)
def test_durations_read_as_a_person_says_them(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


def test_sizes_and_uids_are_short() -> None:
    assert [wording.size(n) for n in (0, 999, 1500, 81_000_000_000)] == ["0 B", "999 B", "1.5 kB", "81 GB"]
    assert wording.short_uid("1.2.840.113619.2.5.1762583153") == "…62583153"


@pytest.mark.integration
def test_chromium_shows_the_page_as_it_is_meant(
    program: Callable[[str], str], made_for: Config, ledger: Ledger, tmp_path: Path
) -> None:
    scenes.failing(ledger)
    with serving(made_for) as address:
        command = [
            program("chromium"),
            *CHROMIUM,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            address + "/?still",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    dom = done.stdout
    assert re.search(r"<title>4 to see to · Betz at Neurology, example site</title>", dom)
    assert dom.count("<tr>") == 2 + 1 + 15 + 1 + 3 + 1, "destinations, studies and jobs with their heads"
    assert 'class="chip bad"' in dom
    assert "Content Security Policy" not in done.stderr


@pytest.mark.integration
def test_the_server_listens_where_it_was_told_and_stops(made_for: Config, ledger: Ledger) -> None:
    with serving(made_for) as address:
        with urllib.request.urlopen(address + "/", timeout=5) as answer:
            assert answer.status == 200
            assert "waitress" not in (answer.headers.get("Server") or "")
        with urllib.request.urlopen(address + "/static/betz.css", timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("text/css")
    with pytest.raises(OSError):
        urllib.request.urlopen(address + "/healthz", timeout=1)
