"""Steps of a batch: the order in which they run, what is done without being asked, and what counts as complete."""

import json
import sys
import types
from pathlib import Path

import pytest
from batch_studies import write_study

from CMRLib.batch import registry
from CMRLib.batch.plan import plan_study
from CMRLib.batch.run import BatchOptions, run_batch
from CMRLib.batch.step import Argument, Step, StepReport, StepResult
from CMRLib.errors import InputError
from CMRLib.study.reading import read_study


class Toy(Step):
    """A step that notes when it ran and with what, and finds as much as it is told to."""

    def __init__(self, name, roles=("irw",), after=(), finds=1):
        self.name, self.roles, self.after, self.finds, self.runs = name, roles, after, finds, []
        self.nothing = f"There is nothing for {name}."

    def check(self, choices, device):
        """Nothing is missing."""

    def run(self, task):
        self.runs.append({name: [made.value for made in results] for name, results in task.earlier.items()})
        series = task.study.series[0]
        made = [StepResult(f"{self.name}{n}", series, "", None, series.geometry, n) for n in range(self.finds)]
        return StepReport(entries=[{"slice": n} for n in range(self.finds)], made=made)


@pytest.fixture
def install(monkeypatch):
    """Put toy steps into the registry in place of the modules'."""

    def put(*steps):
        monkeypatch.setattr(registry, "STEP_MODULES", {step.name: f"toy_{step.name}" for step in steps})
        for module in ("results", "plan", "job"):
            monkeypatch.setattr(f"CMRLib.batch.{module}.STEP_MODULES", registry.STEP_MODULES)
        for step in steps:
            module = types.ModuleType(f"toy_{step.name}")
            module.STEP, module.__spec__ = step, types.SimpleNamespace(name=module.__name__)
            monkeypatch.setitem(sys.modules, module.__name__, module)
        return steps

    return put


def run(folder, output, **options):
    (outcome,) = run_batch([folder], output, BatchOptions(device="cpu", **options))
    return outcome


def results_of(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_steps_run_in_the_order_of_their_needs_and_are_written_in_that_of_the_schema(install, tmp_path):
    first, second, third = install(Toy("a", after=("c",)), Toy("b", after=("a",)), Toy("c", finds=2))
    outcome = run(write_study(tmp_path / "in", "P001"), tmp_path / "out")
    assert outcome.ok
    assert third.runs == [{}] and first.runs == [{"c": [0, 1]}] and second.runs == [{"c": [0, 1], "a": [0]}]
    assert [key for key in results_of(tmp_path / "out" / "P001") if key in "abc"] == ["a", "b", "c"]


def test_nothing_found_is_an_answer(install, tmp_path):
    (step,) = install(Toy("a", finds=0))
    folder = write_study(tmp_path / "in", "P001")
    assert run(folder, tmp_path / "out").ok
    again = run(folder, tmp_path / "out")
    assert again.ok and again.skipped and len(step.runs) == 1


def test_what_a_study_does_not_allow_is_left_out_unless_it_is_asked_for(install, tmp_path):
    install(Toy("a"), Toy("b", roles=("lge",)), Toy("c", roles=("lge",), after=("a",)))
    study = read_study(write_study(tmp_path / "in", "P001"))
    plan = plan_study(study, None, {}, None)
    assert [planned.step.name for planned in plan.steps] == ["a", "c"]
    assert plan.missed == () and plan.left_out == ("There is nothing for b.",)
    plan = plan_study(study, ("b", "c"), {}, None)
    assert plan.steps == () and plan.missed == ("There is nothing for b.", "There is nothing for c.")
    outcome = run(tmp_path / "in", tmp_path / "out", steps=("a", "b"))
    assert outcome.results["status"] == "partial" and outcome.results["errors"] == ["There is nothing for b."]


def test_a_study_that_allows_nothing_fails_with_every_reason(install, tmp_path):
    install(Toy("a", roles=("lge",)), Toy("b", roles=("cine",)))
    outcome = run(write_study(tmp_path / "in", "P001"), tmp_path / "out")
    assert outcome.results["status"] == "failed"
    assert outcome.results["errors"] == ["There is nothing for a.", "There is nothing for b."]


def test_other_choices_and_weights_make_a_step_run_again(install, tmp_path):
    (step,) = install(Toy("a"))
    step.arguments = (Argument("depth", "--depth", "", 1, {}),)
    folder, output = write_study(tmp_path / "in", "P001"), tmp_path / "out"
    assert not run(folder, output).skipped and run(folder, output).skipped
    assert not run(folder, output, choices={"depth": 2}).skipped
    assert run(folder, output, choices={"depth": 2}).skipped
    step.weights = lambda choices: {"task": "ab12"}
    assert not run(folder, output, choices={"depth": 2}).skipped
    assert results_of(output / "P001")["made_from"]["steps"] == {
        "a": {"choices": {"depth": 2}, "weights": {"task": "ab12"}}
    }


def test_a_step_done_before_is_kept_with_its_choices(install, tmp_path):
    first, _second = install(Toy("a"), Toy("b"))
    first.arguments = (Argument("depth", "--depth", "", 1, {}),)
    folder, output = write_study(tmp_path / "in", "P001"), tmp_path / "out"
    run(folder, output, steps=("a",), choices={"depth": 2})
    run(folder, output, steps=("b",))
    results = results_of(output / "P001")
    assert len(results["a"]) == len(results["b"]) == 1
    assert results["made_from"]["steps"]["a"]["choices"] == {"depth": 2}


def test_results_whose_files_are_gone_are_not_complete(install, tmp_path):
    (step,) = install(Toy("a"))
    folder, output = write_study(tmp_path / "in", "P001"), tmp_path / "out"

    def with_file(task):
        (Path(task.folder) / "map.txt").write_text("map")
        return StepReport(entries=[{"map_file": "map.txt"}])

    step.run = with_file
    run(folder, output)
    assert run(folder, output).skipped
    (output / "P001" / "map.txt").unlink()
    assert not run(folder, output).skipped and (output / "P001" / "map.txt").is_file()


def test_steps_that_are_not_there_are_told(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.STEP_MODULES, "stress", "CMRNoModuleLib.step")
    with pytest.raises(
        InputError, match="the step stress is not part of this version; choose from t1, segmentation, landmarks"
    ):
        registry.load_step("stress")
    with pytest.raises(InputError, match='there is no step "t2"; choose from t1, segmentation, landmarks'):
        run(write_study(tmp_path / "in", "P001"), tmp_path / "out", steps=("t2",))
    assert not (tmp_path / "out").exists()
