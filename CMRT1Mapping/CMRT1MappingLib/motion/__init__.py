"""Motion between the images of an acquisition: the network that sees it, its refinement, and when it is taken out.

Here belongs what an analyst's computer runs. Training and measuring it are in ``research``.
"""
