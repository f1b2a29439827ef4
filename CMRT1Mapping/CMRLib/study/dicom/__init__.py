"""From the headers of DICOM files to the series of a study.

Here belongs what knows DICOM's attributes. What a series means to a method does not; writing results as DICOM is in
``CMRLib.export``.
"""
