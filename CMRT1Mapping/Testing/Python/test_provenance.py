"""Provenance attributes and software versions."""

import subprocess
import sys
from pathlib import Path

import numpy

from CMRLib import __version__
from CMRLib.provenance import result_attributes, software_versions


def test_attributes_carry_what_is_known_and_nothing_else():
    assert result_attributes("t1", source="n1", device="cpu", parameters={"Scheme": "shmolli", "LastTest": ""}) == {
        "CMR.Role": "t1",
        "CMR.Source": "n1",
        "CMR.Device": "cpu",
        "CMR.Version": __version__,
        "CMR.Scheme": "shmolli",
    }


def test_attributes_of_a_network():
    attributes = result_attributes("segmentation", model="net", model_sha256="ab12")
    assert attributes["CMR.Model"] == "net" and attributes["CMR.ModelSHA256"] == "ab12"


def test_parameters_become_text():
    parameters = {"InversionTimes": (100.0, 180.5), "NoiseSD": 2.25, "Count": 7, "None": None}
    attributes = result_attributes("t1", parameters=parameters)
    assert attributes["CMR.InversionTimes"] == "100 180.5"
    assert attributes["CMR.NoiseSD"] == "2.25" and attributes["CMR.Count"] == "7"
    assert "CMR.None" not in attributes


def test_software_versions_are_those_in_use():
    versions = software_versions()
    assert versions["CMRMapping"] == __version__
    assert versions["numpy"] == numpy.__version__
    assert versions["Python"] == "{}.{}.{}".format(*sys.version_info)
    assert "Slicer" not in versions


def test_asking_for_versions_imports_nothing_heavy():
    script = (
        "import sys; from CMRLib.provenance import software_versions; software_versions();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False).returncode == 0
