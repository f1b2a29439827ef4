"""Files as they lie on a disk: images and markups, written whole or not at all.

Here belong formats. What a file means to a study or a result does not.
"""
