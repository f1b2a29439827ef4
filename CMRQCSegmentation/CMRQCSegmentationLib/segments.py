"""What a segmentation of the left ventricle consists of, and what it is called."""

from CMRLib.files.segmentations import Segment
from CMRLib.terms import LEFT_VENTRICLE, Term
from CMRQCSegmentationLib.candidates import BLOOD_POOL, MYOCARDIUM

ROLE = "segmentation"  # of the node or file
CORRECTED = "corrected"  # stands for the candidate's name where an analyst's segmentation was taken

SEGMENTS = (
    Segment(
        label=MYOCARDIUM,
        name="Myocardium",
        color=(1.00, 0.85, 0.15),
        category=Term("123037004", "SCT", "Anatomical Structure"),
        kind=Term("74281007", "SCT", "Myocardium"),
        region=LEFT_VENTRICLE,
    ),
    Segment(
        label=BLOOD_POOL,
        name="Blood pool",
        color=(1.00, 0.45, 0.20),
        category=Term("91720002", "SCT", "Body Substance"),
        kind=Term("87612001", "SCT", "Blood"),
        region=LEFT_VENTRICLE,
    ),
)
