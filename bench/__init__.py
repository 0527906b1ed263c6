"""Betz against its peers: `python -m bench [PREFIX ...]` prints one row per target and writes bench/out/results.json.

Each module of `MODULES` has `rows() -> Iterator[Row]`; a peer is always measured in the same run, on the same data.
"""

MODULES = ("route", "dti", "path", "phantom")
