"""Fixtures of the tests in this folder."""

from remembered_fits import remembered_fits
from SlicerHost.fixtures import host, real_data, scene, started_host

__all__ = ["host", "real_data", "remembered_fits", "scene", "started_host"]
