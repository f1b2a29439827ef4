"""Volumes that Slicer's own DICOM plugins loaded: the files that they were loaded from tell what they show."""

import types

import numpy as np
import pydicom
from dicom_builder import Exam

from CMRLib.geometry import Geometry


def test_states_and_slices_are_told_by_files_not_by_names(scene, tmp_path, monkeypatch):
    """Two T1 maps, the second after half an hour, with names that say nothing."""
    import slicer

    from CMRLib.scene.loaded import loadedStudy
    from CMRLib.scene.volumes import addVolume

    exam, files, volumes = Exam(tmp_path), {}, []
    for name, (description, minutes) in {"12": ("ShMOLLI_T1MAP", 0.2), "40": ("ShMOLLI_post_T1MAP", 30.2)}.items():
        file = exam.single(description, minutes=minutes)
        uid = str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
        files[uid] = str(file)
        volume = addVolume(name, np.full((1, 12, 16), 900.0, np.float32), Geometry(spacing=(1.0, 1.0, 8.0)))
        volume.SetAttribute("DICOM.instanceUIDs", uid)
        volumes.append(volume)
    database = types.SimpleNamespace(fileForInstance=lambda uid: files.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    study, nodes = loadedStudy(tmp_path)
    assert [(series.role, series.state, series.slice) for series in study.series] == [
        ("t1", "rest", "mid"),
        ("t1", "post", "mid"),
    ]
    assert list(nodes.values()) == volumes and study.unrecognised == ()
    slicer.mrmlScene.Clear(0)
    addVolume("12", np.full((1, 12, 16), 900.0, np.float32), Geometry(spacing=(1.0, 1.0, 8.0)))
    other = addVolume("T1 map", np.full((1, 12, 16), 900.0, np.float32), Geometry(spacing=(1.0, 1.0, 8.0)))
    study, nodes = loadedStudy(tmp_path)
    assert list(nodes.values()) == [other] and study.unrecognised[0].what == "12"
