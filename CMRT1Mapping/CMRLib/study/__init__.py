"""What a study holds, and how it is read from DICOM files or a ``study.json``.

Here belong series, the rules that recognise them, their states and the order of their slices. What is computed from
the images, and nodes, do not.
"""
