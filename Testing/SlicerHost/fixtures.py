"""What tests can ask for: the host, or the real Slicer that they run in, its scene alone, and the real images."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before any of these libraries is loaded: processes that each compute with all cores wait for each other.
    for limit in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(limit, "1")

# What else a computer is busy with can make any single example slow; that is no fault of the code under test.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")


@pytest.fixture(scope="session")
def real_data():
    """Folder with the real images; a test that asks for it is skipped, aloud, where there is none."""
    folder = Path(os.environ.get("CMR_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"REAL IMAGES ARE MISSING: no folder {folder}; set CMR_REAL_DATA to where they are")
    return folder


@pytest.fixture
def scene():
    """The MRML scene, empty, without the rest of the host."""
    from CMRLib.standalone import createApplication

    createApplication()
    import slicer

    slicer.mrmlScene.Clear(0)
    return slicer.mrmlScene


@pytest.fixture
def one_thread():
    """torch with one thread, so that what it computes does not depend on the machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def started_host():
    """The host, started for the tests of one file, with an empty scene."""
    from SlicerHost import start

    host = start()
    host.reset()
    yield host
    host.stop()


def expect_nothing_else(host):
    """Fail when there are errors in callbacks, or error messages to the user, that the test has not looked at."""
    host.check()
    errors = [shown.text for shown in host.takeMessages() if shown.kind == "error"]
    assert not errors, f"error messages that the test did not expect: {errors}"


@pytest.fixture
def host(started_host):
    """The host with an empty scene and no module loaded; unexpected errors fail the test."""
    yield started_host
    try:
        expect_nothing_else(started_host)
    finally:
        started_host.reset()
