"""Shared by the CMRMapping modules: studies, geometry, simulation, provenance and, under ``scene``, MRML nodes."""

__version__ = "0.1.0"
