"""The scene in plain Python: what commands and tests stand on."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from CMRLib.errors import MissingDependencyError
from CMRLib.standalone import createApplication

LIBRARY = Path(__file__).resolve().parents[2]


def test_second_call_returns_the_same_application():
    assert createApplication() is createApplication()


def test_scene_modules_and_application_belong_together(scene):
    import slicer

    assert slicer.app.mrmlScene() is slicer.mrmlScene
    assert slicer.app.applicationLogic().GetMRMLScene() is slicer.mrmlScene
    for name in ("volumes", "segmentations", "markups", "sequences", "tables", "plots", "colors", "texts"):
        assert getattr(slicer.modules, name).logic().GetMRMLScene() is slicer.mrmlScene, name
    assert slicer.app.moduleLogic("Sequences") is slicer.modules.sequences.logic()
    assert slicer.app.layoutManager() is None


def test_unknown_module_is_an_error(scene):
    import slicer

    assert not hasattr(slicer.modules, "noSuchModule")


def test_node_classes_of_the_composed_modules_are_registered(scene):
    for className in ("vtkMRMLSequenceBrowserNode", "vtkMRMLColorLegendDisplayNode", "vtkMRMLPlotChartNode"):
        assert scene.CreateNodeByClass(className) is not None, className


def test_scene_bundle_is_written_and_read_back(scene, tmp_path):
    import slicer

    pixels = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    slicer.util.addVolumeFromArray(pixels, name="kept")
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert np.array_equal(slicer.util.arrayFromVolume(scene.GetFirstNodeByName("kept")), pixels)


def test_clear_keeps_the_application_usable(scene):
    import slicer

    scene.Clear(0)
    volume = slicer.util.addVolumeFromArray(np.ones((1, 2, 2), np.float32))
    assert slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(volume) is not None
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume) == hierarchy.GetItemByDataNode(volume) != 0


def test_missing_packages_are_named(monkeypatch):
    import slicer

    monkeypatch.delattr(slicer, "app", raising=False)
    monkeypatch.setitem(sys.modules, "trame_slicer.core", None)
    with pytest.raises(MissingDependencyError, match=r"cmr-mapping\[scene\]"):
        createApplication()


def test_no_qt_is_imported():
    script = (
        "import sys; from CMRLib.standalone import createApplication; createApplication();"
        "sys.exit(any(m.split('.')[0] in ('PySide6', 'PyQt5', 'PyQt6', 'qt') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=LIBRARY, check=False).returncode == 0
