"""The supervisor keeps its processes running, ends them in order, and takes them with it when it dies."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from service import supervise
from service.supervise import MODULES, Child

PATIENCE_S = 30.0
# stands in for a process: says that it runs, and ends on SIGTERM unless told to ignore it
OBEDIENT = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def child(code: str) -> Child:
    return Child("stand-in", (sys.executable, "-c", code))


class Served:
    """`supervise.serve` in a process of its own, with stand-ins for the modules that it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "betz.toml").write_text(f'[spool]\npath = "{folder / "spool"}"\n[receive]\nprocesses = 2\n')
        (folder / "obedient.py").write_text(
            "import os, pathlib\n"
            "def run(config, stop):\n"
            "    mark = pathlib.Path(config.spool.path).parent / f'{os.getpid()}.runs'\n"
            "    mark.touch()\n"
            "    stop.wait()\n"
            "    mark.rename(mark.with_suffix('.drained'))\n"
        )
        (folder / "serve.py").write_text(
            "import pathlib, sys\n"
            "from service import supervise\n"
            "supervise.MODULES = dict.fromkeys(supervise.MODULES, 'obedient')\n"
            "if len(sys.argv) > 2:\n"
            "    sys.exit(supervise.main(sys.argv[1:]))\n"
            "supervise.command = lambda *parts: (sys.executable, __file__, *parts)\n"
            "sys.exit(supervise.serve(pathlib.Path(sys.argv[1])))\n"
        )
        environment = {**os.environ, "PYTHONPATH": f"{folder}:{Path(supervise.__file__).parents[1]}"}
        with (folder / "log").open("wb") as log:
            command = (sys.executable, str(folder / "serve.py"), str(folder / "betz.toml"))
            self.process = subprocess.Popen(command, stderr=log, env=environment)

    def running(self) -> list[int]:
        """Pids of the children that say they run."""
        return sorted(int(mark.stem) for mark in self.folder.glob("*.runs") if psutil.pid_exists(int(mark.stem)))

    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path)
    try:
        until(lambda: len(one.running()) == len(MODULES) + 1)
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_sigterm_drains_every_process_and_ends_with_zero(served: Served) -> None:
    before = served.running()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(PATIENCE_S) == 0, served.log()
    assert sorted(int(mark.stem) for mark in served.folder.glob("*.drained")) == before


def test_a_process_that_dies_is_replaced_and_the_others_never_notice(served: Served) -> None:
    first, *others = served.running()
    os.kill(first, signal.SIGKILL)
    until(lambda: len(set(served.running()) - {first}) == len(others) + 1)
    assert set(others) < set(served.running())
    assert "process.died" in served.log()


def test_when_the_supervisor_is_killed_its_processes_drain_and_end(served: Served) -> None:
    before = served.running()
    served.process.kill()
    served.process.wait()
    until(lambda: len(list(served.folder.glob("*.drained"))) == len(before))
    until(lambda: not any(psutil.pid_exists(pid) for pid in before))


def test_a_wrong_configuration_is_said_and_nothing_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "betz.toml").write_text('[spool]\npath = "/x"\nreserve = 3\n')
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert supervise.serve(tmp_path / "betz.toml") == 2
    assert "betz.toml:3: spool.reserve: there is no such key; did you mean reserve_mb?" in capsys.readouterr().err
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


def test_a_process_that_keeps_dying_waits_longer_each_time_up_to_a_limit() -> None:
    one, now, waits = child("raise SystemExit(3)"), 0.0, []
    for _ in range(7):
        one.look(now)
        assert one.process is not None
        one.process.wait()
        one.look(now)
        waits.append(one.start_at - now)
        one.look(one.start_at - 0.1)
        assert one.process is None, "not before its time"
        now = one.start_at
    assert waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_process_that_lived_long_is_started_again_soon() -> None:
    one = child("raise SystemExit(3)")
    one.wait_s = 30.0
    one.look(0.0)
    assert one.process is not None
    one.process.wait()
    one.look(supervise.HEALTHY_AFTER_S)
    assert one.start_at == supervise.HEALTHY_AFTER_S + supervise.FIRST_WAIT_S


def test_what_does_not_end_in_time_is_killed_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "DRAIN_S", 0.5)
    good, bad = (
        child(OBEDIENT),
        child(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n" + STUBBORN),
    )
    for one in (good, bad):
        one.start(0.0)
    assert good.process is not None
    assert bad.process is not None
    until(lambda: bool(psutil.Process(bad.process.pid).children()) if bad.process else False)
    (grandchild,) = psutil.Process(bad.process.pid).children()
    time.sleep(1.0)  # until both have set their handlers
    assert supervise._drain([good, bad]) == 1
    assert good.process.returncode == 0
    assert bad.process.returncode == -signal.SIGKILL
    until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_every_process_of_the_table_can_be_run() -> None:
    for name, module in MODULES.items():
        assert callable(importlib.import_module(module).run), name
