"""From inversion-recovery samples to T1: signal model, polarity, sampling schemes and the fit.

Here belong pixels and stacks of them. Motion between the images does not.
"""
