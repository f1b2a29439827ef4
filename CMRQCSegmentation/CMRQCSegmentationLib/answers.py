"""What the model said of one slice, as text that is kept with its segmentation: the candidates, and the choice."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass

import numpy as np

from CMRQCSegmentationLib.candidates import candidate_names
from CMRQCSegmentationLib.prediction import SliceSegmentation


@dataclass(frozen=True)
class Answer:
    """A model's answer for one slice.

    Attributes:
        names: of the candidates, see `CMRQCSegmentationLib.candidates.candidate_names`; none where no heart was found.
        predictions: predicted Dice of each candidate.
        chosen: name of the candidate that is the answer, or "".
        labels: uint8 (candidate, row, column) of the source: 1 myocardium, 2 blood pool, 0 anything else.
    """

    names: tuple[str, ...]
    predictions: tuple[float, ...]
    chosen: str
    labels: np.ndarray

    @classmethod
    def of(cls, result: SliceSegmentation) -> Answer:
        """The answer for a slice; one that came without the others is the only candidate."""
        if result.candidates is None:
            alone = (result.candidate,) if result.candidate else ()
            labels = result.labels[None] if alone else np.zeros((0, *result.labels.shape), dtype=np.uint8)
            return cls(alone, (float(result.predicted_dice),) * len(alone), result.candidate, labels)
        names = candidate_names(len(result.predictions) // 2)
        labels = np.stack([result.candidates.labels(number) for number in range(len(names))])
        return cls(names, result.predictions, result.candidate, labels)

    def shown(self, name: str = "") -> np.ndarray:
        """The labels of a candidate, by default of the chosen one; uint8 (row, column)."""
        name = name or self.chosen
        if name not in self.names:
            return np.zeros(self.labels.shape[1:], dtype=np.uint8)
        labels: np.ndarray = self.labels[self.names.index(name)]
        return labels

    def best_first(self) -> list[tuple[str, float]]:
        """Names and predicted Dice of the candidates, the highest prediction first."""
        return sorted(zip(self.names, self.predictions, strict=True), key=lambda pair: -pair[1])

    def to_text(self) -> str:
        """As `from_text` reads it."""
        described = {
            "names": self.names,
            "predictions": [round(float(value), 4) for value in self.predictions],
            "chosen": self.chosen,
            "labels": labels_to_text(self.labels),
        }
        return json.dumps(described)

    @classmethod
    def from_text(cls, text: str) -> Answer:
        """The answer that a text holds.

        Raises:
            ValueError: it is damaged.
        """
        try:
            values = json.loads(text)
            labels = labels_from_text(values["labels"])
            answer = cls(tuple(values["names"]), tuple(values["predictions"]), str(values["chosen"]), labels)
        except (TypeError, KeyError) as error:
            raise ValueError("not an answer") from error
        if not len(answer.names) == len(answer.predictions) == len(labels) or labels.ndim != 3:
            raise ValueError("not an answer")
        return answer


def labels_to_text(labels: np.ndarray) -> str:
    """Labels as text: their shape, the box around what is not 0, and that box compressed.

    Args:
        labels: uint8 (..., row, column).
    """
    shown = np.argwhere(labels.any(axis=tuple(range(labels.ndim - 2))))
    low, high = (shown.min(axis=0), shown.max(axis=0) + 1) if len(shown) else (np.zeros(2, int), np.zeros(2, int))
    box = labels[..., low[0] : high[0], low[1] : high[1]]
    packed = base64.b64encode(zlib.compress(np.ascontiguousarray(box).tobytes(), 9)).decode("ascii")
    return json.dumps([list(labels.shape), low.tolist(), high.tolist(), packed])


def labels_from_text(text: str) -> np.ndarray:
    """Labels that `labels_to_text` wrote, uint8 (..., row, column).

    Raises:
        ValueError: the text is damaged.
    """
    try:
        shape, low, high, packed = json.loads(text)
        labels = np.zeros(shape, dtype=np.uint8)
        box = labels[..., low[0] : high[0], low[1] : high[1]]
        box[:] = np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype=np.uint8).reshape(box.shape)
    except (TypeError, IndexError, zlib.error) as error:
        raise ValueError("no labels") from error
    return labels


def digest(labels: np.ndarray) -> str:
    """A short name of labels, by which they are known again."""
    return hashlib.sha256(np.ascontiguousarray(labels, dtype=np.uint8).tobytes()).hexdigest()[:16]
