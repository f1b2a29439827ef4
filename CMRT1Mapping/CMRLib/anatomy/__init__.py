"""The left ventricle in short-axis slices: landmarks, the AHA's segments, statistics and the bull's-eye.

Here belongs geometry of the heart on plain arrays. Finding the heart with a network, and nodes, do not.
"""
