"""Training and measuring: labelled images, random views, the paper's network, and the evaluations.

Here belongs what an analyst does not need; it is not part of the extension.
"""
