"""Sample data: what Slicer's module is told of it, what a click loads, and how the archives are made."""

import hashlib
import importlib.machinery
import sys
import types
import zipfile
from pathlib import Path

import pytest

from CMRLib.errors import InputError
from CMRLib.files.samples import read_samples
from CMRLib.simulation import simulate_study
from CMRLib.simulation.dicom_writer import write_dicom_study

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / "CMRT1Mapping" / "CMRT1Mapping.py"


@pytest.fixture
def command(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "Resources" / "Scripts"))
    import sample_data

    return sample_data


@pytest.fixture
def sample_module(monkeypatch):
    """Slicer's module Sample Data, with the arguments that it takes; its answer to a download is ``found``."""
    registered, found = [], []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(
            category="Custom",
            sampleName=None,
            uris=None,
            fileNames=None,
            nodeNames=None,
            customDownloader=None,
            thumbnailFileName=None,
            loadFileType="VolumeFile",
            loadFiles=None,
            loadFileProperties=None,
            checksums=None,
        ):
            registered.append(types.SimpleNamespace(**locals()))

        def downloadFromSource(self, source, maximumAttemptsCount=3):
            return found

    module = types.ModuleType("SampleData")
    module.__spec__ = importlib.machinery.ModuleSpec("SampleData", None)
    module.SampleDataLogic, module.registered, module.found = SampleDataLogic, registered, found
    monkeypatch.setitem(sys.modules, "SampleData", module)
    return module


def test_samples_are_registered_once_slicer_has_started(host, sample_module):
    from CMRLib.scene.sampledata import registerSampleData

    host.loadModule(MODULE)
    sample_module.registered.clear()  # by the start that the host plays
    registerSampleData()
    assert [one.sampleName for one in sample_module.registered] == [sample.name for sample in read_samples()]
    for one, sample in zip(sample_module.registered, read_samples(), strict=True):
        assert (one.category, one.uris, one.fileNames) == ("CMRMapping", sample.url, sample.file)
        assert one.checksums == f"SHA256:{sample.sha256}" and one.loadFileType == "ZipFile"
        assert Path(one.thumbnailFileName).is_file() and callable(one.customDownloader)


def test_a_click_loads_the_acquisitions(scene, host, sample_module, command, tmp_path):
    import slicer

    from CMRLib.scene import acquisitions
    from CMRLib.scene.sampledata import registerSampleData

    study = simulate_study(seed=5, shape=(64, 64), states=("rest", "stress"), slices=("mid",))
    write_dicom_study(study, tmp_path / "dicom")
    with zipfile.ZipFile(command.pack(tmp_path / "dicom", tmp_path / "x.zip")) as bundle:
        bundle.extractall(tmp_path / "x")
    sample_module.found.append(str(tmp_path / "x"))
    registerSampleData()
    source = sample_module.registered[0]
    loaded = source.customDownloader(source)
    assert [node.GetName() for node in loaded] == ["Rest mid", "Stress mid"]
    assert all(acquisitions.phaseOf(node) is not None for node in loaded)
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert acquisitions.shownVolume(loaded[0]).GetID() in {one.GetBackgroundVolumeID() for one in composites}


def test_a_slicer_without_the_module_starts_all_the_same(host):
    from CMRLib.scene.sampledata import registerSampleData

    registerSampleData()


@pytest.mark.parametrize("found", [[], ["/nowhere/x.zip"]])
def test_a_failed_download_is_one_sentence(host, sample_module, found):
    from CMRLib.scene.sampledata import registerSampleData

    sample_module.found.extend(found)
    registerSampleData()
    source = sample_module.registered[0]
    assert source.customDownloader(source) == []
    (message,) = host.takeMessages()
    assert message.kind == "error" and message.text.endswith("could not be downloaded; check the network.")


def test_a_damaged_list_is_told(tmp_path):
    (tmp_path / "list.json").write_text('{"samples": [{}], "url": ""}')
    with pytest.raises(InputError, match="install the extension again"):
        read_samples(tmp_path / "list.json")


def test_an_archive_does_not_depend_on_when_and_where_it_is_packed(command, tmp_path):
    study = simulate_study(seed=5, shape=(64, 64), slices=("mid",))
    archives = []
    for name in ("one", "two"):
        write_dicom_study(study, tmp_path / name)
        archives.append(command.pack(tmp_path / name, tmp_path / f"{name}.zip").read_bytes())
    assert archives[0] == archives[1]


@pytest.mark.slow
def test_the_command_makes_the_archive_that_is_recorded(command, tmp_path):
    """Where this fails after a change of the simulation or the version: sample_data.py --record, and upload."""
    sample = read_samples()[0]
    assert hashlib.sha256(command.make(sample, tmp_path).read_bytes()).hexdigest() == sample.sha256


def test_recording_changes_checksums_alone(command, tmp_path):
    kept = (ROOT / "CMRT1Mapping" / "Resources" / "sample_data.json").read_text(encoding="utf-8")
    path = tmp_path / "list.json"
    path.write_text(kept, encoding="utf-8")
    command.record(path, {sample.file: "ab" * 32 for sample in read_samples()})
    assert [sample.sha256 for sample in read_samples(path)] == ["ab" * 32] * len(read_samples())
    command.record(path, {sample.file: sample.sha256 for sample in read_samples()})
    assert path.read_text(encoding="utf-8") == kept
