"""Segmentation of the left ventricle by an ensemble that predicts its own accuracy (thesis, chapter 4)."""
