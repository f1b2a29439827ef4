"""Results as DICOM objects: parametric maps, plain images, segmentations and a structured report.

Here belongs what knows how DICOM writes things. Reading DICOM is in ``CMRLib.study.dicom``. highdicom is imported where
it is used, as it is an option of pip's package and not in every Slicer.
"""
