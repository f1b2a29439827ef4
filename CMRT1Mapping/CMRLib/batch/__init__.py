"""Studies processed without a window: what a step is, the run over many studies, and the results it writes.

Here belongs what every step shares. What one step computes is in its module's ``step.py``.
"""
