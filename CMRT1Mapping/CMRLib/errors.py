"""Errors whose text is one sentence for the user: what is wrong and what to do about it."""


class CMRError(Exception):
    """Base of every error this extension raises on purpose; its text is shown to the user as it is."""


class InputError(CMRError):
    """The images, files or values given cannot be used."""


class OutputError(CMRError):
    """A result cannot be written."""


class DeviceError(CMRError):
    """The computing device that was asked for is not available."""


class MissingDependencyError(CMRError):
    """A Python package or a weights file that this step needs is not installed."""


class Cancelled(CMRError):
    """The user cancelled; nothing was kept."""
