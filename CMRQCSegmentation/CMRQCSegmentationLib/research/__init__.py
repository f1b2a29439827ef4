"""Training, the thesis's networks and evaluation of the segmentation; not part of the extension.

Inference needs nothing of it.
"""
