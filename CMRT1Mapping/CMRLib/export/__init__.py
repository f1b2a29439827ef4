"""Results for other systems: DICOM objects, and what hides who a patient is.

Here belongs what turns results into the formats of others. What a step has to offer is said by the step, see
`CMRLib.export.items`; nothing here computes a result.
"""
