"""The environment is made once, mended after an interruption, brought up to date, and refused with one sentence."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "Resources" / "Scripts" / "environment.py"
Version = namedtuple("Version", "major minor micro releaselevel serial")


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """The script in a repository of its own; commands are recorded, and ``venv`` makes a bare environment."""
    script = tmp_path / "repository" / "Resources" / "Scripts" / "environment.py"
    script.parent.mkdir(parents=True)
    shutil.copyfile(SCRIPT, script)
    (tmp_path / "repository" / "pyproject.toml").write_text("[project]\n")
    spec = importlib.util.spec_from_file_location("environment_under_test", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.commands = []

    def call(command, failure):
        if "venv" in command:
            module.commands.append("venv")
            subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", command[-1]], check=True)
        else:
            module.commands.append("pip")

    module.really_call = module._call
    monkeypatch.setattr(module, "_call", call)
    monkeypatch.setattr(module, "_missing_from_the_system", list)
    monkeypatch.setattr(module, "_runs", lambda: module._environment_python().is_file())
    return module


def test_made_once(environment):
    python = environment.make()
    assert environment.commands == ["venv", "pip"]
    assert (
        subprocess.run([python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"], check=False).returncode
        == 0
    )
    assert environment.make() == python
    assert environment.commands == ["venv", "pip"]


def test_interrupted_while_installing_is_made_again_from_the_start(environment, monkeypatch):
    call = environment._call

    def interrupted(command, failure):
        call(command, failure)
        if "pip" in command:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_call", interrupted)
        with pytest.raises(SystemExit) as stopped:
            environment.enter()
    assert stopped.value.code == 130
    assert not environment.STAMP.exists()
    environment.make()
    assert environment.commands == ["venv", "pip", "venv", "pip"]


def test_changed_requirements_are_installed_into_what_is_there(environment):
    environment.make()
    (environment.ROOT / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    environment.make()
    environment.make()
    assert environment.commands == ["venv", "pip", "pip"]


def test_interrupted_update_is_made_again_from_the_start(environment, monkeypatch):
    environment.make()
    (environment.ROOT / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_call", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        pytest.raises(KeyboardInterrupt, environment.make)
    environment.make()
    assert environment.commands == ["venv", "pip", "venv", "pip"]


def test_moved_repository_and_vanished_python_are_made_again(environment):
    environment.make()
    stamp = json.loads(environment.STAMP.read_text())
    environment.STAMP.write_text(json.dumps({**stamp, "root": "elsewhere"}))
    environment.make()
    assert environment.commands == ["venv", "pip", "venv", "pip"]
    environment._environment_python().unlink()
    environment.make()
    assert environment.commands == ["venv", "pip"] * 3


def test_a_python_that_does_not_start_is_noticed(environment, monkeypatch):
    monkeypatch.undo()
    assert not environment._runs()
    python = environment._environment_python()
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert environment._runs()
    python.unlink()
    python.write_text("#!/bin/false\n")
    python.chmod(0o755)
    assert not environment._runs()


def test_another_python_gets_its_own_environment(environment, monkeypatch):
    environment.make()
    other = 10 if sys.version_info[1] != 10 else 11
    monkeypatch.setattr(environment.sys, "version_info", Version(3, other, 0, "final", 0))
    environment.make()
    assert environment.commands == ["venv", "pip", "venv", "pip"]


@pytest.mark.parametrize("minor", [9, 14])
def test_python_that_is_not_supported(environment, monkeypatch, capsys, minor):
    monkeypatch.setattr(environment.sys, "version_info", Version(3, minor, 0, "final", 0))
    with pytest.raises(SystemExit) as stopped:
        environment.enter()
    assert stopped.value.code == 3
    message = capsys.readouterr().err
    assert message == f"Python 3.{minor} is not supported; run this command with Python 3.10, 3.11, 3.12 or 3.13.\n"
    assert environment.commands == []


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [("venv", "Python could not create .venv"), ("pip", "The packages could not be installed")],
)
def test_failed_installation_is_told_and_leaves_no_stamp(environment, monkeypatch, fails, sentence):
    environment.make()
    (environment.ROOT / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    monkeypatch.setattr(environment, "_can_be_updated", lambda: fails == "pip")
    monkeypatch.setattr(environment, "_call", environment.really_call)
    monkeypatch.setattr(environment.subprocess, "call", lambda command, **options: int(fails in command))
    with pytest.raises(environment.EnvironmentProblem, match=f"^{sentence}; see the message above, check the network"):
        environment.make()
    assert not environment._is_current()
    assert environment.STAMP.exists() == (fails == "venv"), "what could not be made anew is as it was"


def test_missing_system_libraries(environment, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(environment.sys, "platform", "linux")
    monkeypatch.setattr(environment, "_can_load", lambda library: library not in ("libEGL.so.1", "libGL.so.1"))
    missing = environment._missing_from_the_system()
    assert [library for library in missing if library.startswith("lib")] == ["libEGL.so.1", "libGL.so.1"]
    monkeypatch.setattr(environment, "FONT_FOLDERS", ())
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    assert environment._missing_from_the_system() == ["libEGL.so.1", "libGL.so.1", "font", "venv"]
    monkeypatch.setattr(environment.sys, "platform", "darwin")
    assert environment._missing_from_the_system() == []


@pytest.mark.parametrize(
    ("manager", "root", "command"),
    [
        (
            "apt-get",
            False,
            "apt-get update && apt-get install -y --no-install-recommends libegl1 libgl1 python3.12-venv",
        ),
        ("dnf", True, "dnf install mesa-libEGL mesa-libGL python3.12"),
        ("dnf", False, "dnf install mesa-libEGL mesa-libGL python3.12"),
        ("zypper", True, "zypper install Mesa-libEGL1 Mesa-libGL1 python312-base"),
        ("pacman", True, "pacman -S --needed libglvnd python"),
    ],
)
def test_the_one_command_is_printed_where_nothing_may_be_installed(environment, monkeypatch, manager, root, command):
    monkeypatch.setattr(environment.sys, "version_info", Version(3, 12, 0, "final", 0))
    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/usr/bin/{name}" if name == manager else None)
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(environment.subprocess, "call", lambda *args, **options: pytest.fail(f"it ran {args}"))
    with pytest.raises(environment.EnvironmentProblem) as problem:
        environment._install_from_the_system(["libEGL.so.1", "libGL.so.1", "venv"])
    assert str(problem.value) == f"System packages are missing. As root, run: {command}"


def test_an_unknown_package_manager_is_told_the_packages(environment, monkeypatch):
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    with pytest.raises(environment.EnvironmentProblem, match="your system's package manager.*: libegl1 libgl1$"):
        environment._install_from_the_system(["libEGL.so.1", "libGL.so.1"])
    environment._install_from_the_system([])


def test_every_package_has_a_name_for_every_package_manager(environment):
    assert all(all(names) and len(names) == len(environment.INSTALL) for names in environment.PACKAGES.values())


def test_system_packages_are_named_and_then_installed_where_that_is_allowed(environment, monkeypatch, capsys):
    monkeypatch.undo()
    calls, announced = [], []

    def call(command, **options):
        announced.append(capsys.readouterr().out)
        calls.append(command)
        return 0

    monkeypatch.setattr(environment.shutil, "which", lambda name: "/usr/bin/apt-get")
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
    monkeypatch.setattr(environment.subprocess, "call", call)
    environment._install_from_the_system(["libEGL.so.1", "libGL.so.1"])
    assert announced == ["Installing system packages, with what they depend on: libegl1 libgl1\n", ""]
    assert calls == [
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", "libegl1", "libgl1"],
    ]
    monkeypatch.setattr(environment.subprocess, "call", lambda command, **options: 100)
    with pytest.raises(environment.EnvironmentProblem, match="could not be installed; see the message above"):
        environment._install_from_the_system(["libEGL.so.1"])


def test_two_commands_at_once_take_turns(environment):
    pytest.importorskip("fcntl", reason="Windows has no such lock")
    waits = (
        f"import fcntl; fcntl.flock(open({str(environment.ROOT / 'pyproject.toml')!r}), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    with environment._one_at_a_time():
        assert (
            b"BlockingIOError" in subprocess.run([sys.executable, "-c", waits], capture_output=True, check=False).stderr
        )
    assert subprocess.run([sys.executable, "-c", waits], check=False).returncode == 0


def test_programs_of_tests_are_installed_where_that_is_allowed_and_told_elsewhere(environment, monkeypatch, capsys):
    monkeypatch.setattr(environment.shutil, "which", lambda name: None if name == "dciodvfy" else f"/usr/bin/{name}")
    called = []
    monkeypatch.setattr(environment.subprocess, "call", lambda command, **rest: called.append(command) or 0)
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
    environment.install_test_tools()
    assert called[-1][-1] == "dicom3tools" and "dicom3tools" in capsys.readouterr().out
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)
    environment.install_test_tools()
    told = capsys.readouterr().out
    assert told.startswith("Tests that need dciodvfy will be skipped.") and "As root, run: apt-get update &&" in told
    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/usr/bin/{name}")
    called.clear()
    environment.install_test_tools()
    assert called == [] and capsys.readouterr().out == ""


def test_a_program_of_tests_that_the_system_lacks_does_not_keep_the_others_out(environment, monkeypatch, capsys):
    monkeypatch.setattr(environment.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
    monkeypatch.setattr(environment.subprocess, "call", lambda command, **rest: 100 * ("dicom3tools" in command))
    environment.install_test_tools()
    told = capsys.readouterr().out
    assert "Tests that need dciodvfy will be skipped. System packages could not be installed" in told
    assert "depend on: chromium" in told and "need chromium" not in told
