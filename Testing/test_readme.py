"""The documents hold what the results say, and show and name what is there."""

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README, CONTRIBUTING, MEASURED, TUTORIAL, BATCH, PUBLISHING = (
    ROOT / name
    for name in (
        "README.md",
        ".github/CONTRIBUTING.md",
        "Testing/Results/README.md",
        "Resources/Documentation/Tutorial.md",
        "Resources/Documentation/Batch.md",
        ".github/PUBLISHING.md",
    )
)


@pytest.fixture
def evaluate(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "Resources" / "Scripts"))
    import cmr_evaluate

    return cmr_evaluate.main


def tables_of(document):
    return re.findall(r"<!-- table ([\w-]+) -->", document.read_text(encoding="utf-8"))


def test_tables_are_those_of_the_results(evaluate):
    assert evaluate(["readme", "--check"]) == 0


def test_every_table_of_the_results_is_shown_and_the_readme_has_one():
    results = [json.loads(file.read_text(encoding="utf-8")) for file in MEASURED.parent.glob("*.json")]
    assert sorted(tables_of(MEASURED)) == sorted(name for result in results for name in result["tables"])
    assert tables_of(README) == ["key-figures"]
    outside = re.sub(r"<!-- table.*?<!-- end -->", "", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "\n|" not in outside, "a table in the README that no command writes"


@pytest.mark.parametrize(
    ("document", "row"), [(README, "| T1 within 1 ms "), (MEASURED, "| of these, T1 within 1 ms of the scanner | ")]
)
def test_a_changed_number_is_noticed_and_put_right(evaluate, tmp_path, document, row):
    copies = [tmp_path / "README.md", tmp_path / "MEASURED.md"]
    for source, copy in zip((README, MEASURED), copies, strict=True):
        copy.write_bytes(source.read_bytes())
    changed = copies[(README, MEASURED).index(document)]
    before = document.read_text(encoding="utf-8")
    assert row in before
    changed.write_text(before.replace(row, f"{row}1"), encoding="utf-8")
    given = ["readme", "--readme", *map(str, copies)]
    assert evaluate([*given, "--check"]) == 1
    assert evaluate(given) == 0
    assert [copy.read_bytes() for copy in copies] == [README.read_bytes(), MEASURED.read_bytes()]


def test_a_table_without_results_is_refused(evaluate, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- table t1-nothing -->\n<!-- end -->\n", encoding="utf-8")
    assert evaluate(["readme", "--readme", str(readme)]) == 1
    assert "t1-nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "document",
    [README, CONTRIBUTING, MEASURED, TUTORIAL, BATCH, PUBLISHING],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_files_that_a_document_names_exist(document):
    text = document.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w/.-]+)\)", text)
    named = re.findall(r"(?:python3?|python-script|python) ((?:Resources|Testing)/[\w/.]+)", text)
    named += re.findall(r"`((?:CMR(?!_)|Resources|Testing|\.github)[\w/]*(?:\.[a-z]+)?)`", text)
    assert linked + named
    for name in linked:
        assert (document.parent / name).exists(), name
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "CMRT1Mapping" / name).exists(), name


def test_code_that_the_page_for_developers_names_is_there():
    named = re.findall(r"`(CMR\w+(?:\.[a-z_]+)+)\.([A-Z]\w+)`", CONTRIBUTING.read_text(encoding="utf-8"))
    assert len(named) >= 3
    for module, name in named:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
