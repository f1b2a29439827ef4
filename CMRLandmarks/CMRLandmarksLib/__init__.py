"""Landmarks of short-axis cardiac images: LV centre, anterior and inferior RV insertion point."""
