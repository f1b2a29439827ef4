"""``DICOMLib``: the base classes of DICOM plugins, and the part of the DICOM database that plugins ask."""

from __future__ import annotations

import hashlib
from typing import Any

import pydicom
import slicer


class DICOMLoadable:
    """Something that can be loaded from files."""

    def __init__(self, qLoadable: Any = None) -> None:
        self.files: list[str] = []
        self.name = "Unknown"
        self.tooltip = "No further information available"
        self.warning = ""
        self.selected = False
        self.confidence = 0.5


class DICOMPlugin:
    """Base of the classes that say what can be loaded from DICOM files, and load it."""

    def __init__(self) -> None:
        self.loadType = "Generic DICOM"
        self.loadableCache: dict[str, list[DICOMLoadable]] = {}
        self.tags = {"seriesDescription": "0008,103E", "seriesNumber": "0020,0011"}
        self.tempDir = None

    def hashFiles(self, files: list[str]) -> str:
        return hashlib.md5("".join(files).encode(), usedforsecurity=False).hexdigest()

    def getCachedLoadables(self, files: list[str]) -> list[DICOMLoadable] | None:
        return self.loadableCache.get(self.hashFiles(files))

    def cacheLoadables(self, files: list[str], loadables: list[DICOMLoadable]) -> None:
        self.loadableCache[self.hashFiles(files)] = loadables

    def examineForImport(self, fileList: list[list[str]]) -> list[DICOMLoadable]:
        return [loadable for files in fileList for loadable in self.examineFiles(files)]

    def examineFiles(self, files: list[str]) -> list[DICOMLoadable]:
        return []

    def load(self, loadable: DICOMLoadable) -> Any:
        return True

    def addSeriesInSubjectHierarchy(self, loadable: DICOMLoadable, dataNode: Any) -> None:
        """File the node as a series under its study and patient, named from the tags of its first file."""
        constants = slicer.vtkMRMLSubjectHierarchyConstants
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        value = lambda tag: slicer.dicomDatabase.fileValue(loadable.files[0], tag)  # noqa: E731
        uid = constants.GetDICOMUIDName()
        series = hierarchy.CreateItem(hierarchy.GetSceneItemID(), dataNode)
        hierarchy.SetItemUID(series, uid, value("0020,000E"))
        modality = constants.GetDICOMSeriesModalityAttributeName()
        hierarchy.SetItemAttribute(series, modality, value("0008,0060"))
        number = constants.GetDICOMSeriesNumberAttributeName()
        hierarchy.SetItemAttribute(series, number, value("0020,0011"))
        patient_id, study_uid = value("0010,0020"), value("0020,000D")
        slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(
            hierarchy, patient_id, study_uid, value("0020,000E")
        )
        hierarchy.SetItemName(hierarchy.GetItemByUID(uid, patient_id), value("0010,0010") or "No name")
        study = f"{value('0008,1030') or 'No study description'} ({value('0008,0020')})"
        hierarchy.SetItemName(hierarchy.GetItemByUID(uid, study_uid), study)


class Database:
    """``slicer.dicomDatabase``: reads tags straight from the files."""

    def fileValue(self, fileName: str, tag: str) -> str:
        """Value of the tag ``gggg,eeee`` in a file, as text; empty where there is none."""
        group, element = (int(part, 16) for part in tag.split(","))
        header = pydicom.dcmread(fileName, stop_before_pixels=True, specific_tags=[(group, element)])
        value = header.get((group, element))
        if value is None or value.value is None:
            return ""
        return "\\".join(map(str, value.value)) if value.VM > 1 else str(value.value)
