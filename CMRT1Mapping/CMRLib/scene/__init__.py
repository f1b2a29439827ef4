"""From MRML nodes to arrays and back; the only part of CMRLib, beside ``standalone``, that knows Slicer."""
