"""What the rules of classification look at: one series summed up in the terms of MR physics, and its names apart."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass

from dicom_io.frames import Component
from dicom_io.header import InstanceHeader, SeriesHeader
from dicom_io.layout import B0_LIMIT, Layout, layout

EPI_SEQUENCE = re.compile(r"epi|dwise|(^|[\s*])ep(fid|se|_|2d|3d|\d)", re.IGNORECASE)
GRADIENT_SEQUENCE = re.compile(
    r"epfid|feepi|ffe|tfe|fl[23]d|tfl|(^|[\s*])(fm|me|medic)2d|spgr|bravo|gre|mprage|b0map|ssfp|fisp|(^|\s)fe_?[23]?d",
    re.IGNORECASE,
)
SPIN_SEQUENCE = re.compile(
    r"epse|ep_b|diff|dwise|seepi|tse|spc|fse|cube|vista|haste|rare|(^|[\s*])se[\s_\d]", re.IGNORECASE
)
INVERSION_SEQUENCE = re.compile(r"tfl|tir|spcir|irtse|ir_?tse|mprage|bravo", re.IGNORECASE)
LONG_GRADIENT_TRAIN = 16  # echoes of one excitation: a 2D gradient echo with as many is echo planar
EXCITATION_DEG = 60.0  # below it, with a short TE, an unnamed sequence is a gradient echo
SHORT_TE_MS = 15.0


@dataclass(frozen=True, slots=True)
class View:
    """A series as physics sees it. `words` are those of Image Type that every instance has, in capitals."""

    first: InstanceHeader
    instances: int
    arranged: Layout
    words: frozenset[str]
    sequence: str  # the maker's names of the pulse sequence, not what a person typed
    echo_planar: bool
    spin_echo: bool
    gradient_echo: bool
    inverted: bool
    names: str  # what people typed: series description, protocol name
    study: str
    temperature_c: float | None  # median over the transients that tell

    @property
    def te_ms(self) -> float | None:
        """Shortest echo time."""
        return self.arranged.echoes_ms[0] if self.arranged.echoes_ms else None

    @property
    def three_d(self) -> bool:
        """Whether the excitation was three-dimensional; not said = no."""
        return bool(self.first.three_d)

    @property
    def weighted(self) -> tuple[float, ...]:
        """B-values of the diffusion-weighted volumes."""
        return tuple(b for b in self.arranged.bvalues if b > B0_LIMIT)

    @property
    def phase_only(self) -> bool:
        """No magnitude image in the series."""
        return Component.MAGNITUDE not in self.arranged.components

    @property
    def coarsest_mm(self) -> float:
        """Largest edge of a voxel, 0 when not said."""
        spacing = self.first.pixel_spacing_mm or (0.0, 0.0)
        return max(*spacing, self.first.slice_thickness_mm or 0.0)

    def has(self, *options: str) -> bool:
        """Whether sequence variant or scan options hold one of these words."""
        return not {*self.first.sequence_variant, *self.first.scan_options}.isdisjoint(options)


def view(series: SeriesHeader) -> View:
    """Sum up a series."""
    first, arranged = series.first, layout(series)
    words = frozenset.intersection(*(frozenset(map(str.upper, one.image_type)) for one in series.instances))
    sequence = f"{first.sequence_name} {first.pulse_sequence}".strip()
    kinds = first.scanning_sequence
    planar = "EP" in kinds or EPI_SEQUENCE.search(sequence) is not None or "EPI_GEMS" in first.scan_options
    short = (arranged.echoes_ms[0] if arranged.echoes_ms else SHORT_TE_MS) < SHORT_TE_MS
    gradient = GRADIENT_SEQUENCE.search(sequence) is not None
    spin = SPIN_SEQUENCE.search(sequence) is not None
    if gradient == spin:  # the name of the sequence is silent or torn: ask the standard element
        gradient, spin = "GR" in kinds, "SE" in kinds
    if gradient == spin:
        gradient = short and (first.flip_deg or 90.0) < EXCITATION_DEG
        spin = not gradient and not planar and "SE" in kinds
    train = first.echo_train or 1
    prepared = first.ti_ms is not None or "IR" in kinds or "MP" in first.sequence_variant
    if gradient and not first.three_d and train >= LONG_GRADIENT_TRAIN and not prepared:
        planar = True
    temperatures = [one.temperature_c for one in series.instances if one.temperature_c is not None]
    return View(
        first=first,
        instances=len(series.instances),
        arranged=arranged,
        words=words,
        sequence=sequence,
        echo_planar=planar,
        spin_echo=spin,
        gradient_echo=gradient,
        inverted=prepared or INVERSION_SEQUENCE.search(sequence) is not None,
        names=f"{first.series_description} {first.protocol_name}".replace("_", " "),
        study=first.study_description.replace("_", " "),
        temperature_c=statistics.median(temperatures) if temperatures else None,
    )
