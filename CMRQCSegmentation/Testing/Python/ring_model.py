"""A segmentation model that needs no training: it tells tissues of a drawn ring apart by their brightness."""

import numpy as np
import torch
from torch import nn

from CMRLib.networks.models import ModelEntry
from CMRQCSegmentationLib.prediction import SegmentationModel
from CMRQCSegmentationLib.quality import QualityModel

AROUND, WALL, BLOOD = 0.4, 0.2, 0.9


class Brightness(nn.Module):
    """Class shares from brightness; ``shift`` makes a network that errs by so many pixels."""

    def __init__(self, shift=0):
        super().__init__()
        self.shift = shift

    def forward(self, image):
        x = torch.roll(image[:, 0], self.shift, dims=2)
        # The image's own darkest and brightest become 0 and 1, so the wall is darkest and the blood brightest.
        blood, wall = x > 0.75, (x < 0.15) & (x > 0)
        # Where little of the image is as grey as what surrounds a ring, there is none.
        grey = ((x > 0.15) & (x < 0.45)).float().mean(dim=(1, 2)) > 0.6 * (x > 0).float().mean(dim=(1, 2))
        blood, wall = blood & grey[:, None, None], wall & grey[:, None, None]
        classes = torch.stack([~(blood | wall), wall, blood], dim=1).float()
        return 12.0 * classes


def drawn_ring(shape=(120, 150), center=(60.0, 80.0), inner=12.0, outer=20.0, stretch=(1.0, 1.0)):
    """An image with a dark ring around a bright disk, and its labels; ``stretch`` widens rows and columns."""
    rows, columns = np.indices(shape)
    distance = np.hypot((rows - center[0]) / stretch[0], (columns - center[1]) / stretch[1])
    labels = np.where(distance < inner, 2, np.where(distance < outer, 1, 0)).astype(np.uint8)
    image = np.choose(labels, [AROUND, WALL, BLOOD]).astype(np.float32)
    return image + 0.01 * np.random.default_rng(0).random(shape).astype(np.float32), labels


def ring_model(shifts=(0, 0, 0), margins=None):
    """A model of as many networks as there are shifts, whose predicted Dice is the mean agreement."""
    count = 2 * len(shifts)
    quality = QualityModel(np.full((count, count), 1.0 / count), np.zeros(count), margins or {0.9: 0.5})
    entry = ModelEntry("ring", "segmentation", "drawn", "", "", 0, {}, (), "Apache-2.0", "2026-11-25")
    networks = tuple(Brightness(shift).eval() for shift in shifts)
    return SegmentationModel(Brightness().eval(), networks, quality, 1, 0.0, 1, 1, torch.device("cpu"), entry)
