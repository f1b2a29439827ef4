"""From MRML nodes to arrays and back, and the parts that panels share.

Here belongs what meets Slicer for several modules; with ``standalone`` it is the only part of CMRLib that does. What
one module alone shows lies in its own library's ``scene``. Nothing here computes: it calls what does.
"""
