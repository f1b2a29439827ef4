"""Fixtures of the tests in this folder."""

from SlicerHost.fixtures import host, one_thread, real_data, scene, started_host

__all__ = ["host", "one_thread", "real_data", "scene", "started_host"]
