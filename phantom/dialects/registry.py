"""Every dialect's writer."""

from __future__ import annotations

from phantom.dialects import philips, philips_enhanced, xa
from phantom.dialects.series import Writer
from phantom.examination import Dialect

WRITERS: dict[Dialect, Writer] = {
    Dialect.PHILIPS: philips.write,
    Dialect.PHILIPS_ENHANCED: philips_enhanced.write,
    Dialect.SIEMENS_XA: xa.write,
}
