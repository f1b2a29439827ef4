"""What the CMRMapping modules share, in rooms; it imports no module's library.

Here belongs what a second module needs as it is. Each room's first lines say what it is for; files beside the rooms are
what all of them need: errors, geometry, provenance, resources and the review of results.
"""

__version__ = "0.1.0"
