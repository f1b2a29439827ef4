"""What a step of the batch is: a module brings ``step.py`` with one ``STEP``, and `CMRLib.batch.registry` names it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from CMRLib.export.dicom.items import Exports
from CMRLib.export.report.items import Measure, ReportSource, Section
from CMRLib.geometry import Geometry
from CMRLib.study.series import Series, Study


@dataclass(frozen=True)
class Argument:
    """An option that a step brings to the command line.

    Attributes:
        name: key of its value among the choices.
        flag: as ``--no-motion-correction``.
        help: for the help text.
        default: the value where it is not given.
        parsing: what else `argparse.ArgumentParser.add_argument` needs to know.
    """

    name: str
    flag: str
    help: str
    default: Any
    parsing: Mapping[str, Any]


@dataclass(frozen=True)
class StepResult:
    """One result of a step, as later steps and the scene get it.

    Attributes:
        key: names its files; that of the series, or of the earlier result, that it was made from.
        series: what it was made from, by way of earlier results or not.
        role: "t1" where ``images`` are a T1 map as a series of that role is; "" where it is no image.
        images: float32 (slice or frame, row, column): the new image, or the one that the result belongs to.
        geometry: of the images.
        value: what the step's own code makes nodes of.
    """

    key: str
    series: Series
    role: str
    images: np.ndarray
    geometry: Geometry
    value: Any


@dataclass(frozen=True)
class StepTask:
    """What a step is to do.

    Attributes:
        study: the study.
        earlier: results of the steps that were run before on this study, by the step's name.
        folder: where its files go.
        device: see `CMRLib.networks.devices.resolve_device`.
        choices: values of the step's `Argument`.
        progress: called with the fraction done; what it raises ends the step.
    """

    study: Study
    folder: Path
    earlier: Mapping[str, Sequence[StepResult]] = field(default_factory=dict)
    device: str = "auto"
    choices: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable[[float], None] = lambda fraction: None

    def sources(self, roles: Collection[str]) -> list[StepResult | Series]:
        """What there is of these roles: images made by earlier steps, and series."""
        made = [result for results in self.earlier.values() for result in results if result.role in roles]
        return [*made, *(series for series in self.study.series if series.role in roles)]

    def part(self, done: int, count: int) -> Callable[[float], None]:
        """The progress of one of ``count`` parts of the step, ``done`` of which came before it."""
        return lambda fraction: self.progress((done + fraction) / count)


def images_of(source: StepResult | Series) -> StepResult:
    """The images of a series, or of an earlier result, as a result that has no value yet.

    Raises:
        InputError: the series cannot be read.
    """
    loaded = source if isinstance(source, StepResult) else source.load()
    series = source.series if isinstance(source, StepResult) else source
    return StepResult(source.key, series, "", loaded.images, loaded.geometry, None)


@dataclass
class StepReport:
    """What a step did.

    Attributes:
        entries: of ``results.json``, one per result.
        made: the results for later steps and the scene.
        models: task -> id and sha256 of the weights that were used.
        device: where it was computed, "" where nothing was.
        errors: a sentence for each series that was lost.
        warnings: a sentence for whatever a reader of the results must know.
        notes: a sentence for whatever may be of interest.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    made: list[StepResult] = field(default_factory=list)
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    device: str = ""
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Step(ABC):
    """One step.

    Attributes:
        name: of the step, for ``--steps``, and key of its entries in ``results.json``.
        roles: of the series that it works on.
        after: steps whose results it works on as well where they are done too; it runs after them.
        nothing: sentence for a study that has none of these.
        columns: keys of its entries that ``summary.csv`` shows.
        counts: words for the line about a study -> key that its entries have where they count, as
            ``{"landmarks": "lv_center_px"}``.
        measures: what the report tells of each of its results.
        arguments: options that it brings to the command line.
        scene: module whose ``addNodes(results, volumes)`` makes nodes of its results, and whose
            ``openModule(results, volumes)``, if it has one, sets the step's own module to them, see
            `CMRLib.scene.studies`. It is named and not imported, as this layer knows no nodes.
    """

    name: ClassVar[str]
    roles: ClassVar[tuple[str, ...]]
    after: ClassVar[tuple[str, ...]] = ()
    nothing: ClassVar[str]
    columns: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[Mapping[str, str]] = {}
    measures: ClassVar[tuple[Measure, ...]] = ()
    arguments: ClassVar[tuple[Argument, ...]] = ()
    scene: ClassVar[str]

    def needs(self, study: Study) -> tuple[str, ...]:
        """Steps that are done on a study as well where this one is asked for by name; by default none."""
        return ()

    def obstacle(self, study: Study, others: Collection[str]) -> str:
        """Why the step cannot be done on a study, as a sentence with the remedy; "" where it can.

        Args:
            study: the study.
            others: the steps that are done on it too.
        """
        if set(self.after) & set(others) or any(series.role in self.roles for series in study.series):
            return ""
        return self.nothing

    def missing_choice(self, study: Study, choices: Mapping[str, Any]) -> str:
        """What has to be stated before the step can be done on a study, as a sentence; by default nothing, "".

        Args:
            study: the study.
            choices: values of the step's `Argument`.
        """
        return ""

    def settings(self, choices: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the results of given images, in values of JSON: results of the same settings are complete.

        By default the step's choices and the checksums of its weights.
        """
        chosen = {argument.name: choices.get(argument.name, argument.default) for argument in self.arguments}
        return {"choices": chosen, "weights": self.weights(choices)}

    def weights(self, choices: Mapping[str, Any]) -> dict[str, str]:
        """Task -> SHA-256 of the weights that the step will use."""
        return {}

    @abstractmethod
    def check(self, choices: Mapping[str, Any], device: str) -> None:
        """Find out before the first study whether what every study needs is there.

        Raises:
            MissingDependencyError: a package or a weights file is missing or damaged.
        """

    @abstractmethod
    def run(self, task: StepTask) -> StepReport:
        """Do the step and write its files; a series that cannot be used is an error of the report.

        A report without entries says that there was nothing to find, which is an answer.

        Raises:
            OutputError: a file cannot be written.
            DeviceError, MissingDependencyError: nothing can be computed.
        """

    def exports(self, made: StepResult) -> Exports:
        """What a result of the step offers to other systems; by default nothing."""
        return Exports()

    def show(self, entries: Sequence[Mapping[str, Any]], source: ReportSource) -> Section:
        """What the report of a study shows of the step's results besides its measures; by default nothing.

        Args:
            entries: of ``results.json``.
            source: where the files are that they name.

        Raises:
            InputError: a file cannot be read; the report says so and shows the rest.
        """
        return Section(self.name.capitalize())
