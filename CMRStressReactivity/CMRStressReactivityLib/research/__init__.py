"""Training, the thesis's networks and evaluation of the registration of rest and stress; not part of the extension.

Inference needs nothing of it.
"""
