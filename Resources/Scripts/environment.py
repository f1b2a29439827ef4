"""Make the repository's own Python environment, ``.venv`` at its root, and go on in it.

Standard library alone, so that any Python 3.10 to 3.13 on a fresh machine can run it. A stamp inside the environment
says what it was made from; it is written last, so an environment without a valid stamp was interrupted and is made
again from the start.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "cmr-mapping-complete.json"
# The version the results in the README were measured with; any later one that pyproject.toml admits works as well.
TORCH = "torch==2.13.0"
OLDEST, NEWEST = (3, 10), (3, 13)
EXIT_MISSING = 3

# Package managers in the order in which they are looked for, and how each is told to install packages.
INSTALL = {
    "apt-get": "apt-get update && apt-get install -y --no-install-recommends",
    "dnf": "dnf install",
    "zypper": "zypper install",
    "pacman": "pacman -S --needed",
}
# What the off-screen renderers of VTK (EGL) and Qt load at run time, a font, and what `python -m venv` needs; and the
# package that holds each with apt-get (Debian, Ubuntu), dnf (Fedora), zypper (openSUSE) and pacman (Arch).
PACKAGES = {
    "libEGL.so.1": ("libegl1", "mesa-libEGL", "Mesa-libEGL1", "libglvnd"),
    "libGL.so.1": ("libgl1", "mesa-libGL", "Mesa-libGL1", "libglvnd"),
    "libX11.so.6": ("libx11-6", "libX11", "libX11-6", "libx11"),
    "libxkbcommon.so.0": ("libxkbcommon0", "libxkbcommon", "libxkbcommon0", "libxkbcommon"),
    "libdbus-1.so.3": ("libdbus-1-3", "dbus-libs", "libdbus-1-3", "dbus"),
    "libfontconfig.so.1": ("libfontconfig1", "fontconfig", "libfontconfig1", "fontconfig"),
    "libglib-2.0.so.0": ("libglib2.0-0", "glib2", "libglib-2_0-0", "glib2"),
    "font": ("fonts-dejavu-core", "dejavu-sans-fonts", "dejavu-fonts", "ttf-dejavu"),
    "venv": ("python{0}.{1}-venv", "python{0}.{1}", "python{0}{1}-base", "python"),
}
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
# Programs that tests ask for their opinion, and are skipped without: command -> Debian package.
TEST_TOOLS = {"dciodvfy": "dicom3tools", "chromium": "chromium"}


class EnvironmentProblem(Exception):
    """The environment cannot be made; the text is one sentence with the remedy."""


def enter() -> None:
    """Make sure that the calling script runs in the environment: make it when needed, then start the script in it.

    Returns only inside the environment. What stands in the way is printed as one sentence, with exit status 3.
    """
    try:
        python = make()
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        raise SystemExit(EXIT_MISSING) from None
    except KeyboardInterrupt:
        print("Cancelled; run the same command again to finish the environment.", file=sys.stderr)
        raise SystemExit(130) from None
    if _inside():
        return
    command = [str(python), *sys.argv]
    if os.name == "nt":  # exec on Windows returns to the shell before the program ends
        raise SystemExit(subprocess.call(command))
    sys.stdout.flush()
    os.execv(command[0], command)


def make() -> Path:
    """Make or bring up to date the environment and return its Python; quick when there is nothing to do.

    Raises:
        EnvironmentProblem: this Python is too old or new, a system library is missing, or pip failed.
    """
    _check_python()
    _install_from_the_system(_missing_from_the_system())
    with _one_at_a_time():
        if not _is_current():
            _build()
    return _environment_python()


def _check_python() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise EnvironmentProblem(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} is not supported; "
            "run this command with Python 3.10, 3.11, 3.12 or 3.13."
        )
    if not (ROOT / "pyproject.toml").is_file():
        raise EnvironmentProblem(f"{ROOT} is not a clone of the repository; run the script from a clone.")


def _missing_from_the_system() -> list[str]:
    """What is missing of `PACKAGES`; empty on Windows and macOS, whose wheels need nothing more."""
    if not sys.platform.startswith("linux"):
        return []
    missing = [library for library in PACKAGES if ".so." in library and not _can_load(library)]
    if not any(next(Path(folder).expanduser().rglob("*.[to]tf"), None) for folder in FONT_FOLDERS):
        missing.append("font")
    if not _inside() and not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        missing.append("venv")
    return missing


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _packages(missing: list[str], manager: str) -> list[str]:
    """Names of the packages that hold what is missing, as a package manager calls them, each once."""
    column = list(INSTALL).index(manager)
    return list(dict.fromkeys(PACKAGES[what][column].format(*sys.version_info[:2]) for what in missing))


def _install_from_the_system(missing: list[str]) -> None:
    """Install what is missing where that is allowed, to root with apt-get, and say what before anything is done.

    Raises:
        EnvironmentProblem: it is not allowed, and the text is the one command that does it; or it failed.
    """
    if not missing:
        return
    manager = next((name for name in INSTALL if shutil.which(name)), None)
    if manager is None:
        raise EnvironmentProblem(
            "Install what these Debian packages hold with your system's package manager, then run this command again: "
            + " ".join(_packages(missing, "apt-get"))
        )
    _install(_packages(missing, manager), manager)


def _install(packages: list[str], manager: str) -> None:
    command = " ".join([INSTALL[manager], *packages])
    if manager != "apt-get" or os.geteuid() != 0:
        raise EnvironmentProblem(f"System packages are missing. As root, run: {command}")
    print(f"Installing system packages, with what they depend on: {' '.join(packages)}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in command.split(" && "):
        if subprocess.call(step.split(), env=quiet, stdout=subprocess.DEVNULL) != 0:
            raise EnvironmentProblem(
                f"System packages could not be installed; see the message above and run: {command}"
            )


def install_test_tools() -> None:
    """Install the programs that tests use, where that is allowed; elsewhere say how, as tests do without them."""
    missing = {command: package for command, package in TEST_TOOLS.items() if shutil.which(command) is None}
    if not sys.platform.startswith("linux"):
        return
    for command, package in missing.items():  # each by itself, as a system may have one and not the other
        skipped = f"Tests that need {command} will be skipped."
        if shutil.which("apt-get") is None:
            print(f"{skipped} Debian has it in {package}.", flush=True)
            continue
        try:
            _install([package], "apt-get")
        except EnvironmentProblem as problem:
            print(f"{skipped} {problem}", flush=True)


def _build() -> None:
    """Create the environment, or bring the one this process runs in up to date, and stamp it."""
    if not _inside() and not _can_be_updated():
        print(f"Making the environment in {ENVIRONMENT} (once; some minutes)", flush=True)
        _call([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], "Python could not create .venv")
    STAMP.unlink(missing_ok=True)
    print("Installing the packages", flush=True)
    _call(
        [str(_environment_python()), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        + ["--editable", f"{ROOT}[test]", TORCH],
        "The packages could not be installed",
    )
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps(_key()), encoding="utf-8")
    os.replace(partial, STAMP)


def _can_be_updated() -> bool:
    """Whether the environment was once complete, here and for this Python; a half-made one can hold half a package."""
    stamp, key = _read_stamp(), _key()
    return all(stamp.get(name) == key[name] for name in ("python", "root")) and _runs()


def _call(command: list[str], failure: str) -> None:
    if subprocess.call(command, cwd=ROOT) != 0:
        raise EnvironmentProblem(
            f"{failure}; see the message above, check the network connection and free disk space, "
            "and run the same command again."
        )


def _is_current() -> bool:
    return _read_stamp() == _key() and _runs()


def _key() -> dict[str, str]:
    """What the environment is made from: packages, Python version and place."""
    packages = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + TORCH.encode()).hexdigest()
    return {"packages": packages, "python": f"{sys.version_info[0]}.{sys.version_info[1]}", "root": str(ROOT)}


def _read_stamp() -> dict[str, str]:
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _runs() -> bool:
    """Whether the environment's Python starts (the Python it was made from may be gone since)."""
    try:
        return subprocess.call([str(_environment_python()), "-c", "import pip"], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def _environment_python() -> Path:
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _inside() -> bool:
    return Path(sys.prefix).resolve() == ENVIRONMENT.resolve()


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait while another command makes the environment. Windows has no such lock; there the commands are on trust."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(ROOT / "pyproject.toml", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    enter()
    print(f"The environment is ready: {_environment_python()}")
