"""What a model is trained, validated and tested on: banks of images by patient.

Test patients (see `CMRLib.training.splits.split_of`) are never in a bank for training or validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from CMRLib.errors import InputError
from CMRLib.simulation.contrasts import CONTRASTS
from CMRLib.training.splits import seeds_of_split
from CMRQCSegmentationLib.research.bank import Bank, bank_of
from CMRQCSegmentationLib.research.slices import read_data_set, rendered_slices, simulated_slices

FIRST_TRAINING_SEED = 100_000
VALIDATION_ANATOMIES = 30
# Shares of the examples by kind; kinds that are not there leave theirs to the others.
SHARES = {"acdc": 0.36, "emidec": 0.30, "rendered": 0.20, "simulated": 0.14}
# The finder fails on what hardly differs from its surroundings, so it sees those contrasts of whole bodies more often.
FINDER_SHARES = {"acdc": 0.28, "emidec": 0.22, "rendered": 0.20, "simulated": 0.30}
FINDER_WEIGHTS = {"t1_post": 4.0, "lge_psir": 2.0, "t1_rest": 1.5}


@dataclass(frozen=True)
class TrainingImages:
    """What a model is trained on.

    Attributes:
        acdc: folder of labelled cine stacks in ACDC's layout, or None.
        emidec: folder of labelled LGE stacks in EMIDEC's layout, or None.
        simulated: number of simulated bodies.
        rendered: whether other contrasts are rendered from ACDC's labelled hearts.
        contrasts: of the simulated and rendered images.
    """

    acdc: Path | None = None
    emidec: Path | None = None
    simulated: int = 300
    rendered: bool = True
    contrasts: tuple[str, ...] = CONTRASTS

    def __post_init__(self) -> None:
        if self.acdc is None and self.emidec is None and self.simulated < 1:
            raise InputError("There is nothing to train on; name a labelled folder or ask for simulated bodies.")


def training_banks(source: TrainingImages, cache: Path | None = None) -> dict[str, Bank]:
    """Training images by kind: "acdc", "emidec", "rendered" and "simulated"; simulated ones are kept in ``cache``."""
    banks: dict[str, Bank] = {}
    for name, folder in (("acdc", source.acdc), ("emidec", source.emidec)):
        if folder is not None:
            banks[name] = bank_of(read_data_set(folder, name, "training"))
    kind = "all" if source.contrasts == CONTRASTS else "-".join(source.contrasts)

    def kept(name: str) -> Path | None:
        return cache / f"segmentation-{name}-{kind}.npz" if cache is not None else None

    acdc = source.acdc
    if acdc is not None and source.rendered:
        banks["rendered"] = Bank.load_or_make(
            kept("rendered"), lambda: bank_of(rendered_slices(acdc, "training", source.contrasts))
        )
    if source.simulated:
        seeds = seeds_of_split("training", source.simulated, skip=FIRST_TRAINING_SEED)
        banks["simulated"] = Bank.load_or_make(
            kept(f"simulated-{source.simulated}"),
            lambda: bank_of(simulated_slices(seeds, source.contrasts, per_seed=2)),
        )
    return banks


def validation_bank(source: TrainingImages, cache: Path | None = None) -> Bank:
    """Images of validation patients and bodies, of every kind that there is."""
    banks = []
    for name, folder in (("acdc", source.acdc), ("emidec", source.emidec)):
        if folder is not None:
            banks.append(bank_of(read_data_set(folder, name, "validation")))
    path = cache / "segmentation-validation.npz" if cache is not None else None
    seeds = seeds_of_split("validation", VALIDATION_ANATOMIES)
    if source.simulated:
        banks.append(Bank.load_or_make(path, lambda: bank_of(simulated_slices(seeds, source.contrasts, per_seed=2))))
    return Bank.joined(banks)
