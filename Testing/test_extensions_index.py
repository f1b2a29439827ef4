"""What Slicer's Extensions Index checks, and what its tiers 1 to 3 ask for, as far as it can be seen without a network.

The list is that of the Index's check of description files and of its template for pull requests.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from CMRLib.files.samples import read_samples

ROOT = Path(__file__).resolve().parents[1]
README, TUTORIAL, PUBLISHING = (
    ROOT / name for name in ("README.md", "Resources/Documentation/Tutorial.md", ".github/PUBLISHING.md")
)
INDEX_ENTRY = ROOT / ".github" / "ExtensionsIndex" / "CMRMapping.json"
SAMPLES = ROOT / "CMRT1Mapping" / "Resources" / "sample_data.json"
MODULES = {path.stem: path for path in sorted(ROOT.glob("CMR*/CMR*.py")) if path.stem == path.parent.name}
SCHEMA_KEYS = {
    *("$schema", "build_dependencies", "build_subdirectory", "category", "dicom_support_rule", "enabled"),
    *("scm_revision", "scm_type", "scm_url", "tier"),
}
MEGABYTES = 100
# Imported where a file begins, by modules that must load in a Slicer that has nothing more than its own packages.
IN_EVERY_SLICER = {"numpy", "qt", "ctk", "slicer", "vtk", "vtkmodules", "DICOMLib"}


def meta(name):
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(rf'set\(EXTENSION_{name} "(.*?)"\)', text)[1]


def entry():
    return INDEX_ENTRY.stem, json.loads(text_of(INDEX_ENTRY))


def kept_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(path):
    return path.read_text(encoding="utf-8")


def test_the_entry_is_what_the_schema_allows():
    name, content = entry()
    assert {"$schema", "category", "scm_url"} <= set(content) <= SCHEMA_KEYS
    assert "slicer-extension-catalog-entry-schema-v1." in content["$schema"]
    assert content["scm_type"] == "git" and content["scm_revision"] == "main" and content["tier"] in range(1, 6)
    assert re.search(r"^project\((\w+)\)", text_of(ROOT / "CMakeLists.txt"), re.MULTILINE)[1] == name
    assert not name.startswith("Slicer")


def test_the_entry_agrees_with_cmake():
    name, content = entry()
    assert content["scm_url"] == f"{meta('HOMEPAGE')}.git"
    assert content["scm_url"].endswith(f"/Slicer{name}.git"), "the repository is called Slicer and the extension's name"
    assert content["category"] == meta("CATEGORY") == "Cardiac"
    assert content["build_dependencies"] == meta("DEPENDS").split(";") == ["PyTorch"]


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_of_the_index_are_in_the_repository(name):
    raw = meta("HOMEPAGE").replace("github.com", "raw.githubusercontent.com") + "/main/"
    for url in meta(name).split(" "):
        assert url.startswith(raw) and url.endswith((".png", ".jpg", ".gif"))
        assert matplotlib.image.imread(ROOT / url.removeprefix(raw)).size


def test_every_module_has_an_icon_as_slicer_shows_it():
    for name, path in MODULES.items():
        assert matplotlib.image.imread(path.parent / "Resources" / "Icons" / f"{name}.png").shape == (128, 128, 4)


def test_the_description_is_short_and_names_patent_licences_and_use():
    description = meta("DESCRIPTION")
    assert len(re.split(r"(?<=[.]) ", description)) <= 4
    for told in ("patent", "CC BY-NC-SA", "research"):
        assert told in description, told


def test_the_checkout_is_small_and_its_lines_end_alike():
    assert sum(path.stat().st_size for path in kept_files()) < MEGABYTES * 1e6
    for path in kept_files():
        if path.suffix in {".py", ".md", ".txt", ".json", ".ui", ".toml", ".yml"}:
            assert b"\r" not in path.read_bytes(), path


def test_the_licence_is_in_the_root_and_the_readme_names_it():
    assert "Apache License" in text_of(ROOT / "LICENSE") and "[Apache License 2.0](LICENSE)" in text_of(README)
    assert "CC BY-NC-SA 4.0" in text_of(README), "that of the weights"


def test_the_homepage_has_what_a_user_looks_for():
    readme = text_of(README)
    assert readme.startswith("# CMRMapping\n") and "](Resources/Screenshots/" in readme
    for name, path in MODULES.items():
        title = re.search(r'self\.parent\.title = _\("(.*?)"\)', text_of(path))[1]
        assert re.search(rf"\*\*{title}\*\*\s+\w+", readme), f"a sentence on {name}"
    tutorial = f"({TUTORIAL.relative_to(ROOT).as_posix()})"
    for told in (tutorial, "## Citations", "## Licences", "patent", "not a medical device"):
        assert told in readme, told


def test_the_tutorial_goes_from_sample_data_to_a_report_with_what_is_there():
    tutorial = text_of(TUTORIAL)
    assert tutorial.count("](../Screenshots/") >= 4 and "--report" in tutorial
    for sample in read_samples():
        assert f"**{sample.name}**" in tutorial
    shown = "".join(text_of(path) for path in ROOT.glob("CMR*/Resources/UI/*.ui"))
    named = set(re.findall(r"\*\*([A-Z][\w ()]+)\*\*", tutorial)) - {sample.name for sample in read_samples()} - {"N"}
    assert len(named) >= 4
    for text in named:
        assert f"<string>{text}" in shown, f"no button is called {text}"
    for text in re.findall(r"\*Cardiac > (.*?)\*", tutorial):
        assert any(f'title = _("{text}")' in text_of(path) for path in MODULES.values()), text


def test_sample_data_is_registered_with_checksums_and_lies_where_the_publisher_says():
    samples = read_samples()
    assert len({sample.name for sample in samples}) == len({sample.file for sample in samples}) == len(samples) >= 2
    for sample in samples:
        assert sample.url == f"{meta('HOMEPAGE')}/releases/download/SampleData/{sample.file}"
        assert re.fullmatch(r"[0-9a-f]{64}", sample.sha256)
        height, width = matplotlib.image.imread(ROOT / "CMRT1Mapping" / "Resources" / sample.thumbnail).shape[:2]
        assert (width, height) == (280, 260)
    assert '.connect("startupCompleted()", registerSampleData)' in text_of(MODULES["CMRT1Mapping"])


@pytest.mark.parametrize("name", list(MODULES))
def test_a_module_installs_nothing_and_imports_nothing_when_slicer_starts(name):
    """Only what every Slicer has is imported at the top of the modules' files and scenes; torch nowhere."""
    files = [MODULES[name], *MODULES[name].parent.glob("*Lib/scene/*.py")]
    for path in files:
        for node in ast.parse(text_of(path)).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for found in names:
                top = found.split(".")[0]
                assert not top.startswith("torch") and "pip" not in top, f"{path}: {found}"
    own = {path.stem for path in ROOT.glob("CMR*/CMR*Lib")} | {"__future__"}
    for node in ast.parse(text_of(MODULES[name])).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for found in names:
                top = found.split(".")[0]
                assert top in IN_EVERY_SLICER | own or top in sys.stdlib_module_names, found


def test_panels_style_nothing_themselves():
    for path in ROOT.glob("CMR*/Resources/UI/*.ui"):
        assert "styleSheet" not in text_of(path), path


def test_the_page_for_the_publisher_names_the_places():
    page = text_of(PUBLISHING)
    for path in (ROOT / "CMakeLists.txt", SAMPLES, INDEX_ENTRY):
        assert f"`{path.relative_to(ROOT).as_posix()}`" in page and path.is_file()
    assert "3d-slicer-extension" in page and "Resources/Scripts/sample_data.py" in page
    address = meta("HOMEPAGE").removeprefix("https://github.com/")
    held = [path for path in kept_files() if address.encode() in path.read_bytes()]
    assert {path.suffix for path in held} <= {".txt", ".toml", ".md", ".yml", ".py", ".json"}, "sed would spoil others"
