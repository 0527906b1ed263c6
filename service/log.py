"""Log lines of the processes: one line each on stderr, time, level, process, event and key=value; UIDs, never names."""

from __future__ import annotations

import logging
import sys
import time

QUIET = ("pynetdicom", "pydicom", "distributed", "dask", "bokeh", "matplotlib", "waitress")


def to_stderr(process: str) -> None:
    """Send this process' log lines to stderr; libraries only say what went wrong, pynetdicom not even that.

    pynetdicom logs the contents of messages, among them patients' names; what matters of it we log ourselves.
    """
    handler = logging.StreamHandler(sys.stderr)
    form = logging.Formatter(f"%(asctime)sZ %(levelname)s {process}[%(process)d] %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler.setFormatter(form)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for library in QUIET:
        logging.getLogger(library).setLevel(logging.ERROR)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
