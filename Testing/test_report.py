"""The reports of ``cmr-batch --report``: what they hold, when they are made, and how a browser shows them."""

import json
import runpy
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pydicom
import pytest
from batch_studies import write_study

from CMRLib.batch.reporting import has_current_report
from CMRLib.export.report import pages
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "cmr_batch.py"
HOSTILE = '<script>document.title="run"</script><img src=x onerror="document.title=1">"\'&'
VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}
REMOTE = ("http:", "https:", "//", "ftp:")


class Page(HTMLParser):
    """What a page holds, and whether all that it opens is closed."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def values(self, name, tag=None):
        return [value for one, key, value in self.attributes if key == name and tag in (None, one)]


@pytest.fixture(scope="module")
def cmr_batch():
    return runpy.run_path(str(SCRIPT))["main"]


@pytest.fixture(scope="module")
def reported(cmr_batch, tmp_path_factory):
    """The output of one run over a simulated study whose series are called something hostile, and one that fails."""
    folder = tmp_path_factory.mktemp("reported")
    for file in write_dicom_study(simulate_study(seed=1, slices=("basal", "mid"), shape=(96, 128)), folder / "in"):
        header = pydicom.dcmread(file)
        header.SeriesDescription, header.PatientName = f"{header.SeriesDescription} {HOSTILE}"[:64], "SECRET^NAME"
        header.save_as(file)
    broken = write_study(folder / "broken", "BROKEN")
    (broken / "mid.nrrd").write_bytes((broken / "mid.nrrd").read_bytes()[:900])
    given = ["--input", str(folder / "in"), str(broken), "--output", str(folder / "out")]
    assert cmr_batch([*given, "--no-motion-correction", "--report", "--device", "cpu"]) == 1
    return folder


@pytest.fixture(scope="module")
def study(reported):
    return next((reported / "out").glob("study-*"))


@pytest.fixture(scope="module")
def page(study):
    return Page(study / "report.html")


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def check_self_contained(page):
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    addresses = page.values("src") + page.values("href") + page.values("action") + page.values("xlink:href")
    assert addresses and not [address for address in addresses if address.startswith(REMOTE)]
    assert all(address.startswith("data:image/png;base64,") for address in page.values("href", "image"))
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    (policy,) = [v for v in page.values("content", "meta") if "default-src" in v]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy


def check_accessible(page):
    headings = [int(tag[1]) for tag in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(deeper - above <= 1 for above, deeper in zip(headings, headings[1:], strict=False))
    assert page.tags.count("table") == page.tags.count("caption") > 0
    scopes = page.values("scope", "th")
    assert set(scopes) <= {"col", "row", "colgroup"} and page.tags.count("th") == len(scopes)
    assert page.tags.count("main") == 1 and page.values("lang", "html") == ["en"]
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    targets = {address[1:] for address in page.values("href", "a") if address.startswith("#")}
    assert targets <= set(ids) and set(page.values("aria-labelledby")) <= set(ids)


def test_study_report_needs_nothing_but_itself(page):
    check_self_contained(page)
    check_accessible(page)


def test_study_report_shows_maps_landmarks_tables_and_what_made_them(page, study):
    results = results_of(study)
    assert results["status"] == "ok" and len(results["t1"]) == 2 and len(results["landmarks"]) == 2
    assert len(page.values("href", "image")) == 3 * 2 + 2 and page.tags.count("lineargradient") == 6
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
    assert all(sentence in page.text for kind in ("warnings", "notes") for sentence in results[kind])


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
    command = ["--input", str(reported / "in"), "--output", str(output), "--no-motion-correction"]
    return study, [*command, "--device", "cpu"]


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
    assert len(page.values("href", "image")) == 2


def test_without_jinja_it_is_told_before_anything_is_computed(cmr_batch, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    study = write_study(tmp_path / "in", "P001")
    assert cmr_batch(["--input", str(study), "--output", str(tmp_path / "out"), "--report"]) == 3
    assert capsys.readouterr().err.strip() == pages.NO_JINJA
    assert not (tmp_path / "out").exists()
