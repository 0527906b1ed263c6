"""Roles from physics: one series as a scanner writes it, one claim about what it is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from analyses.contract import Body, RoleKind
from dicom_io.classify import Role, SiteRule, classify, classify_all
from dicom_io.contrast import white_over_grey
from dicom_io.header import read_folder
from phantom.examination import Dialect
from tests.dicom_io import synthetic as made

TSE = {"ScanningSequence": "SE", "SequenceVariant": ["SK", "SP"], "FlipAngle": 150.0, "EchoTrainLength": 15}
GRE = {"ScanningSequence": "GR", "SequenceVariant": "SP", "EchoTrainLength": 1}
EPI = {"ScanningSequence": ["EP", "GR"], "SequenceVariant": "SK", "MRAcquisitionType": "2D"}


def role_of(folder: Path, datasets: list[made.Dataset]) -> Role:
    return classify(made.series(folder, datasets))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (TSE | {"RepetitionTime": 5000, "EchoTime": 100}, RoleKind.T2),
        (TSE | {"RepetitionTime": 3200, "EchoTime": 408, "MRAcquisitionType": "3D"}, RoleKind.T2),
        (TSE | {"RepetitionTime": 2500, "EchoTime": 12}, RoleKind.PD),
        (TSE | {"RepetitionTime": 550, "EchoTime": 12}, RoleKind.T1),
        (TSE | {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500},
         RoleKind.FLAIR),
        (TSE | {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 5000, "EchoTime": 388, "InversionTime": 1650,
                "MRAcquisitionType": "3D"}, RoleKind.FLAIR),
        (TSE | {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 4000, "EchoTime": 50, "InversionTime": 220},
         RoleKind.UNKNOWN),  # STIR
        (TSE | {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 2000, "EchoTime": 10, "InversionTime": 860},
         RoleKind.T1),
        (GRE | {"ScanningSequence": ["GR", "IR"], "SequenceVariant": ["SK", "SP", "MP"], "RepetitionTime": 2300,
                "EchoTime": 2.98, "InversionTime": 900, "FlipAngle": 9, "MRAcquisitionType": "3D"}, RoleKind.T1),
        (GRE | {"SequenceVariant": ["SS", "SP", "SK"], "RepetitionTime": 8.2, "EchoTime": 3.2, "InversionTime": 450,
                "FlipAngle": 12, "MRAcquisitionType": "3D"}, RoleKind.T1),  # GE BRAVO
        (GRE | {"RepetitionTime": 25, "EchoTime": 4, "FlipAngle": 25, "MRAcquisitionType": "3D"}, RoleKind.T1),
        (GRE | {"RepetitionTime": 25, "EchoTime": 4, "FlipAngle": 4, "MRAcquisitionType": "3D"}, RoleKind.PD),
        (GRE | {"RepetitionTime": 28, "EchoTime": 20, "FlipAngle": 15, "MRAcquisitionType": "3D"}, RoleKind.UNKNOWN),
        (GRE | {"RepetitionTime": 3.1, "EchoTime": 1.4, "FlipAngle": 8, "MRAcquisitionType": "3D",
                "PixelSpacing": [1.6, 1.6], "SliceThickness": 1.6}, RoleKind.LOCALIZER),  # AutoAlign scout
        (GRE | {"SequenceVariant": ["SP", "MTC"], "RepetitionTime": 35, "EchoTime": 4, "FlipAngle": 9}, RoleKind.MT_ON),
        (GRE | {"SequenceVariant": ["SP", "MTC"], "ScanOptions": "FC", "RepetitionTime": 22, "EchoTime": 4,
                "FlipAngle": 18, "MRAcquisitionType": "3D", "PixelSpacing": [0.5, 0.5], "Rows": 512},
         RoleKind.UNKNOWN),  # TOF
        (GRE | {"SequenceVariant": "SS", "RepetitionTime": 5, "EchoTime": 2.5, "FlipAngle": 60}, RoleKind.UNKNOWN),
    ],
)  # fmt: skip
def test_structural_contrast_follows_from_timing(tmp_path: Path, values: dict[str, object], expected: RoleKind) -> None:
    role = role_of(tmp_path, made.stack(3, **values))
    assert role.kind is expected, role.reason
    assert role.body is Body.BRAIN


def test_the_reason_tells_a_radiologist_the_timing(tmp_path: Path) -> None:
    role = role_of(tmp_path, made.stack(3, **TSE, RepetitionTime=5000, EchoTime=100))
    assert role.reason == "2D spin echo, TR 5000 ms, TE 100 ms, flip 150 degrees: T2 contrast"


def test_a_large_flip_angle_makes_white_matter_bright_and_a_small_one_makes_it_dark() -> None:
    assert white_over_grey(25, 25, 3.0) > 1.15
    assert white_over_grey(25, 3, 3.0) == pytest.approx(0.70 / 0.82, rel=0.05)  # proton density alone is left


def test_mt_off_is_told_by_its_partner_with_the_pulse(tmp_path: Path) -> None:
    timing = {
        "RepetitionTime": 35.0,
        "EchoTime": 4.0,
        "FlipAngle": 9.0,
        "MRAcquisitionType": "3D",
        "ScanningSequence": "GR",
    }
    on = made.series(tmp_path / "on", made.stack(4, SequenceVariant=["SP", "MTC"], SeriesNumber=11, **timing))
    off = made.series(tmp_path / "off", made.stack(4, SequenceVariant="SP", **timing))
    other = made.series(tmp_path / "other", made.stack(4, SequenceVariant="SP", **timing | {"FlipAngle": 21.0}))
    kinds = [role.kind for role in classify_all([on, off, other])]
    assert kinds == [RoleKind.MT_ON, RoleKind.MT_OFF, RoleKind.T1]
    assert "series 11" in classify_all([on, off])[1].reason


def test_mt_off_is_told_by_its_name_where_physics_leaves_it_open(tmp_path: Path) -> None:
    values = GRE | {"RepetitionTime": 35, "EchoTime": 4, "FlipAngle": 9, "SeriesDescription": "gre_MT_off_1mm"}
    assert role_of(tmp_path, made.stack(3, **values)).kind is RoleKind.MT_OFF


def test_a_name_does_not_overrule_physics(tmp_path: Path) -> None:
    values = TSE | {"RepetitionTime": 5000, "EchoTime": 100, "SeriesDescription": "t1_mprage_sag"}
    assert role_of(tmp_path, made.stack(3, **values)).kind is RoleKind.T2


def test_a_site_rule_overrules_physics(tmp_path: Path) -> None:
    values = TSE | {"RepetitionTime": 5000, "EchoTime": 100, "SeriesDescription": "our special scan"}
    series = made.series(tmp_path, made.stack(3, **values))
    rule = SiteRule(role="PD", body="cord", series_description="special", manufacturer="siemens")
    role = classify(series, [rule])
    assert (role.kind, role.body) == (RoleKind.PD, Body.CORD)
    assert "site's own table" in role.reason
    assert classify(series, [replace(rule, manufacturer="Philips")]).kind is RoleKind.T2
    assert classify(series, [SiteRule(role="PD")]).kind is RoleKind.T2, "a rule without a pattern matches nothing"


def test_several_orientations_are_a_localizer(tmp_path: Path) -> None:
    values = GRE | {"RepetitionTime": 8.6, "EchoTime": 4, "FlipAngle": 20}
    planes = [
        ds for axis in (made.AXIAL, made.SAGITTAL, made.CORONAL) for ds in made.stack(3, orientation=axis, **values)
    ]
    role = role_of(tmp_path, planes)
    assert role.kind is RoleKind.LOCALIZER
    assert role.reason == "localizer: 9 images in 3 orientations"


def test_many_echoes_of_a_gradient_echo_are_multi_echo(tmp_path: Path) -> None:
    values = GRE | {"RepetitionTime": 40, "FlipAngle": 15, "MRAcquisitionType": "3D"}
    planes = [ds for te in (5, 10, 15, 20) for ds in made.stack(3, EchoTime=te, **values)]
    role = role_of(tmp_path, planes)
    assert role.kind is RoleKind.MULTI_ECHO_GRE
    assert "4 echoes, TE 5 to 20 ms, magnitude" in role.reason


def test_many_echoes_of_a_spin_echo_map_t2_and_stay_unanalysed(tmp_path: Path) -> None:
    planes = [ds for te in (10, 20, 30, 40, 50) for ds in made.stack(2, EchoTime=te, RepetitionTime=3000, **TSE)]
    assert role_of(tmp_path, planes).kind is RoleKind.UNKNOWN


def test_two_early_echoes_of_a_coarse_2d_gradient_echo_are_a_field_map(tmp_path: Path) -> None:
    values = GRE | {"RepetitionTime": 500, "FlipAngle": 60, "PixelSpacing": [3.0, 3.0], "MRAcquisitionType": "2D"}
    planes = [ds for te in (4.92, 7.38) for ds in made.stack(3, EchoTime=te, **values)]
    assert role_of(tmp_path / "magnitude", planes).kind is RoleKind.FIELD_MAP
    phase = made.stack(3, EchoTime=7.38, ImageType=["ORIGINAL", "PRIMARY", "P", "ND"], **values)
    assert role_of(tmp_path / "phase", phase).kind is RoleKind.FIELD_MAP


def bold(volumes: int, **values: object) -> list[made.Dataset]:
    return made.stack(2, volumes=volumes, RepetitionTime=2000, EchoTime=30, FlipAngle=80, **EPI | values)


def test_bold_is_rest_unless_its_name_says_task(tmp_path: Path) -> None:
    unnamed = role_of(tmp_path / "a", bold(40))
    assert unnamed.kind is RoleKind.REST_BOLD
    assert "physics cannot tell rest from task" in unnamed.reason
    assert role_of(tmp_path / "b", bold(40, SeriesDescription="fMRI_finger_tapping")).kind is RoleKind.TASK_BOLD


def test_a_short_bold_run_is_unknown_with_its_length(tmp_path: Path) -> None:
    role = role_of(tmp_path / "a", bold(6))
    assert role.kind is RoleKind.UNKNOWN
    assert "too short" in role.reason
    assert role_of(tmp_path / "b", bold(20)).kind is RoleKind.UNKNOWN  # 40 s: no rest, and nobody names a task


def test_echo_planar_series_with_contrast_agent_is_perfusion_not_bold(tmp_path: Path) -> None:
    role = role_of(tmp_path, bold(40, ContrastBolusAgent="gadobutrol"))
    assert role.kind is RoleKind.UNKNOWN
    assert "perfusion" in role.reason


def test_spin_echo_epi_without_diffusion_is_a_distortion_reference(tmp_path: Path) -> None:
    values = EPI | {
        "ScanningSequence": ["EP", "SE"],
        "SequenceName": "*epse2d1_96",
        "RepetitionTime": 8000,
        "EchoTime": 66,
    }
    assert role_of(tmp_path, made.stack(3, volumes=3, **values)).kind is RoleKind.FIELD_MAP


@pytest.mark.parametrize(("volumes", "expected"), [(3, RoleKind.FIELD_MAP), (12, RoleKind.DWI)])
def test_few_volumes_of_a_diffusion_protocol_all_at_b0_are_a_distortion_reference(
    tmp_path: Path, volumes: int, expected: RoleKind
) -> None:
    frames = [{"position": (0, 0, 2.0 * k), "temporal": v, "b": 0.0} for v in range(volumes) for k in range(3)]
    values = {"EchoPulseSequence": "SPIN", "EchoPlanarPulseSequence": "YES", "AcquisitionContrast": "DIFFUSION"}
    assert role_of(tmp_path, [made.enhanced(frames, {"tr": 5000}, **values)]).kind is expected


@pytest.mark.parametrize(
    ("image_type", "expected"),
    [
        (["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"], RoleKind.DERIVED),
        (["ORIGINAL", "PRIMARY", "DIFFUSION", "TRACEW", "ND"], RoleKind.DERIVED),
        (["DERIVED", "SECONDARY", "MPR"], RoleKind.DERIVED),
        (["DERIVED", "SECONDARY", "PROJECTION IMAGE"], RoleKind.DERIVED),
        (["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"], RoleKind.DERIVED),
        (["DERIVED", "PRIMARY", "M", "NORM", "DIS3D"], RoleKind.T2),  # corrected by the scanner, still the acquisition
        (["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"], RoleKind.T2),
        (["ORIGINAL", "PRIMARY", "LOCALIZER"], RoleKind.LOCALIZER),
    ],
)
def test_derived_is_what_was_computed_not_what_was_corrected(
    tmp_path: Path, image_type: list[str], expected: RoleKind
) -> None:
    values = TSE | {"RepetitionTime": 5000, "EchoTime": 100, "ImageType": image_type}
    assert role_of(tmp_path, made.stack(3, **values)).kind is expected


def test_ge_adc_map_is_derived(tmp_path: Path) -> None:
    values = EPI | {"Manufacturer": "GE MEDICAL SYSTEMS", "ImageType": ["DERIVED", "SECONDARY", "ADC"]}
    role = role_of(tmp_path, made.stack(3, RepetitionTime=8000, EchoTime=70, **values))
    assert role.kind is RoleKind.DERIVED
    assert "ADC" in role.reason


def test_a_screen_save_is_derived_and_a_report_is_no_image(tmp_path: Path) -> None:
    assert role_of(tmp_path / "a", [made.instance(made.SECONDARY_CAPTURE)]).kind is RoleKind.DERIVED
    report = role_of(tmp_path / "b", [made.instance("1.2.840.10008.5.1.4.1.1.88.22", Modality="SR")])
    assert (report.kind, report.body) == (RoleKind.UNKNOWN, Body.NONE)


def test_spectra_are_single_voxel_or_csi_by_the_header(tmp_path: Path) -> None:
    svs = made.instance(made.SPECTROSCOPY, MRSpectroscopyAcquisitionType="SINGLE_VOXEL", Rows=1, Columns=1)
    csi = made.instance(made.SPECTROSCOPY, MRSpectroscopyAcquisitionType="PLANE", Rows=16, Columns=16)
    assert role_of(tmp_path / "svs", [svs]).kind is RoleKind.SVS
    role = role_of(tmp_path / "csi", [csi])
    assert role.kind is RoleKind.CSI
    assert "16 x 16" in role.reason


@pytest.mark.parametrize(("steps", "expected"), [("1", RoleKind.SVS), ("16", RoleKind.CSI)])
def test_siemens_vb_spectra_are_told_by_their_private_header(tmp_path: Path, steps: str, expected: RoleKind) -> None:
    header = made.csa({"SpectroscopyAcquisitionPhaseColumns": [steps], "SpectroscopyAcquisitionPhaseRows": [steps]})
    private = {
        (0x29, "SIEMENS CSA HEADER", 0x08): ("CS", "SPEC NUM 4"),
        (0x29, "SIEMENS CSA HEADER", 0x10): ("OB", header),
    }
    ds = made.instance(made.SIEMENS_NON_IMAGE, private, Rows=None, Columns=None, PixelSpacing=None)
    assert role_of(tmp_path, [ds]).kind is expected


def test_another_siemens_object_without_an_image_stays_unknown(tmp_path: Path) -> None:
    assert role_of(tmp_path, [made.instance(made.SIEMENS_NON_IMAGE)]).kind is RoleKind.UNKNOWN


def test_siemens_vb_diffusion_mosaic_is_dwi_with_its_directions(tmp_path: Path) -> None:
    names = ["*ep_b0", *(f"*ep_b1000#{i}" for i in range(1, 7))]
    axes = [None, "1 0 0", "0 1 0", "0 0 1", "0.7071 0.7071 0", "0.7071 0 0.7071", "0 0.7071 0.7071"]
    datasets = []
    for number, (name, axis) in enumerate(zip(names, axes, strict=True)):
        tags = {"NumberOfImagesInMosaic": ["36"], "SliceNormalVector": ["0.0", "0.0", "1.0"]}
        tags |= {"B_value": ["1000" if axis else "0"]}
        tags |= {"DiffusionGradientDirection": axis.split()} if axis else {}
        private = {(0x29, "SIEMENS CSA HEADER", 0x10): ("OB", made.csa(tags))}
        kind = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND", "MOSAIC"]
        datasets.append(
            made.instance(private=private, ImageType=kind, ScanningSequence="EP", SequenceName=name,
                          InstanceNumber=number + 1, Rows=384, Columns=384, RepetitionTime=5000, EchoTime=90,
                          MRAcquisitionType="2D", ImagePositionPatient=[-576, -576, 0],
                          ImageOrientationPatient=list(made.AXIAL))
        )  # fmt: skip
    role = role_of(tmp_path, datasets)
    assert role.kind is RoleKind.DWI
    assert role.reason == "spin-echo EPI with 1 b = 0 and 6 directions at b = 1000 s/mm2"


def test_enhanced_philips_dwi_with_trace_frames_is_dwi_and_names_them(tmp_path: Path) -> None:
    weightings = [{"b": 0.0}, *({"b": 1000.0, "gradient": g} for g in ((1, 0, 0), (0, 1, 0), (0, 0, 1))), {"b": 1000.0}]
    frames = [{"position": (0, 0, 2.0 * k), "temporal": 1} | weighting for k in range(3) for weighting in weightings]
    values = {"EchoPulseSequence": "SPIN", "EchoPlanarPulseSequence": "YES", "Manufacturer": "Philips"}
    role = role_of(tmp_path, [made.enhanced(frames, {"tr": 5000}, **values)])
    assert role.kind is RoleKind.DWI
    assert role.reason == "spin-echo EPI with 1 b = 0 and 3 directions at b = 1000 s/mm2 and 1 trace image"


def test_trace_images_alone_are_derived(tmp_path: Path) -> None:
    frames = [{"position": (0, 0, 2.0 * k), "b": 1000.0} for k in range(3)]
    values = {"EchoPulseSequence": "SPIN", "EchoPlanarPulseSequence": "YES", "Manufacturer": "Philips"}
    assert role_of(tmp_path, [made.enhanced(frames, {}, **values)]).kind is RoleKind.DERIVED


def test_the_digital_patient_is_no_patient_but_has_a_brain(tmp_path: Path) -> None:
    marks = {"DeviceSerialNumber": "BETZ-PHANTOM", "QualityControlSubject": "YES", "PatientName": "PHANTOM^BETZ"}
    role = role_of(tmp_path, made.stack(10, **TSE | {"RepetitionTime": 5000, "EchoTime": 100} | marks))
    assert (role.body, role.phantom) == (Body.BRAIN, True)
    assert "the digital patient" in role.reason


@pytest.mark.parametrize(
    ("mark", "body"),
    [
        ({"DeviceSerialNumber": "BETZ-PHANTOM"}, Body.BRAIN),
        ({"PatientID": "BETZ-PHANTOM-7"}, Body.BRAIN),
        ({"PatientName": "PHANTOM^BETZ^EARLY"}, Body.BRAIN),
        ({"QualityControlSubject": "YES"}, Body.PHANTOM),  # so is every test object: nothing says that it has a brain
    ],
)
def test_each_mark_of_the_digital_patient_alone_is_enough(tmp_path: Path, mark: dict[str, str], body: Body) -> None:
    role = role_of(tmp_path, made.stack(10, **TSE | {"RepetitionTime": 5000, "EchoTime": 100} | mark))
    assert (role.phantom, role.body, role.kind) == (True, body, RoleKind.T2)


def test_enhanced_mt_pulse_and_inversion_are_read_from_functional_groups(tmp_path: Path) -> None:
    frames = [{"position": (0, 0, 2.0 * k), "te": 4.0} for k in range(3)]
    gre = {"EchoPulseSequence": "GRADIENT", "EchoPlanarPulseSequence": "NO", "MRAcquisitionType": "3D"}
    on = made.enhanced(frames, {"tr": 35, "flip": 9, "mt": "OFF_RESONANCE"}, **gre)
    t1 = made.enhanced(frames, {"tr": 2300, "flip": 9, "ti": 900.0}, **gre)
    assert role_of(tmp_path / "mt", [on]).kind is RoleKind.MT_ON
    assert role_of(tmp_path / "t1", [t1]).kind is RoleKind.T1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"BodyPartExamined": "HEAD"}, Body.BRAIN),
        ({"BodyPartExamined": "CSPINE"}, Body.CORD),
        ({"BodyPartExamined": "KNEE"}, Body.NONE),
        ({"BodyPartExamined": None, "ReceiveCoilName": "32Ch Head"}, Body.BRAIN),
        ({"BodyPartExamined": None, "ReceiveCoilName": "Spine_32"}, Body.CORD),
        ({"BodyPartExamined": None, "SeriesDescription": "t2_cervical cord"}, Body.CORD),
        ({"BodyPartExamined": None}, Body.NONE),
        ({"PixelSpacing": [0.5, 0.5]}, Body.CORD),  # 128 mm axial: no head fits
        ({"SeriesDescription": "QA phantom"}, Body.PHANTOM),
        ({"StudyDescription": "MRS_DTI_QA_2018"}, Body.PHANTOM),
        ({"PatientName": "ACR^PHANTOM"}, Body.PHANTOM),
        ({"QualityControlSubject": "YES"}, Body.PHANTOM),
    ],
)
def test_body_part_coil_geometry_and_names_tell_the_body(
    tmp_path: Path, values: dict[str, object], expected: Body
) -> None:
    role = role_of(tmp_path, made.stack(10, **TSE | {"RepetitionTime": 5000, "EchoTime": 100} | values))
    assert role.body is expected
    assert role.phantom is (expected is Body.PHANTOM)


def test_a_tall_narrow_sagittal_stack_is_the_cord_even_when_registered_as_brain(tmp_path: Path) -> None:
    values = TSE | {"RepetitionTime": 3500, "EchoTime": 110}
    cord = made.stack(15, 3.3, made.SAGITTAL, **values | {"SliceThickness": 3.0})
    brain = made.stack(30, 5.0, made.SAGITTAL, **values)
    assert role_of(tmp_path / "cord", cord).body is Body.CORD
    assert role_of(tmp_path / "brain", brain).body is Body.BRAIN


def test_an_unfinished_sagittal_brain_is_not_taken_for_the_cord(tmp_path: Path) -> None:
    count = {(0x2001, "Philips Imaging DD 001", 0x18): ("SL", 170)}
    values = GRE | {"RepetitionTime": 25, "EchoTime": 4, "FlipAngle": 25, "MRAcquisitionType": "3D"}
    values |= {"Manufacturer": "Philips", "SliceThickness": 1.0}
    planes = made.stack(20, 1.0, made.SAGITTAL, private=count, **values)
    assert role_of(tmp_path, planes).body is Body.BRAIN


def expected_roles() -> dict[str, dict[str, dict[str, str]]]:
    from bench.route import expected_roles as read

    return read()


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(expected_roles()) or ["none"])
def test_every_real_series_gets_the_role_and_body_that_a_person_wrote_down(name: str) -> None:
    rows = expected_roles().get(name)
    if rows is None:
        pytest.skip("expected-roles.json or its data sets are not here: set BETZ_EXPECTED_ROLES and BETZ_DATA")
    from bench.route import DATA

    study = [series for series in read_folder(DATA / name).series if series.first.series_uid in rows]
    assert len(study) == len(rows)
    found = {series.first.series_uid: role for series, role in zip(study, classify_all(study), strict=True)}
    for uid, row in rows.items():
        assert (found[uid].kind.value, found[uid].body.value) == (row["role"], row["body"]), found[uid].reason


@pytest.mark.data
def test_only_what_no_physics_can_tell_is_lost_without_names() -> None:
    """A 20 s BOLD run that only its name calls a task, and an ethanol phantom that only its name calls one."""
    from bench.route import is_right, route

    routed = route()
    if not routed:
        pytest.skip("expected-roles.json or its data sets are not here: set BETZ_EXPECTED_ROLES and BETZ_DATA")
    wrong = {(one.data_set, one.number) for one in routed if not is_right(one.expected, one.blanked)}
    assert wrong <= {("siemens-prisma-xa30-enhanced", 7), ("siemens-prisma-xa60-svs-phantom", 9)}


@pytest.mark.data
def test_reasons_on_real_data_name_no_patient_and_read_as_a_sentence() -> None:
    from bench.route import route

    for one in route():
        assert not re.search(r"\^|None|nan|\?", one.named.reason), one.named.reason


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_series_of_the_digital_patient_is_known_in_every_dialect_with_and_without_names(
    tmp_path: Path, dialect: Dialect
) -> None:
    from bench.route import is_right, phantom_series, route_phantom

    routed = route_phantom(dialect, tmp_path)
    assert len(routed) == len(phantom_series())
    for one in routed:
        assert is_right(one.expected, one.named), (one.number, one.named.kind, one.named.body, one.named.reason)
        assert is_right(one.expected, one.blanked), (one.number, one.blanked.kind, one.blanked.body, one.blanked.reason)
        assert one.named.phantom
        assert one.blanked.phantom
