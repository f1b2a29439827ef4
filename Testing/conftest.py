"""What every test can ask for: the real images, and a started host of the Qt side of Slicer."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data():
    """Folder with the real images; a test that asks for it is skipped, aloud, where there is none."""
    folder = Path(os.environ.get("CMR_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"REAL IMAGES ARE MISSING: no folder {folder}; set CMR_REAL_DATA to where they are")
    return folder


@pytest.fixture(scope="module")
def started_host():
    """The host, started for the tests of one file."""
    from SlicerHost import start

    host = start()
    yield host
    host.stop()


@pytest.fixture
def host(started_host):
    """The host with an empty scene and no module loaded; errors in callbacks that nobody looked at fail the test."""
    started_host.reset()
    yield started_host
    started_host.check()
    started_host.reset()
