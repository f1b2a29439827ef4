"""Fixtures of the tests in this folder."""

from SlicerHost.fixtures import host, real_data, scene, started_host

__all__ = ["host", "real_data", "scene", "started_host"]
