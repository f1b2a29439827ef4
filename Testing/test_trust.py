"""What a cohort survives, what is never executed, and what nobody hears: see also ``test_deidentify.py``."""

import ast
import functools
import json
import os
import pickle
import random
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from batch_processes import SCRIPT, BatchProcess
from batch_studies import GEOMETRY, write_study

from CMRLib.files.images import write_image

ROOT = Path(__file__).resolve().parents[1]
KILLS = 10
STUDIES = 5
ONLY_T1 = ("--steps", "t1", "--no-motion-correction", "--device", "cpu")
_TIMES = re.compile(rb'("seconds": |,)\d+\.\d+')


@pytest.fixture(scope="module")
def cmr_batch():
    return runpy.run_path(str(SCRIPT))["main"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return [write_study(folder / f"P{n:03}", f"P{n:03}") for n in range(STUDIES)]


@pytest.fixture(scope="module")
def undisturbed(cmr_batch, inputs, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    assert cmr_batch(arguments(inputs, output)) == 0
    return contents(output)


def arguments(inputs, output):
    return ["--input", *map(str, inputs), "--output", str(output), *ONLY_T1]


def contents(output):
    """Every file but for the times of computation, which results and summary hold."""
    files = {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    return {n: _TIMES.sub(b"", c) if n.endswith((".json", ".csv")) else c for n, c in sorted(files.items())}


def test_killed_at_ten_moments_the_results_are_those_of_an_undisturbed_run(cmr_batch, inputs, undisturbed, tmp_path):
    output, moments = tmp_path / "out", random.Random(4)
    for _ in range(KILLS):
        process = BatchProcess(arguments(inputs, output), tmp_path)
        process.wait(moments.uniform(0.0, 1.0))
        process.kill()
        process.communicate()
        for study in output.glob("P*"):
            assert json.loads((study / "results.json").read_text())["status"] == "ok"
    assert cmr_batch(arguments(inputs, output)) == 0
    assert contents(output) == undisturbed


def spoil(folder):
    """Bad studies of every kind in a folder: their paths, and a part of the sentence that each gets."""
    bad = {}

    def study(name, sentence, **series):
        bad[write_study(folder / name, name, **series)] = sentence
        return folder / name

    cut = study("cut", "image file cannot be read") / "mid.nrrd"
    cut.write_bytes(cut.read_bytes()[:-300])
    (study("empty-file", "cannot be read as an image") / "mid.nrrd").write_bytes(b"")
    (study("lost-file", "there is no image file") / "mid.nrrd").unlink()
    (study("no-json", "not valid JSON") / "study.json").write_text("{")
    study("wrong-count", "7 images but 2 inversion times", inversion_times_ms=[100.0, 200.0])
    study("impossible-times", "not all numbers of milliseconds", inversion_times_ms=[-1.0] * 7)
    study("unknown-role", "must be one of irw, t1", role="aorta")
    study("unknown-scheme", "must be one of shmolli", scheme="sasha")
    write_image(study("zero", "every pixel is the same") / "mid.nrrd", np.zeros((7, 20, 24), np.float32), GEOMETRY)
    write_image(study("nan", "not a finite number") / "mid.nrrd", np.full((7, 20, 24), np.nan, np.float32), GEOMETRY)
    noise = np.random.default_rng(0).uniform(1, 1000, (7, 20, 24)).astype(np.float32)
    write_image(study("noise", "follow no curve") / "mid.nrrd", noise, GEOMETRY)
    (folder / "nothing").mkdir()
    bad[folder / "nothing"] = "holds no DICOM file"
    (folder / "text").mkdir()
    (folder / "text" / "image.dcm").write_text("no image")
    bad[folder / "text"] = "is no DICOM file"
    bad[folder / "nowhere"] = "not a folder"
    (folder / "file").write_text("")
    bad[folder / "file"] = "not a folder"
    return bad


def test_bad_studies_of_every_kind_among_good_ones(cmr_batch, inputs, undisturbed, tmp_path, capsys):
    """Each is told in sentences of its own, and the good ones come out as if they were alone."""
    bad = spoil(tmp_path)
    output = tmp_path / "out"
    mixed = [path for pair in zip([*inputs, *[inputs[0]] * len(bad)], bad, strict=False) for path in pair]
    assert cmr_batch(arguments(mixed, output)) == 1
    printed = capsys.readouterr()
    good = {name: content for name, content in contents(output).items() if name.startswith("P")}
    assert good == {name: content for name, content in undisturbed.items() if name.startswith("P")}
    assert f"Studies: {STUDIES} done, 0 complete already, {len(bad)} failed" in printed.out
    assert "Traceback" not in printed.err and "Unexpected" not in printed.err
    failed = [json.loads(path.read_text()) for path in output.glob("*/results.json") if path.parent.name[0] != "P"]
    told = "\n".join(sentence for results in failed for sentence in results["errors"])
    assert len(failed) == len(bad) and all(results["status"] == "failed" for results in failed)
    assert [sentence for sentence in bad.values() if not re.search(sentence, told)] == [], told


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other permissions")
def test_no_permission(cmr_batch, inputs, tmp_path_factory, capsys):
    """Neither to read a study nor to write results; root becomes somebody else for it, as root may do anything."""
    folder = tmp_path_factory.mktemp("closed")
    study, output, locked = write_study(folder / "P900", "P900"), folder / "out", folder / "locked"
    output.mkdir()
    locked.mkdir()
    user = os.geteuid()
    if user == 0:
        for path in (folder, *folder.parents[:3], *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o055)
        output.chmod(0o777)
        os.seteuid(65534)
    else:
        locked.chmod(0o500)
    try:
        assert cmr_batch(arguments([study], locked)) == 2
        assert capsys.readouterr().err == f"Nothing can be written to {locked}; choose another output folder.\n"
        os.seteuid(user)
        (study / "mid.nrrd").chmod(0)
        os.seteuid(65534 if user == 0 else user)
        assert cmr_batch(arguments([study], output)) == 1
        (sentence,) = capsys.readouterr().err.splitlines()
        assert re.search("cannot be read|may be read", sentence) and "Unexpected" not in sentence
    finally:
        os.seteuid(user)


HEARD = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.")


def hear(path):
    """Write down what this process does that is among `HEARD`."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)

    def hook(event, _):
        if event.startswith(HEARD):
            os.write(file, f"{event}\n".encode())

    sys.addaudithook(hook)
    pickle.loads(pickle.dumps(Path))


def test_a_run_opens_no_socket_starts_no_program_and_unpickles_nothing(inputs, tmp_path):
    process = BatchProcess(
        arguments(inputs[:1], tmp_path / "out"), tmp_path, functools.partial(hear, tmp_path / "heard")
    )
    printed = process.communicate()
    assert process.returncode == 0, printed
    assert (tmp_path / "heard").read_text().splitlines() == ["pickle.find_class"]  # that of the hook's own test


# What would execute a file that it reads, or let an archive write where it likes, and where it may stand nevertheless.
EXECUTING = re.compile(
    r"^(eval|exec|compile|__import__|os\.system|os\.popen|(c?[pP]ickle|marshal|shelve|dill|joblib|yaml)\..*|"
    r".*\.(extractall|extract|unpack_archive)|pandas\.read_pickle|.*\.HTTPServer|.*\.(bind|listen))$"
)


def dotted(node):
    """``a.b.c`` of an expression of names, "?" for the parts that are none."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def is_unsafe(call):
    name = dotted(call.func)
    stated = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    return (
        (EXECUTING.match(name) and not name.startswith("re."))
        or (name == "torch.load" and stated.get("weights_only") is not True)
        or (name == "np.load" and stated.get("allow_pickle", False))
        or stated.get("shell", False)
    )


def test_nothing_of_the_code_executes_what_it_reads():
    paths = [path for part in (*ROOT.glob("CMR*"), ROOT / "Resources") for path in sorted(part.rglob("*.py"))]
    calls = {
        f"{path.relative_to(ROOT)}:{node.lineno}": node
        for path in paths
        if "Testing" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert len(calls) > 5000 and [place for place, call in calls.items() if is_unsafe(call)] == []


@pytest.mark.parametrize(
    "text",
    [
        *("eval(x)", "pickle.load(f)", "np.load(f, allow_pickle=True)", "torch.load(f)", "archive.extractall()"),
        *("subprocess.run(x, shell=True)", "os.system(x)", "sock.bind(x)", "yaml.load(f)"),
    ],
)
def test_what_would_is_found(text):
    assert is_unsafe(ast.parse(text).body[0].value)
