"""Landmarks of short-axis cardiac images: LV centre, anterior and inferior RV insertion point."""

# Order of the landmarks in every array of this library.
LANDMARKS = ("lv_centre", "anterior_insertion", "inferior_insertion")
