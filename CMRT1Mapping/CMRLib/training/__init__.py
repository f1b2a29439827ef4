"""What all networks share when they are trained and measured: trainer, banks, splits, entries, tables and commands.

Here belongs what the research rooms of several modules call; what one network alone needs lies in its module's
``research``. Nothing here is part of the extension. torch is needed, so import the trainer inside functions.
"""
