"""Read-only pages for people (`/`, `/study/UID`), probes (`/healthz`, `/readyz`), machines (`/status`, `/metrics`).

No patient's name or number, no JavaScript, nothing from elsewhere; loopback unless configured.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import asdict
from functools import partial
from typing import Any

import sqlalchemy as sa
from flask import Flask, Response, abort, jsonify, render_template, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from waitress import wasyncore
from waitress.server import create_server
from waitress.trigger import trigger
from werkzeug.exceptions import HTTPException

from service.config import Config
from service.ledger import Ledger
from service.metrics import registry
from service.status import wording
from service.status.attention import attention
from service.status.overview import overview
from service.status.readiness import conditions
from service.status.study import series_name, study

REFRESH_S = 15
THREADS = 4
STUDY_UID = re.compile(r"[0-9A-Za-z.-]{1,64}")  # a UID, or the digest that stands for an impossible one
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# the colour of a state; the word always stands beside it
TONES = {
    "good": ("done", "finished", "confirmed", "classified", "stored", "idle"),
    "busy": ("running", "sending", "sent", "receiving", "working", "planned"),
    "wait": ("waiting", "queued", "settled", "open"),
    "warn": ("held", "failed", "unsuitable", "quarantined", "unknown"),
    "bad": ("dead", "refused"),
    "past": ("superseded", "withdrawn", "duplicate"),
}
TONE_OF = {state: tone for tone, states in TONES.items() for state in states}


class Source:
    """The ledger, opened when it is first needed and again after it was away."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None

    def __call__(self) -> Ledger:
        """Return the open ledger; raises what opening it raises."""
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self._config.ledger_url)
            return self._ledger

    def close(self) -> None:
        """Give its connections back."""
        with self._lock:
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None


def run(config: Config, stop: threading.Event) -> None:
    """Serve until `stop`."""
    app = create_app(config)
    opened: dict[int, Any] = {}  # everything that the server's loop watches
    server = create_server(app, opened, host=config.status.host, port=config.status.port, threads=THREADS, ident=None)
    thread = threading.Thread(target=server.run, name="status", daemon=True)
    thread.start()
    stop.wait()
    # closed in the server's own thread, woken by its trigger: the loop ends when nothing is open any more
    for waker in [one for one in opened.values() if isinstance(one, trigger)]:
        waker.pull_trigger(partial(wasyncore.close_all, opened))
    thread.join(THREADS)
    server.task_dispatcher.shutdown()
    app.extensions["ledger"].close()


def create_app(config: Config) -> Flask:
    """The application; the ledger need not be there yet."""
    app = Flask(__name__)
    ledger = app.extensions["ledger"] = Source(config)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals |= {
        "tone": lambda state: TONE_OF.get(state, "wait"),
        "series_name": series_name,
        "now": time.time,
    }
    app.jinja_env.filters |= {
        name: getattr(wording, name) for name in ("short_uid", "duration", "moment", "iso", "size", "count", "sentence")
    }
    _pages(app, config, ledger)
    _probes(app, config, ledger)
    app.after_request(_harden)
    app.register_error_handler(HTTPException, _page_of_error)
    app.register_error_handler(sa.exc.SQLAlchemyError, _page_of_ledger)
    return app


def _pages(app: Flask, config: Config, ledger: Source) -> None:
    @app.get("/")
    def index() -> str:
        seen = overview(ledger(), config, time.time())
        still = "still" in request.args
        return render_template(
            "overview.html",
            seen=seen,
            needs=attention(ledger(), seen),
            refresh_s=0 if still else REFRESH_S,
            config=config,
        )

    @app.get("/study/<study_uid>")
    def one_study(study_uid: str) -> str:
        found = study(ledger(), study_uid) if STUDY_UID.fullmatch(study_uid) else None
        if found is None:
            abort(404, "Betz knows no study with this UID.")
        return render_template("study.html", study=found, refresh_s=0)


def _probes(app: Flask, config: Config, ledger: Source) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        asked = list(conditions(config, ledger))
        ready = all(one.met for one in asked)
        return jsonify(ready=ready, conditions=[asdict(one) for one in asked]), 200 if ready else 503

    @app.get("/status")
    def status() -> Response:
        seen = overview(ledger(), config, time.time())
        return jsonify(
            {"schema": 1, **_plain(asdict(seen)), "attention": [asdict(one) for one in attention(ledger(), seen)]}
        )

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry(ledger(), config)), content_type=CONTENT_TYPE_LATEST)


def _plain(value: Any) -> Any:
    """Pairs of (name, number) as objects: what a reader of JSON expects."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        if value and all(isinstance(one, tuple) and len(one) == 2 for one in value):
            return dict(value)
        return [_plain(one) for one in value]
    return value


def _harden(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if not request.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-store"
    return response


def _page_of_error(error: HTTPException) -> tuple[str, int]:
    code = error.code or 500
    return render_template("error.html", title=error.name, sentence=error.description, refresh_s=0), code


def _page_of_ledger(_error: sa.exc.SQLAlchemyError) -> tuple[str, int]:
    sentence = "The ledger cannot be reached. What was received is safe in the spool; this page looks again by itself."
    return render_template("error.html", title="The ledger is away", sentence=sentence, refresh_s=REFRESH_S), 503
