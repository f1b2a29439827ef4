"""The README holds what the results say, and shows and names what is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def evaluate(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "Resources" / "Scripts"))
    import cmr_evaluate

    return cmr_evaluate.main


def test_tables_are_those_of_the_results(evaluate):
    assert evaluate(["readme", "--check"]) == 0


def test_a_changed_number_is_noticed_and_put_right(evaluate, tmp_path):
    copy = tmp_path / "README.md"
    changed = README.replace(
        "| of these, T1 within 1 ms of the scanner | ", "| of these, T1 within 1 ms of the scanner | 1"
    )
    assert changed != README
    copy.write_text(changed, encoding="utf-8")
    assert evaluate(["readme", "--readme", str(copy), "--check"]) == 1
    assert evaluate(["readme", "--readme", str(copy)]) == 0
    assert copy.read_text(encoding="utf-8") == README


def test_a_table_without_results_is_refused(evaluate, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- table t1-nothing -->\n<!-- end -->\n", encoding="utf-8")
    assert evaluate(["readme", "--readme", str(readme)]) == 1
    assert "t1-nothing" in capsys.readouterr().err


def test_files_that_it_names_exist():
    named = re.findall(r"\]\(([\w/.-]+)\)", README)
    named += re.findall(r"(?:python3?|python-script|python) ((?:Resources|Testing)/[\w/.]+)", README)
    named += re.findall(r"`((?:CMR|Resources|Testing)[\w/]*(?:\.\w+)?)`", README)
    assert len(named) > 12
    for name in named:
        assert (
            (ROOT / name).exists() or (ROOT / "CMRT1Mapping" / name).exists() or name.startswith("CMRLandmarksLib")
        ), name
