"""The nodes of segmentations.

Here belongs what meets Slicer for this module alone; what several modules need is in ``CMRLib.scene``.
"""
