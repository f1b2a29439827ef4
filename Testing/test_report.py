"""The reports of ``cmr-batch --report``: what they hold, when they are made, and how a browser shows them."""

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)
from batch_studies import write_study
from browser import Browser, program
from report_pages import FAINT, REMOTE, Page, check_accessible, check_self_contained, write_cohort

from CMRLib.anatomy.bullseye import ColorScale, make_bullseye
from CMRLib.batch.reporting import has_current_report
from CMRLib.batch.results import write_results
from CMRLib.export.report import pages
from CMRLib.export.report.items import Group, Section, SegmentsPicture
from CMRLib.files.images import read_image, write_image
from CMRLib.review import SliceReview, Status
from CMRLib.scene.review import writeReview
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study
from CMRT1MappingLib.step import T1Step

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "cmr_batch.py"
STEPS = ("--steps", "t1,landmarks", "--no-motion-correction", "--device", "cpu")
HOSTILE = '<script>document.title=1</script>"&'
WIDTHS = {"desktop": 1280, "tablet": 768}
FOCUS = "document.activeElement.textContent.trim()"
FIRST_COLUMN = "[...document.querySelectorAll('.sortable tbody tr')].map((row) => row.cells[0].textContent.trim())"
SORTED = "Object.fromEntries([...document.querySelectorAll('.sortable th[aria-sort]')].map(" + (
    "(th) => [th.textContent.trim(), th.getAttribute('aria-sort')]).filter(([, way]) => way !== 'none'))"
)


@pytest.fixture(scope="module")
def cmr_batch():
    return runpy.run_path(str(SCRIPT))["main"]


def simulated():
    return simulate_study(seed=1, slices=("basal", "mid", "apical"), shape=(96, 128))


@pytest.fixture(scope="module")
def reported(cmr_batch, tmp_path_factory):
    """The output of one run over a simulated study whose series are called something hostile, and one that fails."""
    folder = tmp_path_factory.mktemp("reported")
    for file in write_dicom_study(simulated(), folder / "in"):
        header = pydicom.dcmread(file)
        header.SeriesDescription, header.PatientName = f"{HOSTILE} {header.SeriesDescription}", "SECRET^NAME"
        header.save_as(file)
    broken = write_study(folder / "broken", "BROKEN")
    (broken / "mid.nrrd").write_bytes((broken / "mid.nrrd").read_bytes()[:900])
    given = ["--input", str(folder / "in"), str(broken), "--output", str(folder / "out")]
    assert cmr_batch([*given, *STEPS, "--report"]) == 1
    return folder


@pytest.fixture(scope="module")
def study(reported):
    return next((reported / "out").glob("study-*"))


@pytest.fixture(scope="module")
def page(study):
    return Page(study / "report.html")


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_study_report_needs_nothing_but_itself(page):
    check_self_contained(page)
    check_accessible(page)


def test_study_report_shows_maps_landmarks_tables_and_what_made_them(page, study):
    results = results_of(study)
    assert results["status"] == "ok" and len(results["t1"]) == 3 and len(results["landmarks"]) == 3
    assert len(page.values("href", "image")) == 3 * 3 + 3 and page.tags.count("lineargradient") == 9
    spots = [value for value in page.values("class", "circle") if value == "spot"]
    found = [e for e in results["landmarks"] if e["lv_center_px"] is not None]
    assert found and len(spots) == 3 * len(found)
    for model in results["models"].values():
        assert model["id"] in page.text and model["sha256"] in page.text
    for name, version in results["software"].items():
        assert name in page.text and version in page.text
    for entry in results["t1"]:
        assert f"{entry['r2_before']:.3f}" in page.text
    assert page.text.count("For research use only") == 2
    assert "not a medical device" in page.text and "SECRET" not in page.text
    for entry in results["landmarks"]:
        assert not entry["flagged"] or entry["reason"] in page.text


def test_what_images_are_called_is_text_alone(page, study):
    description = results_of(study)["t1"][0]["series_description"]
    assert "<script>" in description
    assert description in "".join(page.texts)
    assert page.tags.count("script") == 1 and "img" not in page.tags


def test_a_study_that_failed_has_no_report(reported):
    assert sorted(path.name for path in (reported / "out" / "BROKEN").iterdir()) == ["results.json"]


def copy_of(reported, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(reported / "out", output)
    (study,) = output.glob("study-*")
    return study, ["--input", str(reported / "in"), "--output", str(output), *STEPS]


def test_only_the_report_is_made_of_complete_studies(cmr_batch, reported, tmp_path, monkeypatch, capsys):
    study, command = copy_of(reported, tmp_path)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in study.iterdir()}
    (study / "report.html").unlink()
    monkeypatch.setattr("CMRLib.batch.job._process", lambda job: pytest.fail("it was computed again"))
    assert cmr_batch([*command, "--report"]) == 0
    assert "0 done, 1 complete already, 0 failed" in capsys.readouterr().out
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in study.iterdir()}
    assert after.pop("report.html")[1] == before.pop("report.html")[1] and after == before
    assert has_current_report(study)

    monkeypatch.setattr("CMRLib.batch.job.write_study_report", lambda *given: pytest.fail("it was made again"))
    assert cmr_batch([*command, "--report"]) == 0


def test_a_report_of_other_results_is_made_again(cmr_batch, reported, tmp_path):
    study, command = copy_of(reported, tmp_path)
    (study / "results.json").write_text(json.dumps(results_of(study), indent=2), encoding="utf-8")
    assert not has_current_report(study)
    assert cmr_batch([*command, "--report"]) == 0
    assert has_current_report(study)


def test_warnings_and_notes_are_in_the_report(cmr_batch, reported, tmp_path):
    study, command = copy_of(reported, tmp_path)
    results = results_of(study)
    results["warnings"], results["notes"] = ["One slice is missing; look."], ["Earlier results were replaced."]
    (study / "results.json").write_text(json.dumps(results), encoding="utf-8")
    assert cmr_batch([*command, "--report"]) == 0
    text = Page(study / "report.html").text
    assert "One slice is missing; look." in text and "Earlier results were replaced." in text


def test_a_report_that_fails_costs_no_result(cmr_batch, reported, tmp_path, monkeypatch, capsys):
    study, command = copy_of(reported, tmp_path)
    results = (study / "results.json").read_bytes()
    (study / "report.html").unlink()
    monkeypatch.setattr("CMRLib.batch.reporting.study_page", lambda *given: 1 / 0)
    assert cmr_batch([*command, "--report"]) == 1
    assert "Its report cannot be made: Unexpected ZeroDivisionError" in capsys.readouterr().err
    assert (study / "results.json").read_bytes() == results and not (study / "report.html").exists()


def test_pictures_that_are_gone_leave_the_rest(cmr_batch, reported, tmp_path):
    study, command = copy_of(reported, tmp_path)
    (study / "report.html").unlink()
    for file in study.glob("*_r2.nrrd"):
        file.write_bytes(b"nothing")
    assert cmr_batch([*command, "--report"]) == 0
    page = Page(study / "report.html")
    first = results_of(study)["t1"][0]["r2_file"]
    assert f"Pictures cannot be shown: {first} cannot be read as an image" in page.text
    assert len(page.values("href", "image")) == 3


def test_without_jinja_it_is_told_before_anything_is_computed(cmr_batch, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    study = write_study(tmp_path / "in", "P001")
    assert cmr_batch(["--input", str(study), "--output", str(tmp_path / "out"), *STEPS, "--report"]) == 3
    assert capsys.readouterr().err.strip() == pages.NO_JINJA
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"))


def test_cohort_report_needs_nothing_but_itself(cohort):
    page = Page(cohort)
    assert not [address for address in page.values("src") + page.values("href") if address.startswith(REMOTE)]
    assert {"link", "iframe", "object", "embed", "base", "b", "img"}.isdisjoint(page.tags)
    check_accessible(page)


def test_cohort_report_lists_studies_outliers_and_what_differs(cohort):
    page = Page(cohort)
    links = [address for address in page.values("href", "a") if not address.startswith("#")]
    assert set(links) == {f"P{number}/report.html" for number in range(1, 13) if number != 9}
    assert all((cohort.parent / address).is_file() for address in links)
    assert "mid.nrrd cannot be read <b>as an image</b>; export it again." in page.text
    assert page.text.count("T1: Motion, highest [px] is 9.5") == 1 and page.values("class", "circle") == ["dot"]
    assert "Not all studies were made with the same version, weights and options" in page.text
    assert page.text.index(" P2 ") < page.text.index(" P10 ")
    assert page.values("aria-sort", "th") == ["none"] * page.tags.count("button")


def test_cohort_of_the_command_links_the_studies_reports(reported, study):
    page = Page(reported / "out" / "report.html")
    check_accessible(page)
    links = [address for address in page.values("href", "a") if not address.startswith("#")]
    assert set(links) == {f"{study.name}/report.html"}
    assert "BROKEN" in page.text and "SECRET" not in page.text


def test_a_step_shows_what_it_likes_by_its_hook_alone(cmr_batch, reported, tmp_path, monkeypatch):
    study, command = copy_of(reported, tmp_path)
    (study / "report.html").unlink()
    scale = ColorScale((-5.0, 100.0), ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)), "dT1 [%]", None, "{:.3f}")
    shown = [SegmentsPicture(f"<b>{n}</b> dT1 [%]", make_bullseye({7: 87.654, 12: -3.0}, scale)) for n in range(2)]
    section = Section("Stress & reactivity", "Of <i>everything</i>.", (Group("mid", tuple(shown)),))
    monkeypatch.setattr(T1Step, "show", lambda self, entries, source: section)
    assert cmr_batch([*command, "--report"]) == 0
    page = Page(study / "report.html")
    check_accessible(page)
    assert "Stress & reactivity" in page.text and "Of <i>everything</i>." in page.text and "b" not in page.tags
    assert page.text.count("87.654") == 2 * (2 + 1) and len(page.values("id", "lineargradient")) == 2


def test_contours_and_the_bulls_eye_of_t1(cmr_batch, reported, tmp_path):
    """With label maps as the step segmentation writes them; here they hold the truth."""
    study, command = copy_of(reported, tmp_path)
    results, truths, pixels = results_of(study), {made.slice: made.truth for made in simulated().acquisitions}, []
    for entry in results["t1"]:
        truth, (t1, geometry) = truths[entry["slice"]], read_image(study / entry["t1_file"])
        pixels.append(t1[0][truth.labels == 1])
        file = entry["t1_file"].replace("_t1.nrrd", "_labels.nrrd")
        write_image(study / file, np.where(truth.labels > 2, 0, truth.labels).astype(np.uint8), geometry)
        told = {"role": "t1", "state": "rest", "slice": entry["slice"], "labels_file": file, "predicted_dice": 0.871}
        flagged = entry["slice"] == "mid"
        results["segmentation"].append({**told, "candidate": "ccs-3", "flagged": flagged, "reason": flagged * "low"})
    write_results(study, results)
    assert cmr_batch([*command, "--report"]) == 0
    page = Page(study / "report.html")
    check_accessible(page)
    assert "T1 rest mid – predicted Dice 0.87 – flagged" in page.text and "Segmentation, T1 rest mid: low" in page.text
    assert len(page.values("href", "image")) == 3 * 3 + 3 + 3
    assert "T1 rest: mean of each segment [ms]" in page.text
    means = [float(text) for text in re.findall(r"\d+ (?:Basal|Mid|Apical) \w+ (\d+)", page.text)]
    assert len(means) == 16 and abs(np.mean(means) - np.mean(np.concatenate(pixels))) < 10.0


def test_what_was_corrected_by_whom_comes_from_the_saved_scene(cmr_batch, reported, tmp_path, scene):
    study, command = copy_of(reported, tmp_path)
    assert "Nobody is known to have reviewed these results" in Page(study / "report.html").text
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks; 50% <b>")
    writeReview(node, [SliceReview(0, Status.FLAGGED, 0.4, "they disagree")])
    assert scene.WriteToMRB(str(study / "scene.mrb"))
    assert cmr_batch([*command, "--report"]) == 0
    assert "Nobody has corrected, accepted or rejected anything" in Page(study / "report.html").text

    entry = SliceReview(0, Status.CORRECTED, 0.4, "they disagree", "Dr. Müller <i>", 'moved; by 100%: "right" now')
    writeReview(node, [entry], "3.1 mm")
    assert scene.WriteToMRB(str(study / "scene.mrb")) and not has_current_report(study)
    assert cmr_batch([*command, "--report"]) == 0
    page = Page(study / "report.html")
    for text in ("landmarks; 50% <b>", "corrected", entry.reviewer, entry.comment, "3.1 mm"):
        assert text in page.text
    assert {"b", "i"}.isdisjoint(page.tags)
    check_accessible(page)

    (study / "scene.mrb").write_bytes((study / "scene.mrb").read_bytes()[:-300])
    assert cmr_batch([*command, "--report"]) == 0
    assert "The reviews in scene.mrb cannot be read; save the scene again." in Page(study / "report.html").text


@pytest.fixture(scope="module")
def browser():
    if program() is None:
        pytest.skip("there is no chromium; apt-get install chromium")
    with Browser() as started:
        yield started


@pytest.fixture(params=["study", "cohort"])
def report(request):
    made = request.getfixturevalue(request.param)
    return made if made.is_file() else made / "report.html"


def test_only_the_file_itself_is_loaded(browser, report):
    browser.requests.clear()
    browser.messages.clear()
    browser.open(report)
    assert {address for address in browser.requests if not address.startswith("data:")} == {report.as_uri()}
    assert browser.messages == [], "an error, or something that the content security policy refused"
    assert browser.evaluate("document.title").endswith(" – CMRMapping"), "a script of somebody else's ran"


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_the_page_is_not_wider_than_the_window(browser, report, width):
    browser.resize(width, 1000)
    browser.open(report)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    right = "Math.max(...[...document.querySelectorAll('main svg')].map((e) => e.getBoundingClientRect().right))"
    assert browser.evaluate(right) <= width


def test_text_stands_out(browser, report):
    browser.open(report)
    assert browser.evaluate(FAINT) == []


def test_every_control_and_picture_has_a_name(browser, report):
    browser.open(report)
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {"link", "button", "image", "table", "region", "navigation", "figure"}
    found = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    assert [role for role, name in found if role in ("link", "button", "image", "table", "region") and not name] == []
    assert {role for role, _ in found} & named >= {"link", "image", "table", "navigation"}


def test_a_table_is_sorted_by_keyboard(browser, cohort):
    browser.resize(1280, 1000)
    browser.open(cohort)
    assert browser.evaluate(FIRST_COLUMN) == [f"P{number}" for number in range(1, 13)]
    browser.press("Tab")
    assert browser.evaluate(FOCUS) == "Skip to the results"
    for _ in range(60):
        browser.press("Tab")
        if browser.evaluate(FOCUS).startswith("Motion"):
            break
    title = browser.evaluate(FOCUS)
    assert title == "Motion, highest [px]"
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    browser.press("Enter")
    ascending = browser.evaluate(FIRST_COLUMN)
    assert browser.evaluate(SORTED) == {title: "ascending"}
    assert ascending[-2:] == ["P7", "P9"] and sorted(ascending) != ascending, "what has no value comes last"
    browser.press(" ")
    assert browser.evaluate(SORTED) == {title: "descending"}
    assert browser.evaluate(FIRST_COLUMN) == [*ascending[-2::-1], "P9"]
    assert browser.evaluate("document.getElementById('sorted').textContent") == f"Sorted by {title}, descending"

    for _ in range(60):
        browser.press("Tab", shift=True)
        if browser.evaluate(FOCUS) == "Study":
            break
    browser.press("Enter")
    assert browser.evaluate(SORTED) == {"Study": "ascending"}
    assert browser.evaluate(FIRST_COLUMN) == [f"P{number}" for number in range(1, 13)], "P2 comes before P10"


def test_print_is_whole(browser, report, tmp_path):
    browser.open(report)
    browser.pdf(tmp_path / "printed.pdf")
    printed = (tmp_path / "printed.pdf").read_bytes()
    pages = re.findall(rb"/Type\s*/Page\b[^s]", printed)
    assert printed.startswith(b"%PDF-") and 1 <= len(pages) <= 6

    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        browser.resize(718, 1000)  # the width of A4 between its margins, at 96 pixels an inch
        browser.open(report)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 718
        cut = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1).length"
        assert browser.evaluate(cut) == 0, "a table is wider than the paper"
        assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_pictures_are_seen(browser, study, tmp_path):
    browser.resize(1280, 3000)
    browser.open(study / "report.html")
    browser.screenshot(tmp_path / "seen.png")
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "seen.png")))[..., :3].reshape(-1, 3).astype(int)
    assert np.count_nonzero(np.ptp(pixels, axis=1) > 100) > 10000, "the colours of T1"
