"""Other programs' eyes on DICOM files, for the tests of what is written: dciodvfy, dcmqi, SimpleITK."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (the name its users know)

NO_CHECKER = "dciodvfy is not installed (Debian's package dicom3tools), so the files' conformance was not checked"


def errors_of(file):
    """What dciodvfy calls an error in a file; the test is skipped, aloud, where it is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip(NO_CHECKER)
    told = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, errors="replace", check=False).stderr
    return [line for line in told.splitlines() if line.startswith("Error")]


def read_by_dcmqi(program, file, folder):
    """The images (by name) and the description that a program of dcmqi makes of a file."""
    folder.mkdir()
    binary = Path(importlib.util.find_spec("dcmqi").submodule_search_locations[0]) / "bin" / program
    if program == "tid1500reader":
        arguments, described = ["--outputMetadata", str(folder / "meta.json")], folder / "meta.json"
    else:
        arguments, described = ["--outputDirectory", str(folder), "--outputType", "nrrd"], folder / "meta.json"
    if program == "segimage2itkimage":
        arguments.append("--mergeSegments")
    done = subprocess.run([binary, "--inputDICOM", str(file), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    meta = described if described.is_file() else next(folder.glob("*.json"))
    return {path.stem: sitk.ReadImage(str(path)) for path in sorted(folder.glob("*.nrrd"))}, json.loads(
        meta.read_text(encoding="utf-8")
    )


def is_placed(image, geometry):
    """Whether an image of SimpleITK lies where a geometry says, up to the thickness of a single slice."""
    ends = np.array([[0, 0, 0], [40, 0, 0], [0, 40, 0]], dtype=float)
    expected = (geometry.ijk_to_lps() @ np.column_stack([ends, np.ones(3)]).T)[:3].T
    found = np.array([image.TransformContinuousIndexToPhysicalPoint(end[: image.GetDimension()]) for end in ends])
    return bool(np.abs(expected - found).max() < 0.01)
