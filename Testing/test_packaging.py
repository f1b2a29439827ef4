"""What ships: CMake's lists against the tree, the flat folder of Slicer, pip's packages, and what needs no torch."""

import ast
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from batch_studies import write_study

from CMRLib.batch.registry import STEP_MODULES, available_steps, load_step

ROOT = Path(__file__).resolve().parents[1]
# Screenshots and documents are for readers of the repository; training and measuring are for pip's users and the
# repository; the other scripts need the whole repository around them.
NOT_SHIPPED = ("Resources/Documentation/", "Resources/Screenshots/", "Testing/", "CMRLib/training/")
RESEARCH = re.compile(r"CMR\w+Lib/research/")
REPOSITORY_SCRIPTS = {
    "Resources/Scripts/cmr_evaluate.py",
    "Resources/Scripts/cmr_train.py",
    "Resources/Scripts/demo.py",
    "Resources/Scripts/environment.py",
    "Resources/Scripts/sample_data.py",
    "Resources/Scripts/screenshots.py",
}


def kept_files(folder):
    """Paths below ``folder``, relative to it, of the files in the repository."""
    listed = subprocess.run(["git", "ls-files", "-z", "."], cwd=folder, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return {name for name in listed.stdout.split("\0") if name and (folder / name).is_file()}
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


MODULES = [
    ROOT / name.split("/")[0] for name in sorted(kept_files(ROOT)) if re.fullmatch(r"CMR\w+/CMakeLists.txt", name)
]


def cmake_lists(folder):
    """Files that a CMakeLists.txt names in its lists of scripts and resources."""
    text = re.sub(r"#.*", "", (folder / "CMakeLists.txt").read_text(encoding="utf-8"))
    lists = re.findall(r"set\(\w+_PYTHON_(?:SCRIPTS|RESOURCES)\s([^)]*)\)", text)
    assert len(lists) == 2
    named = " ".join(lists).replace("${MODULE_NAME}", folder.name).split()
    assert len(named) == len(set(named))
    return set(named)


def shipped(names):
    return {
        name
        for name in names
        if not (name.startswith(NOT_SHIPPED) or RESEARCH.match(name) or Path(name).name == "CMakeLists.txt")
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_cmake_names_every_file_of_a_module_and_no_other(module):
    assert cmake_lists(module) == shipped(kept_files(module))


def test_cmake_names_every_shared_file_and_no_other():
    kept = {f"Resources/{name}" for name in kept_files(ROOT / "Resources")}
    assert cmake_lists(ROOT) == shipped(kept) - REPOSITORY_SCRIPTS


def test_cmake_builds_every_module():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.findall(r"^add_subdirectory\((\w+)\)", text, re.MULTILINE) == [module.name for module in MODULES]
    folders = {name.split("/")[0] for name in kept_files(ROOT) if re.fullmatch(r"CMR\w+/CMR\w+Lib/__init__.py", name)}
    assert folders == {module.name for module in MODULES}


def test_pip_names_every_package():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = set(re.findall(r'"([\w.]+)"', re.search(r"^packages = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)[1]))
    packages = set()
    for module in MODULES:
        inits = [Path(name) for name in kept_files(module) if name.endswith("/__init__.py")]
        packages |= {".".join(init.parent.parts) for init in inits if init.parts[0].endswith("Lib")}
        packages.add(f"{module.name}Resources")
    assert named == packages | {"CMRResources", "CMRResources.Scripts"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_file_of_a_module_is_thin(module):
    """Methods, nodes and parts of panels live in its library."""
    assert len((module / f"{module.name}.py").read_text(encoding="utf-8").splitlines()) < 400


def test_every_step_is_in_the_registry():
    """The file of a step in the tree, and its name in the registry: nothing else has to be known of it."""
    files = [file.relative_to(module) for module in MODULES for file in module.glob("*Lib/**/step.py")]
    there = {".".join(file.with_suffix("").parts) for file in files} - {"CMRLib.batch.step"}
    assert {STEP_MODULES[name] for name in available_steps()} == there
    for name in available_steps():
        step = load_step(name)
        assert step.name == name and importlib.util.find_spec(step.scene) is not None


def test_ci_runs_the_readme_s_test_command():
    command = "python3 Testing/run_tests.py"
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == f"exec {command}"
    assert f"run: {command}\n" in (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")


def test_ruff_has_one_version():
    pinned = re.findall(r"ruff==([\d.]+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hooks = re.findall(r"ruff==([\d.]+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert len(pinned) == 1 and len(hooks) == 2 and set(hooks) == set(pinned)
    assert importlib.metadata.version("ruff") == pinned[0]


def test_the_repository_has_one_address():
    """What names it elsewhere begins with the homepage in the top CMakeLists.txt, or is a raw file of the same."""
    homepage = re.search(r'EXTENSION_HOMEPAGE "(.*?)"', (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
    raw = homepage.replace("github.com", "raw.githubusercontent.com")
    found = 0
    for name in sorted(kept_files(ROOT)):
        if Path(name).suffix in {".txt", ".toml", ".md", ".yml", ".py"} and (ROOT / name) != Path(__file__):
            text = (ROOT / name).read_text(encoding="utf-8")
            for address in re.findall(r"https://(?:raw\.)?github[\w.]*\.com/CMRMapping[\w/.-]*", text):
                assert (address + "/").startswith((f"{homepage}/", f"{raw}/")), f"{name}: {address}"
                found += 1
    assert found > 5


@pytest.fixture(scope="module")
def flat_folder(tmp_path_factory):
    """The one folder into which Slicer installs the modules, filled with what CMake names."""
    folder = tmp_path_factory.mktemp("qt-scripted-modules")
    for source in (ROOT, *MODULES):
        for name in cmake_lists(source):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    return folder


def python(paths, *arguments, cwd):
    variables = {"PYTHONPATH": str(paths), "PATH": "", "HOME": str(cwd)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )


def test_batch_command_works_in_the_flat_folder_of_slicer(flat_folder, tmp_path):
    study = write_study(tmp_path / "in", "P001")
    script = flat_folder / "Resources" / "Scripts" / "cmr_batch.py"
    done = python(flat_folder, str(script), "--input", str(study), "--output", str(tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "P001" / "results.json").is_file()


FIND_RESOURCES = """
import CMRLib
from CMRLib.resources import resource_path
print(CMRLib.__file__)
for name in ("ColorTables/CMR_T1_1.5T.txt", "series_rules.json"):
    print(resource_path(name))
"""


def test_resources_are_found_in_the_flat_folder(flat_folder, tmp_path):
    found = python(flat_folder, "-c", FIND_RESOURCES, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 3 and all(line.startswith(str(flat_folder)) for line in lines)


def test_missing_resource_is_told():
    from CMRLib.errors import MissingDependencyError
    from CMRLib.resources import resource_path

    with pytest.raises(MissingDependencyError, match="ColorTables/none.txt of CMRMapping is missing; install"):
        resource_path("ColorTables/none.txt")


def test_pip_installs_packages_resources_and_commands(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    for name in kept_files(ROOT):
        if name.split("/")[0] != "Testing":
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *install, str(source)], check=True, cwd=tmp_path)

    found = python(target, "-c", FIND_RESOURCES, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 3 and all(line.startswith(str(target)) for line in lines)
    version = "import CMRLib, importlib.metadata as m; print(CMRLib.__version__ == m.version('cmr-mapping'))"
    assert python(target, "-c", version, cwd=tmp_path).stdout.strip() == "True"
    for command in ("cmr-batch", "cmr-evaluate", "cmr-train"):
        shown = python(target, str(target / "bin" / command), "--help", cwd=tmp_path)
        assert shown.returncode == 0 and shown.stdout.startswith(f"usage: {command}"), shown.stderr


def method_files():
    """The files of the method layer: no nodes, no panels."""
    for module in MODULES:
        for name in sorted(kept_files(module)):
            inside_library = name.split("/")[0].endswith("Lib") and name.endswith(".py")
            if inside_library and "/scene/" not in name and name != "CMRLib/standalone.py":
                yield module / name


def imported(tree):
    """Dotted names of everything that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_files():
    """What is loaded with Slicer's modules and by the batch command before anything is computed: file -> packages."""
    entries = [module / f"{module.name}.py" for module in MODULES]
    entries += [module / f"{module.name}Lib" / "step.py" for module in MODULES]
    entries += [module / name for module in MODULES for name in kept_files(module) if "Lib/scene/" in name]
    waiting, loaded = [*entries, ROOT / "CMRT1Mapping" / "CMRLib" / "batch" / "run.py"], {}
    while waiting:
        path = waiting.pop()
        if path not in loaded:
            statements = ast.parse(path.read_text(encoding="utf-8")).body
            loaded[path] = {name for statement in statements for name in imported_at_once(statement)}
            waiting += [file for name in loaded[path] for file in project_files(name)]
    return loaded


def imported_at_once(node):
    """Dotted names that a statement imports when its file is loaded; not those for type checkers alone."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from imported(ast.Module([node], []))
    elif isinstance(node, (ast.Try, ast.If)) and "TYPE_CHECKING" not in ast.dump(node):
        for child in node.body:
            yield from imported_at_once(child)


def project_files(name):
    """The files of this project that are loaded for a dotted name: the packages on its way, and the module."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        for module in MODULES:
            path = module.joinpath(*parts[:count])
            yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


def test_nothing_loads_torch_before_it_is_needed():
    loaded = loaded_files()
    assert len(loaded) > 40
    offences = [path.relative_to(ROOT) for path, names in loaded.items() if "torch" in {n.split(".")[0] for n in names}]
    assert offences == []


# Python as it is where torch is not installed.
HIDE_TORCH = (
    "import importlib.machinery as m, sys; find = m.PathFinder.find_spec; "
    "m.PathFinder.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)"
)


def test_libraries_load_where_torch_is_missing(tmp_path):
    methods = set(method_files())
    names = []
    for path in sorted(loaded_files()):
        if path in methods:
            (module,) = [m for m in MODULES if m in path.parents]
            names.append(".".join(path.relative_to(module).with_suffix("").parts).removesuffix(".__init__"))
    check = f"{HIDE_TORCH}; import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    done = python(":".join(map(str, MODULES)), "-c", check, *names, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
