"""The supervisor of `betz serve`: starts the processes, replaces those that die, ends all of them on SIGTERM.

Each child is `python -m service.supervise <process> <config>` and calls that module's `run(config, stop)`.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service import log
from service.config import Config, ConfigError, load
from service.fault import path_to

LOG = logging.getLogger("betz.supervise")

MODULES = {
    "receive": "service.receive",
    "conduct": "service.conduct",
    "deliver": "service.deliver",
    "status": "service.status.app",
}
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0  # before a child that died is started again
HEALTHY_AFTER_S = 60.0  # a child that lived this long starts again at once
DRAIN_S = 30.0  # for children to end after SIGTERM
LOOK_EVERY_S = 0.1
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class Child:
    """One process that must run."""

    name: str
    command: Sequence[str]
    wait_s: float = FIRST_WAIT_S
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0  # monotonic
    start_at: float = field(default=0.0)  # monotonic: not before

    def start(self, now: float) -> None:
        """Start the process in a session of its own, so that everything it starts can be ended with it."""
        self.process = subprocess.Popen(self.command, start_new_session=True, stdin=subprocess.DEVNULL)
        self.started_at = now
        LOG.info("process.started name=%s pid=%d", self.name, self.process.pid)

    def look(self, now: float) -> None:
        """Start the process when it does not run and its wait is over."""
        if self.process is None:
            if now >= self.start_at:
                self.start(now)
            return
        code = self.process.poll()
        if code is None:
            return
        self.kill_rest()
        self.wait_s = FIRST_WAIT_S if now - self.started_at >= HEALTHY_AFTER_S else min(2 * self.wait_s, LONGEST_WAIT_S)
        LOG.error("process.died name=%s pid=%d code=%d again_in_s=%.0f", self.name, self.process.pid, code, self.wait_s)
        self.start_at = now + self.wait_s
        self.process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, when it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill_rest(self) -> None:
        """End what the process left in its session."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return


def serve(config_path: Path) -> int:
    """Run all processes of Betz until SIGTERM or SIGINT; 0 = ended in order, 1 = some had to be killed, 2 = config."""
    try:
        config = load(config_path)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log.to_stderr("supervise")
    stop = _stop_on_signals()
    children = _children(config, config_path)
    while not stop.is_set():
        for child in children:
            child.look(time.monotonic())
        stop.wait(LOOK_EVERY_S)
    return _drain(children)


def _children(config: Config, config_path: Path) -> list[Child]:
    names = ["receive"] * config.receive.processes + [name for name in MODULES if name != "receive"]
    path = str(config_path.resolve())
    return [Child(name, command(name, path, str(os.getpid()))) for name in names]


def command(*arguments: str) -> tuple[str, ...]:
    """Command line of a child."""
    return (sys.executable, "-P", "-m", "service.supervise", *arguments)


def _drain(children: Sequence[Child]) -> int:
    """SIGTERM to all, `DRAIN_S` for them to end, SIGKILL to the rest."""
    LOG.info("draining")
    for child in children:
        child.signal(signal.SIGTERM)
    until = time.monotonic() + DRAIN_S
    killed = 0
    for child in children:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            LOG.error("process.killed name=%s pid=%d", child.name, child.process.pid)
            killed += 1
        child.kill_rest()
        child.process.wait()
    LOG.info("ended killed=%d", killed)
    return 1 if killed else 0


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _die_with(parent: int) -> None:
    """Have the kernel send SIGTERM when the supervisor ends, however it ends; it may have ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    """`<process> <config> [<pid of the supervisor>]`: run one process until SIGTERM."""
    name, config_path = arguments[0], Path(arguments[1])
    log.to_stderr(name)
    stop = _stop_on_signals()
    if len(arguments) > 2:
        _die_with(int(arguments[2]))
    try:
        config = load(config_path)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    run: Callable[[Config, threading.Event], None] = importlib.import_module(MODULES[name]).run
    try:
        run(config, stop)
    except Exception as error:  # noqa: BLE001  rim of a process: said once, then the supervisor starts it again
        LOG.critical("process.failed error=%s", path_to(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
