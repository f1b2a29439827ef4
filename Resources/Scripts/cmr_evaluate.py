"""Measure what the software does and write it down: ``cmr-evaluate t1``, ``moco``, ``landmarks``, ``readme`` and more.

Each evaluation prints its tables and writes them, with the numbers behind them, as a JSON file; ``readme`` puts the
tables of those files into the README between their marks.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]
RESULTS = SOURCE / "Testing" / "Results"
LANDMARK_PARTS = ("simulated", "acdc", "emidec", "use")
PRECISION_SNRS = (10.0, 15.0, 25.0, 40.0, 60.0, 100.0)
PRECISION_RRS = (500.0, 700.0, 900.0, 1100.0, 1300.0, 1500.0)
BIAS_T1S = (250.0, 350.0, 450.0, 550.0, 650.0, 800.0, 960.0, 1166.0, 1570.0)
PRECISION_TISSUES = {
    "native myocardium 1.5 T, 960 ms": 960.0,
    "native myocardium 3 T, 1166 ms": 1166.0,
    "blood, 1570 ms": 1570.0,
    "myocardium after contrast, 450 ms": 450.0,
}


def real_data_folder() -> Path:
    """The folder of real images: CMR_REAL_DATA, or shared/data beside the source tree."""
    return Path(os.environ.get("CMR_REAL_DATA") or SOURCE.parent / "shared" / "data")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def evaluate_phantom(folder: Path) -> dict[str, Any]:
    """Reconstruct the real ShMOLLI phantom with and without its phase and hold both against the scanner's maps."""
    from CMRLib.study import read_study
    from CMRT1MappingLib.evaluation import compare_with_scanner
    from CMRT1MappingLib.reconstruction import reconstruct
    from CMRT1MappingLib.scanner_maps import read_scanner_maps

    scanner = read_scanner_maps(sorted(folder.rglob("*.dcm")))
    (series,) = [s for s in read_study(folder).series if s.role == "irw"]
    loaded = series.load()
    if loaded.phase is None or series.inversion_times_ms is None:
        raise SystemExit(f"{folder} holds no phase images or no inversion times.")
    agreement = {}
    for name, phase in (("with phase", loaded.phase), ("magnitude only", None)):
        maps = reconstruct(loaded.images, series.inversion_times_ms, phase, device="cpu")
        agreement[name] = asdict(compare_with_scanner(maps, scanner))
    rows = [
        ["pixels with scanner T1 600 to 2000 ms, R² > 0.99", *(a["pixels"] for a in agreement.values())],
        ["of these, T1 within 1 ms of the scanner", *(f"{a['within_1_ms']:.2%}" for a in agreement.values())],
        ["of these, R² within 0.001", *(f"{a['r2_within_0_001']:.2%}" for a in agreement.values())],
        ["mean difference (ms; the scanner truncates)", *(f"{a['bias_ms']:+.2f}" for a in agreement.values())],
        ["same number of samples, all fitted pixels", *(f"{a['same_samples']:.2%}" for a in agreement.values())],
        ["pixels with scanner T1 50 to 600 ms, R² > 0.99", *(a["short_pixels"] for a in agreement.values())],
        ["of these, marked as uncertain", *(f"{a['short_marked']:.2%}" for a in agreement.values())],
        ["of these, more than 5 % and 10 ms off", *(a["short_wrong"] for a in agreement.values())],
        ["of those, not marked", *(a["short_wrong_unmarked"] for a in agreement.values())],
    ]
    table = markdown_table(["ShMOLLI phantom, 3 T", *agreement], rows)
    return {"agreement": agreement, "tables": {"t1-phantom": table}}


def evaluate_precision() -> dict[str, Any]:
    """Bias and spread of T1 over noise, heart rate and tissue, against the Cramér-Rao bound."""
    from CMRT1MappingLib.evaluation import Precision, bias_of_precise_fit, shmolli_precision

    conditions = []
    rows = []
    tissues = [(tissue, t1, "scanner") for tissue, t1 in PRECISION_TISSUES.items()]
    for tissue, t1, fit in [*tissues, *((tissue, t1, "precise") for tissue, t1, _ in tissues)]:
        for snr in PRECISION_SNRS:
            results: list[Precision] = [shmolli_precision(t1, rr, snr, fit=fit) for rr in PRECISION_RRS]
            conditions += [{"fit": fit, **asdict(r)} for r in results]
            rows.append(
                [
                    tissue + (", precise fit" if fit == "precise" else ""),
                    f"{snr:.0f}",
                    _range([r.bias_ms for r in results], "+.1f"),
                    _range([r.spread_ms for r in results], ".1f"),
                    _range([r.spread_over_bound for r in results], ".2f"),
                    _range([r.error_over_reported for r in results], ".2f"),
                ]
            )
    header = ["tissue", "SNR", "bias (ms)", "spread (ms)", "spread / bound", "spread / reported error"]
    biases = [[f"T1 {t1:.0f} ms", *(f"{bias_of_precise_fit(t1, rr):+.1f}" for rr in PRECISION_RRS)] for t1 in BIAS_T1S]
    bias_header = ["precise fit less scanner's rule (ms)", *(f"RR {rr:.0f} ms" for rr in PRECISION_RRS)]
    return {
        "conditions": conditions,
        "tables": {
            "t1-precision": markdown_table(header, rows),
            "t1-precise-bias": markdown_table(bias_header, biases),
        },
    }


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"


def evaluate_t1(arguments: argparse.Namespace) -> int:
    """``cmr-evaluate t1``: the phantom, where its images are, and the precision of the fit."""
    phantom = arguments.data / "shmolli-phantom"
    parts: dict[str, Callable[[], dict[str, Any]]] = {"t1_precision": evaluate_precision}
    if phantom.is_dir():
        parts["t1_phantom"] = lambda: evaluate_phantom(phantom)
    else:
        print(f"The phantom is left out: there is no folder {phantom}. Name its parent with --data.", file=sys.stderr)
    for name, evaluate in parts.items():
        result = evaluate()
        write_result(arguments.output, name, result)
        for table in result["tables"].values():
            print(f"\n{table}")
    return 0


def evaluate_moco(arguments: argparse.Namespace) -> int:
    """``cmr-evaluate moco``: what is left of simulated motion, and what happens to a phantom that does not move."""
    import torch

    from CMRLib.errors import CMRError, MissingDependencyError
    from CMRT1MappingLib import motion_decisions, motion_methods, motion_phantom, motion_report
    from CMRT1MappingLib.motion_estimation import load_motion_model

    torch.set_num_threads(arguments.threads)
    acdc, phantom = arguments.data / "acdc-dev", arguments.data / "shmolli-phantom"
    for folder, what in ((acdc, "sets with patients are"), (phantom, "the phantom is")):
        if not folder.is_dir():
            print(f"Left out: {what}, there is no folder {folder}. Name its parent with --data.", file=sys.stderr)
    numbers = [number for number in range(max(1, arguments.sets)) if acdc.is_dir() or number % 2 == 0]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    timing = motion_report.timing_note(arguments.timed, arguments.threads, load)
    try:
        model = load_motion_model(arguments.model, "cpu")
        own = motion_methods.own_methods(model)
        earlier = _earlier_moco(arguments, model.entry.sha256) if arguments.keep_sets else None
        draw = None if arguments.pictures is None else _from_testing("benchmark_motion_pictures").draw_case
        with _motion_peers(arguments) as peers:
            methods = {**motion_methods.BEFORE, **peers, **own, **motion_methods.BOUND}
            seconds = motion_report.seconds_per_set(numbers, acdc, methods, arguments.timed)
            if earlier is not None:
                results = motion_report.read_results(earlier)
            else:
                results = motion_report.measure_sets(numbers, acdc, methods, arguments.cache, _tell)
        result = motion_report.report_sets(results, seconds, timing, markdown_table)
        result["model"] = model.entry.sha256
        if phantom.is_dir():
            few = {**motion_methods.BEFORE, **own}
            moved = [motion_report.measure_set(item, few) for item in motion_phantom.phantom_sets(phantom)]
            result["phantom"] = motion_report.report_phantom(moved, markdown_table)
            result["tables"] |= result["phantom"].pop("tables")
        if arguments.still:
            found = motion_decisions.cases(
                acdc if acdc.is_dir() else None,
                phantom if phantom.is_dir() else None,
                counts=(arguments.still, arguments.moved),
            )
            decided = motion_decisions.measure_decisions(found, model, _tell)
            result["still"] = motion_decisions.report_decisions(decided, markdown_table)
            result["tables"] |= result["still"].pop("tables")
    except CMRError as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, MissingDependencyError) else 2
    write_result(arguments.output, "moco", result)
    for table in result["tables"].values():
        print(f"\n{table}")
    if draw is not None:
        for name, number in motion_report.pictured_sets(results, motion_methods.REFINED, acdc).items():
            draw(number, acdc, own[motion_methods.REFINED], arguments.pictures / f"{name}.png")
    return 0


def _earlier_moco(arguments: argparse.Namespace, model: str) -> dict[str, Any]:
    """The report of the same model whose errors of the simulated sets ``--keep-sets`` keeps."""
    from CMRLib.errors import InputError

    file = arguments.output / "moco.json"
    earlier: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if earlier.get("model") != model:
        raise InputError(f"{file} is no report of this model; run cmr-evaluate moco without --keep-sets.")
    return earlier


def _motion_peers(arguments: argparse.Namespace) -> AbstractContextManager[dict[str, Any]]:
    """The other software's methods, unless they are not wanted."""
    if arguments.without_peers:
        return nullcontext({})
    return _from_testing("benchmark_motion").peer_methods(arguments.threads, with_mdreg=not arguments.without_mdreg)


def _from_testing(name: str) -> Any:
    """A module of the repository's folder Testing, which is not installed."""
    from CMRLib.errors import InputError

    folder = SOURCE / "Testing"
    if not (folder / f"{name}.py").is_file():
        raise InputError(
            "Other software is measured, and pictures are drawn, from a clone of the repository only; run the command "
            "there, or leave --pictures out and add --without-peers."
        )
    sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def evaluate_landmarks(arguments: argparse.Namespace) -> int:
    """``cmr-evaluate landmarks``: errors on simulated and real test images, confidence, time, segmental T1."""
    import torch

    from CMRLandmarksLib import report
    from CMRLandmarksLib.prediction import load_landmark_model
    from CMRLib.errors import CMRError

    torch.set_num_threads(arguments.threads)
    if arguments.record is not None and set(arguments.parts) != set(LANDMARK_PARTS):
        print("An entry needs all parts; leave out --parts or --record.", file=sys.stderr)
        return 2
    try:
        named = {Path(name).stem: load_landmark_model(name, arguments.device) for name in arguments.models}
        first = next(iter(named.values()))
        simulated = report.simulated_test(arguments.anatomies)
        results = {}
        if "simulated" in arguments.parts:
            results["landmarks_simulated"] = report.report_simulated(simulated, named, markdown_table)
        corrupted = list(simulated)
        for name in ("acdc", "emidec"):
            folder = arguments.data / f"{name}-dev"
            if not folder.is_dir():
                print(f"{name} is left out: there is no folder {folder}. Name its parent with --data.", file=sys.stderr)
                continue
            slices = report.labelled_test(folder, name)
            corrupted += slices
            if name in arguments.parts:
                results[f"landmarks_{name}"] = report.report_real(slices, named, markdown_table, name)
        if "use" in arguments.parts:
            results["landmarks_use"] = report.report_use(
                corrupted[:: arguments.every], first, arguments.anatomies, arguments.threads, markdown_table
            )
    except CMRError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.record is not None:
        report.record_accuracy(arguments.record, first.entry, results)
    for name, result in results.items():
        result["models"] = {label: model.entry.sha256 for label, model in named.items()}
        write_result(arguments.output, name, result)
        for table in result["tables"].values():
            print(f"\n{table}")
    return 0


def evaluate_landmark_grid(arguments: argparse.Namespace) -> int:
    """``cmr-evaluate landmarks-grid``: tables of specialists and configurations."""
    from CMRLandmarksLib import report
    from CMRLib.errors import CMRError

    try:
        result = report.report_grid(arguments.folder, report.simulated_test(arguments.anatomies), markdown_table)
    except CMRError as error:
        print(error, file=sys.stderr)
        return 2
    write_result(arguments.output, "landmarks_grid", result)
    for table in result["tables"].values():
        print(f"\n{table}")
    return 0


def write_result(folder: Path, name: str, result: dict[str, Any]) -> Path:
    """Write one evaluation's numbers and tables as ``folder/name.json``."""
    from CMRLib import __version__

    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "version": __version__,
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        **result,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def update_readme(arguments: argparse.Namespace) -> int:
    """``cmr-evaluate readme``: put every table into the README where ``<!-- table NAME -->`` marks its place."""
    tables: dict[str, str] = {}
    for file in sorted(arguments.output.glob("*.json")):
        tables |= json.loads(file.read_text(encoding="utf-8")).get("tables", {})
    text = arguments.readme.read_text(encoding="utf-8")

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in tables:
            raise SystemExit(f"No file in {arguments.output} holds the table {name}; run its evaluation first.")
        return f"<!-- table {name} -->\n{tables[name]}\n<!-- end -->"

    filled = re.sub(r"<!-- table ([\w-]+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)
    if arguments.check:
        if filled != text:
            print("The README's tables are not those of the results; run cmr-evaluate readme.", file=sys.stderr)
        return int(filled != text)
    arguments.readme.write_text(filled, encoding="utf-8")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (those of the process by default) and return its exit status."""
    parser = argparse.ArgumentParser(prog="cmr-evaluate", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the result files")
    commands = parser.add_subparsers(required=True, metavar="EVALUATION")
    t1 = commands.add_parser("t1", help="T1 against the scanner's maps of a phantom and against the Cramér-Rao bound")
    t1.add_argument("--data", type=Path, default=real_data_folder(), help="folder that holds shmolli-phantom")
    t1.set_defaults(run=evaluate_t1)
    _add_moco(commands)
    landmarks = commands.add_parser("landmarks", help="landmarks on simulated and on labelled real test images")
    landmarks.add_argument(
        "--models",
        nargs="+",
        default=["landmarks-generalist"],
        help="ids or weights files; the first is reported in full, the others beside it (default: the one that ships)",
    )
    landmarks.add_argument("--data", type=Path, default=real_data_folder(), help="folder with acdc-dev and emidec-dev")
    landmarks.add_argument(
        "--parts",
        nargs="+",
        choices=LANDMARK_PARTS,
        default=LANDMARK_PARTS,
        help="what to measure: errors on simulated, ACDC and EMIDEC test images, and confidence and time in use "
        "(default: all)",
    )
    landmarks.add_argument("--anatomies", type=int, default=30, help="simulated test anatomies (default: %(default)s)")
    landmarks.add_argument("--every", type=int, default=2, help="corrupt every n-th test image (default: %(default)s)")
    landmarks.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    landmarks.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    landmarks.add_argument(
        "--record", type=Path, help="manifest in which to write what was measured of the first model"
    )
    landmarks.set_defaults(run=evaluate_landmarks)
    grid = commands.add_parser(
        "landmarks-grid", help="specialists and configurations that cmr-train landmarks-grid made"
    )
    grid.add_argument("folder", type=Path, help="the grid's folder")
    grid.add_argument("--anatomies", type=int, default=30, help="simulated test anatomies (default: %(default)s)")
    grid.set_defaults(run=evaluate_landmark_grid)
    readme = commands.add_parser("readme", help="put the tables into the README")
    readme.add_argument("--readme", type=Path, default=SOURCE / "README.md")
    readme.add_argument("--check", action="store_true", help="change nothing; fail where a table is not up to date")
    readme.set_defaults(run=update_readme)
    parsed = parser.parse_args(arguments)
    return int(parsed.run(parsed))


def _add_moco(commands: Any) -> None:
    moco = commands.add_parser("moco", help="motion correction of simulated sets with known motion and of a phantom")
    moco.add_argument("--model", default="moconet", help="id or weights file (default: the one that ships)")
    moco.add_argument("--data", type=Path, default=real_data_folder(), help="folder of acdc-dev and shmolli-phantom")
    moco.add_argument("--sets", type=int, default=200, help="the first so many of the 200 sets (default: %(default)s)")
    moco.add_argument(
        "--still", type=int, default=24, help="still acquisitions of each kind, 0 for none (default: %(default)s)"
    )
    moco.add_argument(
        "--moved", type=int, default=6, help="moved acquisitions of each kind and severity (default: %(default)s)"
    )
    moco.add_argument("--without-peers", action="store_true", help="leave SimpleITK's and elastix's registration out")
    moco.add_argument("--without-mdreg", action="store_true", help="leave mdreg out, which takes minutes a set")
    moco.add_argument("--cache", type=Path, help="folder in which the slow answers of other software are kept")
    moco.add_argument("--timed", type=int, default=5, help="sets to measure times on (default: %(default)s)")
    moco.add_argument(
        "--keep-sets", action="store_true", help="keep the report's errors of the sets; measure times and phantom again"
    )
    moco.add_argument("--threads", type=int, default=2, help="CPU threads of every method (default: %(default)s)")
    moco.add_argument("--pictures", type=Path, help="folder for pictures of the best, the median and the worst set")
    moco.set_defaults(run=evaluate_moco)


if __name__ == "__main__":
    sys.exit(main())
