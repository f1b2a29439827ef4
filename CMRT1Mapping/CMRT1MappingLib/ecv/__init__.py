"""Extracellular volume from a native and a post-contrast T1 map of a slice and the haematocrit.

Here belongs what ECV needs beyond T1 maps: haematocrit, blood, registration of the two maps, the map and its regions.
"""
