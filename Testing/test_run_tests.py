"""``run_tests.py`` runs every check and all tests, tells what failed, and ends with a status that says so."""

import subprocess
import sys

import pytest
import run_tests


@pytest.fixture
def run(monkeypatch, capfd):
    """Run with stand-ins for the tools, which print their names and end as is given: status, output, commands."""
    started = []

    def run(*arguments, **statuses):
        def stand_in(command):
            assert command[:2] == [sys.executable, "-m"]
            started.append(command[2:])
            name = command[2]
            return [sys.executable, "-c", f"print('{name} speaks'); raise SystemExit({statuses.get(name, 0)})"]

        popen = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", lambda command, **options: popen(stand_in(command), **options))
        monkeypatch.setattr(run_tests.environment, "enter", lambda: None)
        monkeypatch.setattr(sys, "argv", ["run_tests.py", *arguments])
        status = run_tests.main()
        return status, capfd.readouterr().out, started

    return run


def test_everything_runs_and_pytest_has_the_last_word(run):
    status, printed, started = run("-k", "maps")
    assert status == 0 and printed.splitlines()[-1] == "pytest speaks"
    assert started[:3] == [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]
    assert started[3][0] == "pytest" and started[3][-2:] == ["-k", "maps"]


@pytest.mark.parametrize("tool", ["ruff", "mypy", "pytest"])
def test_what_fails_is_told_and_gives_the_status(run, tool):
    status, printed, started = run(**{tool: 7})
    assert status == 7 and f"{tool} speaks" in printed
    assert len(started) == 4, "the others run all the same"
