"""The nodes of T1 mapping: maps, motion, the curve under the cursor, and what is said of them.

Here belongs what meets Slicer for this module alone; what several modules need is in ``CMRLib.scene``.
"""
