"""What a segmentation of the left ventricle consists of, and what it is called."""

from CMRLib.files.segmentations import Code, Segment
from CMRQCSegmentationLib.candidates import BLOOD_POOL, MYOCARDIUM

ROLE = "segmentation"  # of the node or file
CORRECTED = "corrected"  # stands for the candidate's name where an analyst's segmentation was taken

_LEFT_VENTRICLE = Code("87878005", "Left ventricle")

SEGMENTS = (
    Segment(
        label=MYOCARDIUM,
        name="Myocardium",
        color=(1.00, 0.85, 0.15),
        category=Code("123037004", "Anatomical Structure"),
        kind=Code("74281007", "Myocardium"),
        region=_LEFT_VENTRICLE,
    ),
    Segment(
        label=BLOOD_POOL,
        name="Blood pool",
        color=(1.00, 0.45, 0.20),
        category=Code("91720002", "Body Substance"),
        kind=Code("87612001", "Blood"),
        region=_LEFT_VENTRICLE,
    ),
)
