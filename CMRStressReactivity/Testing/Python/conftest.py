"""Fixtures of the tests in this folder."""

from SlicerHost.fixtures import one_thread, real_data

__all__ = ["one_thread", "real_data"]
