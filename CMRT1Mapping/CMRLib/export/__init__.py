"""Results for other systems and for people: DICOM, and what hides who a patient is.

Here belongs what turns results that are there already into another form. No step is known here.
"""
