"""A stand-in for the Qt side of 3D Slicer, so that unmodified scripted modules run in tests and screenshots.

MRML scene, logics and views are Slicer's own (the wheel ``slicer-core``); widgets are PySide6. Names are strict: whatever
real Slicer does not offer under ``qt``, ``ctk``, ``slicer`` and the classes in use raises here, too.

    from SlicerHost import start
    host = start()
    widget = host.loadModule("CMRT1Mapping/CMRT1Mapping.py")
    host.click(widget.ui.applyButton)
"""

from .host import Host, HostError, start

__all__ = ["Host", "HostError", "start"]
