"""Fitting an ensemble's prediction of quality, on images of validation patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from CMRLib.networks.models import ModelEntry, load_weights, write_weights
from CMRLib.training.splits import seeds_of_split
from CMRQCSegmentationLib.prediction import TASK, load_segmentation_model
from CMRQCSegmentationLib.quality import QualityModel
from CMRQCSegmentationLib.research.damage import damaged_copies
from CMRQCSegmentationLib.research.data import VALIDATION_ANATOMIES, TrainingImages
from CMRQCSegmentationLib.research.evaluation import candidate_examples
from CMRQCSegmentationLib.research.quality_fit import QualityExamples, fit_quality
from CMRQCSegmentationLib.research.slices import LabelledSlice, read_data_set, rendered_slices, simulated_slices
from CMRQCSegmentationLib.signs import signs_of

DAMAGE_SEED = 5


def quality_slices(source: TrainingImages) -> list[LabelledSlice]:
    """Images of validation patients and bodies; of whole stacks, as they are used.

    The prediction of the Dice is fitted on these alone: with damaged copies among them the regressions learn to
    distrust agreement everywhere, which doubled the error on images as they are (measured on the validation patients).
    The damaged copies teach the doubts, see `add_quality`.
    """
    slices: list[LabelledSlice] = []
    for name, folder in (("acdc", source.acdc), ("emidec", source.emidec)):
        if folder is not None:
            slices += list(read_data_set(folder, name, "validation"))
    if source.acdc is not None and source.rendered:
        slices += list(rendered_slices(source.acdc, "validation", source.contrasts, every=3))
    if source.simulated:
        # Bodies that no network was validated on either.
        seeds = seeds_of_split("validation", VALIDATION_ANATOMIES, skip=VALIDATION_ANATOMIES)
        slices += list(simulated_slices(seeds, source.contrasts, per_seed=2))
    return slices


def add_quality(
    path: Path,
    source: TrainingImages,
    *,
    slices: Sequence[LabelledSlice] | None = None,
    report: Callable[[str], None] = print,
) -> ModelEntry:
    """Fit the regressions and the bound of the networks in a weights file, and write them into it.

    Args:
        path: of the weights file, which is written anew.
        source: where the validation patients are.
        slices: to fit on, by default `quality_slices`.
        report: called with lines of text.

    Raises:
        InputError, MissingDependencyError, OutputError: see `load_segmentation_model` and `write_weights`.
    """
    model = load_segmentation_model(path, "cpu", judges=False)
    chosen = quality_slices(source) if slices is None else slices
    clean = candidate_examples(chosen, model)
    damaged = candidate_examples(damaged_copies(chosen, DAMAGE_SEED), model)
    quality = fit_quality(clean, damaged)
    report(_described(quality, clean.of(clean.there)))
    subjects = len(set(clean.subjects))
    measured = {"images": int(clean.there.sum()), "damaged": len(damaged.truths), "subjects": subjects}
    weights = load_weights(path, TASK)
    entry = weights.entry
    return write_weights(
        path,
        weights.tensors,
        id=entry.id,
        task=entry.task,
        architecture=entry.architecture,
        input={**entry.input, "quality": quality.to_dict()},
        training_data=entry.training_data,
        licence=entry.licence,
        date=entry.date,
        accuracy={**entry.accuracy, "quality": measured},
    )


def _described(quality: QualityModel, examples: QualityExamples) -> str:
    predictions = quality.predict(examples.matrices())
    best = quality.choose(predictions)
    rows = np.arange(len(best))
    parts = zip(examples.candidates, best, predictions[rows, best], strict=True)
    predicted = [quality.refined(first, signs_of(part.crop, part.maps, int(i))) for part, i, first in parts]
    reached = examples.truths[rows, best]
    return (
        f"{len(best)} images; chosen candidates reach {reached.mean():.3f}, the best of all "
        f"{examples.truths.max(axis=1).mean():.3f}; error on the images fitted "
        f"{np.abs(np.array(predicted) - reached).mean():.3f}; margins {dict(quality.margins)}"
    )
