"""Results for other systems and for people: DICOM, reports.

Here belongs what turns results that are there already into another form. Nothing is computed and no step is known here.
"""
