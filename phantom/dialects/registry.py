"""Every dialect's writer."""

from __future__ import annotations

from phantom.dialects import ge, philips, philips_enhanced, siemens, xa
from phantom.dialects.series import Writer
from phantom.examination import Dialect

WRITERS: dict[Dialect, Writer] = {
    Dialect.PHILIPS: philips.write,
    Dialect.PHILIPS_ENHANCED: philips_enhanced.write,
    Dialect.SIEMENS: siemens.write,
    Dialect.SIEMENS_XA: xa.write,
    Dialect.GE: ge.write,
}
