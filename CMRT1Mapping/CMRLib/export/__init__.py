"""Results for other systems and for people: DICOM, reports, and what hides who a patient is.

Here belongs what turns results that are there already into another form. Nothing is computed and no step is known here.
"""
