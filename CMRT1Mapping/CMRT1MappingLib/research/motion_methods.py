"""The methods of this repository that an evaluation of motion correction compares, and what bounds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from CMRT1MappingLib.motion.correction import correct_and_reconstruct
from CMRT1MappingLib.motion.estimation import MotionModel, estimate_motion
from CMRT1MappingLib.motion.refinement import refine_motion
from CMRT1MappingLib.research.irw_evaluation import EvaluationSet
from CMRT1MappingLib.research.motion_report import UNCORRECTED, Method, with_phase

if TYPE_CHECKING:
    from CMRT1MappingLib.motion.refinement import Prediction

REFINED = "MOCOnet, refined"


def uncorrected(item: EvaluationSet) -> np.ndarray:
    """No motion, float32 (frame, 2, row, column)."""
    return np.zeros((len(item.images), 2, *item.images.shape[1:]), np.float32)


def own_methods(model: MotionModel) -> Mapping[str, Method]:
    """The network, with a second pass, refined in two ways, and as T1 mapping uses it by default."""

    from CMRT1MappingLib.motion.targets import predicted_by_model

    def network(item: EvaluationSet) -> np.ndarray:
        return estimate_motion(item.images, spacing(item), model=model).displacement

    def two_passes(item: EvaluationSet) -> np.ndarray:
        return estimate_motion(item.images, spacing(item), model=model, passes=2).displacement

    def refined(item: EvaluationSet) -> np.ndarray:
        return _refined(item, model)

    def by_model(item: EvaluationSet) -> np.ndarray:
        return _refined(item, model, predicted_by_model(item.inversion_times_ms, item.scheme))

    def in_use(item: EvaluationSet) -> np.ndarray:
        phase = item.phase if with_phase(item) else None
        result = correct_and_reconstruct(
            item.images,
            item.inversion_times_ms,
            phase,
            spacing(item),
            scheme=item.scheme,
            model=model,
            device=str(model.device),
        )
        return result.displacement if result.kept else uncorrected(item)

    return {
        "MOCOnet": Method(network),
        "MOCOnet, two passes": Method(two_passes),
        "MOCOnet, refined by the signal model": Method(by_model),
        REFINED: Method(refined),
        "refined, kept where R² improves": Method(in_use, timed=False),
    }


def _refined(item: EvaluationSet, model: MotionModel, prediction: Prediction | None = None) -> np.ndarray:
    estimate = estimate_motion(item.images, spacing(item), model=model, mirrored=True)
    return refine_motion(
        item.images,
        estimate.displacement,
        estimate.heart > 0.5,
        spacing(item),
        item.phase if with_phase(item) else None,
        reference=int(np.argmax(item.inversion_times_ms)),
        prediction=prediction,
    )


def spacing(item: EvaluationSet) -> tuple[float, float]:
    """Distance of rows and of columns, mm."""
    return item.spacing_mm, item.spacing_mm


BEFORE: Mapping[str, Method] = {UNCORRECTED: Method(uncorrected, timed=False)}
BOUND: Mapping[str, Method] = {"true motion taken out": Method(lambda item: item.displacement, timed=False)}
