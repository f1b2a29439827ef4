"""Recognising what series are: roles, states, slice names, and the rules a site can edit."""

import json
from pathlib import Path

import numpy as np
import pytest
from dicom_builder import Exam, along_axis, image, orthonormal
from hypothesis import given, settings
from hypothesis import strategies as st

from CMRLib.anatomy.axis import BASE_TO_APEX
from CMRLib.errors import InputError
from CMRLib.resources import resource_path
from CMRLib.study.reading import read_study, scan_files
from CMRLib.study.rules import ImageText, load_rules, spaced
from CMRLib.study.schemes import inversion_time_fault, scheme_from_times
from CMRLib.study.slice_order import Plane, name_slices

TRANSVERSE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.fixture
def exam(tmp_path):
    return Exam(tmp_path)


def keys(folder, **kwargs):
    return [series.key for series in read_study(folder, **kwargs).series]


@pytest.mark.parametrize(
    "description, image_type, role, kind",
    [
        ("ShMOLLI_192i_e11_T1MAP", "P", "t1", ""),
        ("MOLLI_5(3)3_SAX_MOCO_T1", "M", "t1", ""),
        ("T1 mapping sax", "M", "t1", ""),
        ("some name", "T1 MAP", "t1", ""),
        ("PSIR_LGE_sax_MAG", "M", "lge", "magnitude"),
        ("PSIR_LGE_sax_PSIR", "R", "lge", "psir"),
        ("sax_psir", "P", "lge", "psir"),
        ("LGE_2D", "R", "lge", "psir"),
        ("lateEnhancement_sax", "M", "lge", "magnitude"),
        ("Late_Gd_sax", "M", "lge", "magnitude"),
        ("VNE_mid", "M", "vne", ""),
    ],
)
def test_roles_of_single_images(exam, tmp_path, description, image_type, role, kind):
    exam.single(description, ImageType=["DERIVED", "PRIMARY", image_type])
    (series,) = read_study(tmp_path).series
    assert (series.role, series.kind, series.slice, series.shape) == (role, kind, "mid", (1, 12, 16))
    np.testing.assert_array_equal(series.load().images[0], image(7))


@pytest.mark.parametrize(
    "description, word",
    [
        ("localizer", "localiser"),
        ("TI_scout", "scout"),
        ("stress_perf_sax", "perfusion"),
        ("T2star_map", "T2"),
        ("T2 map", "T2"),
        ("Flow_AV", "flow"),
        ("ShMOLLI_FITPARAMS", "fit parameters"),
        ("ECV map", "derived"),
        ("mystery", "no rule fits"),
    ],
)
def test_what_is_left_out_says_why(exam, tmp_path, description, word):
    exam.single(description)
    study = read_study(tmp_path)
    assert study.series == ()
    assert study.unrecognised[0].what == f"series 1 {description} (1 image)"
    assert word in study.unrecognised[0].reason


def test_a_fit_parameter_series_with_seven_images_is_no_acquisition(exam, tmp_path):
    exam.irw("ShMOLLI_192i_FITPARAMS", times=[None] * 7)
    study = read_study(tmp_path)
    assert study.series == ()
    assert len(study.unrecognised[0].files) == 7


def test_colour_copy_beside_the_map(exam, tmp_path):
    header = exam.header("ShMOLLI_T1MAP")
    exam.write(header, image(1), 1, ImageComments="ShMOLLI color 1198SD175ms")
    file = exam.write(header, image(1), 2, ImageComments="ShMOLLI T1 Map")
    study = read_study(tmp_path)
    assert study.series[0].files == (file,)
    assert "colour" in study.unrecognised[0].reason


def test_two_maps_of_one_slice_and_time_are_not_guessed(exam, tmp_path):
    header = exam.header("ShMOLLI_T1MAP")
    for number in (1, 2):
        exam.write(header, image(number), number)
    study = read_study(tmp_path)
    assert study.series == ()
    assert "cannot be told which one to use" in study.unrecognised[0].reason


def test_t1_in_seconds_becomes_milliseconds(exam, tmp_path):
    exam.single("T1map", RescaleSlope=0.001, RescaleIntercept=0.0, RescaleType="s")
    (series,) = read_study(tmp_path).series
    np.testing.assert_allclose(series.load().images[0], image(7), rtol=1e-6)


def test_t1_in_another_unit_is_left_out(exam, tmp_path):
    exam.single("T1map", RescaleType="1/s")
    assert 'unit "1/s"' in read_study(tmp_path).unrecognised[0].reason


def test_stack_is_ordered_from_base_to_apex(exam, tmp_path):
    files = exam.stack("LGE_sax", [20.0, 0.0, 10.0])
    (series,) = read_study(tmp_path).series
    assert series.key == "lge_magnitude_stack"
    assert series.files == (files[1], files[2], files[0])
    assert series.geometry.spacing[2] == pytest.approx(10.0)
    assert series.geometry.matrix[:, 2] @ BASE_TO_APEX > 0.5
    last = series.geometry.ijk_to_lps() @ [0, 0, 2, 1]
    np.testing.assert_allclose(last[:3], along_axis(20.0), atol=1e-4)
    np.testing.assert_array_equal(series.load().images, [image(1), image(2), image(0)])


def test_stack_with_a_gap_is_read_slice_by_slice(exam, tmp_path):
    exam.stack("LGE_sax", [0.0, 10.0, 20.0, 40.0])
    assert keys(tmp_path) == [f"lge_magnitude_{n}" for n in range(4)]


def test_cine_is_one_series_of_frames_per_slice(exam, tmp_path):
    exam.stack("cine_sax", [8.0, 0.0], frames=5)
    study = read_study(tmp_path)
    assert [(series.key, series.shape) for series in study.series] == [
        ("cine_0", (5, 12, 16)),
        ("cine_1", (5, 12, 16)),
    ]
    np.testing.assert_array_equal(study.series[1].load().images, [image(i) for i in range(5)])


def test_cine_with_one_image_per_slice_is_a_stack(exam, tmp_path):
    exam.stack("cine_sax", [0.0, 8.0, 16.0])
    assert keys(tmp_path) == ["cine_stack"]


def test_cine_frames_are_ordered_by_trigger_time(exam, tmp_path):
    header = exam.header("cine_sax")
    for number, delay in enumerate((60.0, 0.0, 30.0)):
        exam.write(header, image(number), number + 1, TriggerTime=delay)
    (series,) = read_study(tmp_path).series
    np.testing.assert_array_equal(series.load().images, [image(1), image(2), image(0)])


@pytest.mark.parametrize(
    "description, state",
    [
        ("ShMOLLI_rest", "rest"),
        ("ShMOLLI_Stress_sax", "stress"),
        ("MOLLI_adenosine", "stress"),
        ("ShMOLLI_pre_stress", "rest"),
        ("MOLLI_preContrast", "rest"),
        ("MOLLI native", "rest"),
        ("MOLLI_noncontrast", "rest"),
        ("MOLLI_postCon_15min", "post"),
        ("MOLLI_post Gd", "post"),
        ("ShMOLLI_rest_post_contrast", "post"),
        ("ShMOLLI", "rest"),
    ],
)
def test_states_by_description(exam, tmp_path, description, state):
    exam.irw(description)
    assert keys(tmp_path) == [f"irw_{state}_mid"]


def test_contrast_agent_in_the_header_means_post(exam, tmp_path):
    exam.irw()
    exam.irw(minutes=30, ContrastBolusAgent="Gadovist")
    exam.irw(minutes=-10, ContrastBolusAgent="none")
    assert keys(tmp_path) == ["irw_rest_mid", "irw_rest_mid_2", "irw_post_mid"]


@pytest.mark.parametrize("between", ["LGE_sax", "rest_perfusion"])
def test_after_contrast_means_post(exam, tmp_path, between):
    exam.irw()
    exam.single("ShMOLLI_T1MAP", minutes=0.2)
    exam.single(between, minutes=20)
    exam.irw(minutes=30)
    exam.single("ShMOLLI_T1MAP", minutes=30.2)
    found = [key for key in keys(tmp_path) if not key.startswith("lge")]
    assert found == ["irw_rest_mid", "irw_post_mid", "t1_rest_mid", "t1_post_mid"]


def test_second_unlabelled_set_is_not_guessed(exam, tmp_path):
    exam.irw()
    exam.irw(minutes=40)
    study = read_study(tmp_path)
    assert [series.key for series in study.series] == ["irw_rest_mid"]
    assert "cannot be told" in study.unrecognised[0].reason
    assert len(study.unrecognised[0].files) == 7


def test_repeat_within_the_gap_is_the_same_state(exam, tmp_path):
    exam.irw()
    exam.irw(minutes=4)
    exam.irw(minutes=8, ImagePositionPatient=along_axis(20.0))
    assert keys(tmp_path) == ["irw_rest_0", "irw_rest_0_2", "irw_rest_1"]


def site_rules(tmp_path, change):
    """A copy of the shipped rules after ``change`` was applied to its content."""
    content = json.loads(resource_path("series_rules.json").read_text(encoding="utf-8"))
    change(content)
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("through", ["argument", "environment"])
def test_a_site_names_its_sets(exam, tmp_path, monkeypatch, through):
    exam.irw()
    exam.irw(minutes=40)
    rules = site_rules(tmp_path, lambda content: content.update(unlabelled_states=["rest", "stress"]))
    if through == "environment":
        monkeypatch.setenv("CMR_SERIES_RULES", str(rules))
    found = keys(tmp_path, rules=rules if through == "argument" else None)
    assert found == ["irw_rest_mid", "irw_stress_mid"]


def test_a_site_adds_a_word(exam, tmp_path):
    exam.irw("Herz_Belastung")
    rules = site_rules(
        tmp_path, lambda content: content["states"].insert(0, {"state": "stress", "description": "belastung"})
    )
    assert keys(tmp_path, rules=rules) == ["irw_stress_mid"]


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda c: c.update(schema="other/1"), '"schema" must be'),
        (lambda c: c.update(extra=1), 'unknown key "extra"'),
        (lambda c: c["roles"][0].update(descripton="x"), 'entry 1 of "roles" has the unknown key "descripton"'),
        (lambda c: c["roles"].append({"role": "t3"}), "must be one of irw"),
        (lambda c: c["roles"].append({"role": "none"}), 'must give a "reason"'),
        (lambda c: c["roles"][0].update(description="("), "not a regular expression"),
        (lambda c: c["roles"][0].update(min_images="3"), "whole number"),
        (lambda c: c["roles"][0].update(inversion_times=1), "true or false"),
        (lambda c: c.update(states={}), '"states" must be a list'),
        (lambda c: c["states"].append({"state": "rest"}), "missing or not a text"),
        (lambda c: c["schemes"].append({"scheme": "molli", "description": 3}), "missing or not a text"),
        (lambda c: c.update(unlabelled_states=["recovery"]), "must be one of rest"),
        (lambda c: c.update(set_gap_minutes=0), "positive number"),
    ],
)
def test_rules_that_are_wrong_are_refused(tmp_path, change, word):
    rules = site_rules(tmp_path, change)
    with pytest.raises(InputError, match="cannot be used") as error:
        load_rules(rules)
    assert word in str(error.value)


def test_rules_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_rules(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        load_rules(tmp_path / "broken.json")


@pytest.mark.parametrize(
    "text, expected", [("T1Map_postGd", "T1Map post Gd"), ("ShMOLLI^sax.1", "Sh MOLLI sax 1"), ("  a__b ", "a b")]
)
def test_text_as_the_patterns_see_it(text, expected):
    assert spaced(text) == expected


RULES = load_rules()


@given(st.builds(ImageText, description=st.text(), protocol=st.text(), comments=st.text(), image_type=st.text()))
def test_rules_take_any_text(text):
    assert RULES.role_of(text) in (None, *RULES.roles)


def test_rest_and_stress_slices_are_named_alike(exam, tmp_path):
    for state, minutes, shift in (("rest", 0, 0.0), ("stress", 20, 6.0)):
        for number, position in enumerate((0.0, 20.0, 40.0)):
            place = {"ImagePositionPatient": along_axis(position + shift)}
            exam.irw(f"ShMOLLI_{state}", minutes=minutes + number, **place)
            exam.single(f"ShMOLLI_{state}_T1MAP", minutes=minutes + number + 0.5, **place)
    names = [f"{state}_{name}" for state in ("rest", "stress") for name in ("basal", "mid", "apical")]
    assert keys(tmp_path) == [f"{role}_{name}" for role in ("irw", "t1") for name in names]


def plane(position, state="", orientation=None):
    """A short-axis plane at ``position`` mm along the usual axis from base to apex."""
    return Plane(tuple(along_axis(position)), orientation or SHORT_AXIS_PLANE, state)


SHORT_AXIS_PLANE = orthonormal((0.7, 0.7, 0.141, 0.1, 0.099, -0.99))
FOUR_CHAMBER = orthonormal((0.7, -0.7, 0.0, 0.35, 0.35, -0.87))


@pytest.mark.parametrize(
    "planes, names",
    [
        ([plane(5.0)], ["mid"]),
        ([plane(30.0), plane(0.0)], ["1", "0"]),
        ([plane(30.0), plane(0.0), plane(15.0)], ["apical", "basal", "mid"]),
        ([plane(10.0 * n) for n in range(4)], ["0", "1", "2", "3"]),
        # a re-planned stress slice takes the name of the nearest rest slice
        ([*(plane(20.0 * n, "rest") for n in range(3)), plane(24.0, "stress")], ["basal", "mid", "apical", "mid"]),
        # a post slice far from the only rest slice is another slice
        ([plane(0.0, "rest"), plane(30.0, "post")], ["0", "1"]),
        # a repeat is the same slice
        ([plane(0.0), plane(0.0), plane(1.0)], ["mid", "mid", "mid"]),
        # planes across the short axis have no place between base and apex
        ([plane(0.0, orientation=FOUR_CHAMBER)], ["0"]),
        ([plane(0.0), plane(0.0, orientation=FOUR_CHAMBER)], ["mid", "1"]),
    ],
)
def test_slice_names(planes, names):
    assert [name for name, _ in name_slices(planes)] == names


@settings(max_examples=50)
@given(
    turn=st.floats(-30, 30),
    tilt=st.floats(-30, 30),
    flip=st.booleans(),
    count=st.integers(1, 12),
    order=st.randoms(use_true_random=False),
)
def test_slices_run_from_base_to_apex_whatever_the_grid(turn, tilt, flip, count, order):
    """Short-axis planes turned and tilted by up to 30 degrees, with either sense of the image axes."""
    left, up = np.radians([45.0 + turn, 35.0 + tilt])
    axis = np.array([np.cos(up) * np.sin(left), -np.cos(up) * np.cos(left), -np.sin(up)])
    row = np.cross(axis, [0.0, 0.0, 1.0])
    row /= np.linalg.norm(row)
    column = np.cross(axis, row) * (-1 if flip else 1)
    planes = [Plane(tuple(axis * 9.0 * n), (*row, *column)) for n in range(count)]
    numbers = list(range(count))
    order.shuffle(numbers)
    named = name_slices([planes[n] for n in numbers])
    expected = {1: ["mid"], 3: ["basal", "mid", "apical"]}.get(count, [str(n) for n in range(count)])
    assert [name for _, (name, _) in sorted(zip(numbers, named, strict=True))] == expected


@pytest.mark.parametrize(
    "times, scheme",
    [
        ((100, 1100, 2100, 3100, 4100, 180, 260), "shmolli"),
        ((100, 180, 260, 1715, 3337, 4907, 6455), "shmolli"),
        ((100, 1000, 1900, 200, 1100, 2000, 350, 1250, 2150, 3050, 3950), "molli"),
        (tuple(range(30, 600, 30)), "look-locker"),
        ((100, 180, 260, 1100, 1180, 1260, 2100, 2180, 2260, 3100, 4100), "other"),
        ((4100, 3100, 2100, 1100), "other"),
        ((100, 200), ""),
    ],
)
def test_scheme_from_times(times, scheme):
    assert scheme_from_times(times) == scheme


@pytest.mark.parametrize(
    "times, images, scheme, fault",
    [
        ((100, 200, 300, 400), 4, "", None),
        ((), 5, "molli", None),
        ((), 3, "", "needs at least 4"),
        ((100, 200, 300), 4, "", "4 images but 3 inversion times"),
        ((100, float("nan"), 300, 400), 4, "", "not all numbers of milliseconds between 0 and 30000"),
        ((100, 0, 300, 400), 4, "", "not all numbers"),
        ((100, 100, 300, 400, 500), 5, "", "the inversion time 100 ms occurs 2 times"),
        ((100, 100, 300, 400, 500), 5, "other", None),
        ((100, 100, 300, 300, 500), 5, "other", "3 different inversion times and a T1 fit needs at least 4"),
        ((0.1, 1.1, 2.1, 3.1), 4, "molli", "look like seconds"),
        ((100, 200, 400, 800, 1600, 3200, 6400), 7, "shmolli", "not those of ShMOLLI"),
        ((100, 180, 260, 1100, 2100, 3100, 5000), 7, "shmolli", None),
        ((), 8, "shmolli", "8 images where ShMOLLI has 7"),
    ],
)
def test_inversion_time_fault(times, images, scheme, fault):
    found = inversion_time_fault(times, images, scheme)
    assert found == fault if fault is None else fault in found


def test_files_of_two_studies_are_kept_apart(tmp_path):
    files = []
    for name in ("a", "b"):
        files += Exam(tmp_path / name).irw()
    series, unrecognised = scan_files(files)
    assert unrecognised == ()
    assert sorted(item.key for item in series) == ["irw_rest_mid", "irw_rest_mid_2"]
    with pytest.raises(InputError, match="holds 2 DICOM studies; put each study into its own folder"):
        read_study(tmp_path)


def test_no_patient_data_leaves_the_reader(exam, tmp_path):
    exam.irw()
    exam.single("mystery")
    first, second = read_study(tmp_path), read_study(str(tmp_path))
    assert first.id == second.id
    assert first.id.startswith("study-") and len(first.id) == len("study-") + 8
    assert Path(first.path) == tmp_path
    assert "Doe" not in repr(first) and "SECRET" not in repr(first)


def test_no_identifier_is_quoted_in_a_warning(exam, caplog, recwarn):
    file = exam.single("T1map")
    content = file.read_bytes()
    uid = exam.study_uid.encode()
    file.write_bytes(content.replace(uid, uid[:-1] + b"x"))
    assert len(scan_files([file])[0]) == 1
    assert len(recwarn) == 0
    assert caplog.text == ""
