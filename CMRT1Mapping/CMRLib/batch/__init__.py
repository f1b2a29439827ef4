"""Studies processed without a window: the steps, the run over many studies, and the results it writes.

Here belongs what every step shares. What one step computes is in its module's ``step.py``.
"""
