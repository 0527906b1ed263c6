"""What is this series? A site's own table, then physics, then names where physics leaves a choice.

Every rule is a small function from a `View` to a `Finding` or None; the first that speaks decides. The reason is a
sentence for a radiologist; evidence lists the facts it stands on. What no rule knows is unknown, and stays unanalysed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analyses.contract import Body, RoleKind
from dicom_io import body, contrast, purpose
from dicom_io.finding import Finding, timing
from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.view import View, view


@dataclass(frozen=True, slots=True)
class SiteRule:
    """A site's own word; regular expressions, all that are given must match."""

    role: str
    body: str = "brain"
    manufacturer: str = ""
    series_description: str = ""
    protocol_name: str = ""
    sequence_name: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """What a series is, of which part of the body, and why."""

    kind: RoleKind
    body: Body
    phantom: bool
    reason: str
    evidence: tuple[str, ...] = ()


Rule = Callable[[View], Finding | None]

# in this order; each knows its own kind of series and is silent about all others
RULES: tuple[Rule, ...] = (
    purpose.no_image,
    purpose.spectrum,
    purpose.derived,
    purpose.localizer,
    purpose.perfusion,
    purpose.diffusion,
    purpose.field_map,
    purpose.echo_planar,
    contrast.structural,
)

# names that choose among kinds that physics leaves open
NAMES: dict[RoleKind, re.Pattern[str]] = {
    RoleKind.TASK_BOLD: re.compile(r"\btask|motor|finger|tapping|paradigm|visual|language|nback|stroop|checker", re.I),
    RoleKind.REST_BOLD: re.compile(r"\brest|rsfmri|rs.?fmri|fc.?mri|resting|rfmri", re.I),
    RoleKind.MT_OFF: re.compile(r"\b(mt.?(off|0)|no.?mt|without.?mt|mt.?-|mtc?.?off|gre.?mt0)\b", re.I),
    RoleKind.FLAIR: re.compile(r"flair|dark.?fluid|tirm", re.I),
    RoleKind.T1: re.compile(r"\bt1|mprage|bravo", re.I),
    RoleKind.T2: re.compile(r"\bt2(?!.?\*|star|.?flair)", re.I),
    RoleKind.PD: re.compile(r"\b(pd|proton|dp)\b|pdw", re.I),
}


def classify(series: SeriesHeader, rules: Sequence[SiteRule] = ()) -> Role:
    """Role of a series; a site's rule that matches decides before physics."""
    looked = view(series)
    ruled = next((rule for rule in rules if _matches(rule, series.first)), None)
    if ruled is not None:
        return _by_site(ruled, looked)
    finding = next((found for rule in RULES if (found := rule(looked)) is not None), UNKNOWN)
    kind, named = _name_choice(finding, looked.names)
    part, because = body.body(looked, kind)
    no_patient = because if part is Body.PHANTOM else _digital(looked)
    reason = f"{finding.sentence}; {named}" if named else finding.sentence
    if no_patient:
        reason = f"{reason}; no patient: {no_patient}"
    return Role(kind, part, bool(no_patient), reason, _evidence(looked, because))


def classify_all(study: Sequence[SeriesHeader], rules: Sequence[SiteRule] = ()) -> tuple[Role, ...]:
    """Roles of all series of a study; what one series cannot tell alone, its partner does (MT off by MT on)."""
    roles = tuple(classify(series, rules) for series in study)
    on = [series for series, role in zip(study, roles, strict=True) if role.kind is RoleKind.MT_ON]
    return tuple(
        _without_pulse(role, series, on) if role.kind in MAY_BE_MT_OFF else role
        for series, role in zip(study, roles, strict=True)
    )


MAY_BE_MT_OFF = (RoleKind.T1, RoleKind.PD)
TIMING_TOLERANCE = 1e-3  # a partner repeats TR, TE and flip angle but for rounding


def _without_pulse(role: Role, series: SeriesHeader, on: Sequence[SeriesHeader]) -> Role:
    partner = next((other for other in on if _same_protocol(series, other)), None)
    if partner is None:
        return role
    number = partner.first.series_number
    reason = f"the same gradient echo as series {number if number is not None else 'with MT'}, without its MT pulse"
    return replace(role, kind=RoleKind.MT_OFF, reason=reason, evidence=(*role.evidence, f"before: {role.reason}"))


def _same_protocol(a: SeriesHeader, b: SeriesHeader) -> bool:
    def told(series: SeriesHeader) -> tuple[object, ...]:
        first = series.first
        return first.study_uid, first.rows, first.columns, first.three_d, first.scanning_sequence

    def timed(series: SeriesHeader) -> tuple[float, ...]:
        first = series.first
        te = next((frame.te_ms for frame in first.frames), None)
        spacing = first.pixel_spacing_mm or (0.0, 0.0)
        return (first.tr_ms or 0.0, te or 0.0, first.flip_deg or 0.0, *spacing, first.slice_thickness_mm or 0.0)

    near = zip(timed(a), timed(b), strict=True)
    return told(a) == told(b) and all(abs(x - y) <= TIMING_TOLERANCE * max(abs(x), abs(y)) for x, y in near)


UNKNOWN = Finding(RoleKind.UNKNOWN, "the headers do not tell how this was acquired")


def _name_choice(finding: Finding, names: str) -> tuple[RoleKind, str]:
    """The kind that a name picks among those that physics leaves open, and a clause that says so."""
    for kind in finding.open_to:
        found = NAMES[kind].search(names)
        if found:
            return kind, f"its name ({found[0].strip()}) says {kind.value}"
    return finding.kind, ""


def _matches(rule: SiteRule, first: InstanceHeader) -> bool:
    asked = (
        (rule.manufacturer, first.manufacturer),
        (rule.series_description, first.series_description),
        (rule.protocol_name, first.protocol_name),
        (rule.sequence_name, first.sequence_name),
    )
    given = [(pattern, text) for pattern, text in asked if pattern]
    return bool(given) and all(re.search(pattern, text, re.IGNORECASE) for pattern, text in given)


def _by_site(rule: SiteRule, looked: View) -> Role:
    object_because = body.phantom(looked)
    part = Body.PHANTOM if object_because else Body(rule.body)
    no_patient = object_because or _digital(looked)
    reason = "the site's own table says so" + (f"; no patient: {no_patient}" if no_patient else "")
    return Role(RoleKind(rule.role), part, bool(no_patient), reason, _evidence(looked, "the site's own table"))


def _digital(looked: View) -> str:
    return "the digital patient" if body.is_digital_patient(looked) else ""


def _evidence(looked: View, body_because: str) -> tuple[str, ...]:
    """The facts behind the reason, one a line, for `betz explain`."""
    first, arranged = looked.first, looked.arranged
    sequence = "\\".join((*first.scanning_sequence, *first.sequence_variant))
    facts = (
        f"sequence {sequence or 'not said'} {looked.sequence}".strip(),
        timing(first.tr_ms, looked.te_ms, first.flip_deg, first.ti_ms),
        f"{arranged.slices} slices, {arranged.volumes} volumes, {len(arranged.echoes_ms)} echoes",
        f"image type {' '.join(first.image_type)}" if first.image_type else "",
        f"body: {body_because}",
    )
    return tuple(fact for fact in facts if fact)
