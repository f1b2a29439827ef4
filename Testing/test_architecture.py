"""Who may import whom: the contracts of import-linter in ``pyproject.toml`` hold, and would be seen to be broken."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = ROOT / "pyproject.toml"
LIBRARIES = sorted(path.parent for path in ROOT.glob("CMR*/CMR*Lib/__init__.py"))
BROKEN = {
    "Modules stand beside each other and upon CMRLib": {
        "CMRLib/study/reading.py": "import CMRT1MappingLib.mapping",
        "CMRLandmarksLib/step.py": "from CMRT1MappingLib.step import STEP",
    },
    "Rooms of CMRLib import only downwards": {
        "CMRLib/files/images.py": "from CMRLib.study.series import Series",
        "CMRLib/anatomy/aha.py": "import CMRLib.batch.step",
        "CMRLib/cellar.py": "",
    },
    "Only scenes know Slicer": {
        "CMRT1MappingLib/fit/varpro.py": "import slicer",
        "CMRLib/batch/run.py": "def later():\n    from vtkmodules.vtkCommonCore import vtkObject",
        "CMRLandmarksLib/step.py": "import qt",
    },
    "Only scenes import scenes": {
        "CMRT1MappingLib/step.py": "from CMRT1MappingLib.scene import batch",
        "CMRLandmarksLib/prediction.py": "import CMRLib.scene.results",
        "CMRLib/batch/run.py": "from CMRLib.standalone import createApplication",
    },
    "What an analyst runs imports neither simulation nor training nor research": {
        "CMRT1MappingLib/mapping.py": "import CMRLib.simulation",
        "CMRLandmarksLib/step.py": "from CMRLandmarksLib.research import report",
        "CMRLib/networks/models.py": "def later():\n    import CMRLib.training.splits",
    },
}


def lint(folder):
    """The exit status and the report of import-linter on the packages in a folder."""
    linter = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(sys.argv[1], no_cache=True))"
    variables = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", linter, str(CONFIGURATION)], cwd=folder, env=variables, capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode("utf-8") + done.stderr.decode("utf-8")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A copy of all packages, side by side as Slicer has them."""
    folder = tmp_path_factory.mktemp("packages")
    for library in LIBRARIES:
        shutil.copytree(library, folder / library.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_every_contract_is_kept(packages):
    status, report = lint(packages)
    assert status == 0 and f"Contracts: {len(BROKEN)} kept, 0 broken." in report, report


def test_the_contracts_are_about_every_library():
    text = CONFIGURATION.read_text(encoding="utf-8").split("[tool.importlinter]")[1]
    names = {library.name for library in LIBRARIES}
    assert set(re.findall(r'"(\w+)"', re.search(r"root_packages = \[(.*?)\]", text)[1])) == names
    for room in ("scene", "research"):
        inside = {f"{library.name}.{room}" for library in LIBRARIES if (library / room).is_dir()}
        assert inside == set(re.findall(rf'"(\w+\.{room})"', text))


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [(contract, file, line) for contract, lines in BROKEN.items() for file, line in lines.items()],
)
def test_a_broken_contract_is_named(packages, contract, file, line):
    path = packages / file
    before = path.read_text(encoding="utf-8") if path.exists() else None
    try:
        path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
        status, report = lint(packages)
    finally:
        path.unlink()
        if before is not None:
            path.write_text(before, encoding="utf-8")
    assert status != 0 and "0 broken" not in report
    assert f"{contract} BROKEN" in report or (file == "CMRLib/cellar.py" and "cellar" in report), report
