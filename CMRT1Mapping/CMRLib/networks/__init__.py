"""What every trained network needs in use: weights and their manifest, devices, intensities and warping.

Here belongs what inference and training share. The networks themselves are in their module's library; training is in
``CMRLib.training``. The modules ``inference`` and ``warp`` work on torch and are imported where they are used.
"""
