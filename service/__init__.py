"""Processes, spool, ledger, engine, delivery, status, configuration, command line."""

from importlib.metadata import version as _version

__version__ = _version("betz")
