"""A stand-in for the Qt side of 3D Slicer, so that unmodified scripted modules run in tests and screenshots.

MRML scene, logics and views are Slicer's own (the wheel ``slicer-core``); widgets are PySide6. Names are strict:
whatever real Slicer does not offer under ``qt``, ``ctk``, ``slicer`` and the classes in use raises here, too.

    from SlicerHost import start
    host = start()
    widget = host.loadModule("CMRT1Mapping/CMRT1Mapping.py")
    host.setNode(widget.ui.inputSelector, node)
    host.click(widget.ui.applyButton)

Inside a real Slicer ``start`` returns an object that does the same there, so that one set of tests serves both.
"""

from __future__ import annotations

import sys
from typing import Any

# Enum values are numbers in PythonQt. PySide6 wants to know before it is imported for the first time.
sys.pyside6_option_python_enum = 0x0F

_host: Any = None


def start(version: str = "5.12") -> Any:
    """The host, started as the Slicer of that version, or the real Slicer that this runs in.

    There is one host for each Python process; starting it again starts it anew.
    """
    global _host
    if _host is None:
        if "qt" in sys.modules:
            from .user import RealSlicer

            _host = RealSlicer()
            return _host
        from .host import Host

        _host = Host()
    if hasattr(_host, "start"):
        _host.start(version)
    return _host
