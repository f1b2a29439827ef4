"""The evaluation of the T1 fit as numbers and Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from CMRLib.errors import InputError
from CMRLib.study.reading import read_study
from CMRLib.training.tables import markdown_table
from CMRT1MappingLib.fit.reconstruction import FITS, reconstruct
from CMRT1MappingLib.research.fit_evaluation import bias_of_precise_fit, compare_with_scanner, shmolli_precision
from CMRT1MappingLib.research.scanner_maps import read_scanner_maps

SNRS = (10.0, 15.0, 25.0, 40.0, 60.0, 100.0)
RR_MS = (500.0, 700.0, 900.0, 1100.0, 1300.0, 1500.0)
BIAS_T1_MS = (250.0, 350.0, 450.0, 550.0, 650.0, 800.0, 960.0, 1166.0, 1570.0)
TISSUES_MS = {
    "native myocardium 1.5 T, 960 ms": 960.0,
    "native myocardium 3 T, 1166 ms": 1166.0,
    "blood, 1570 ms": 1570.0,
    "myocardium after contrast, 450 ms": 450.0,
}


def report_phantom(folder: Path) -> dict[str, Any]:
    """Reconstruct the real ShMOLLI phantom with and without its phase and hold both against the scanner's maps.

    Raises:
        InputError: the folder does not hold the scan with its phase, its inversion times and the scanner's maps.
    """
    scanner = read_scanner_maps(sorted(folder.rglob("*.dcm")))
    (series,) = [series for series in read_study(folder).series if series.role == "irw"]
    loaded = series.load()
    if loaded.phase is None or series.inversion_times_ms is None:
        raise InputError(f"{folder} holds no phase images or no inversion times; name another folder.")
    agreement = {}
    for name, phase in (("with phase", loaded.phase), ("magnitude only", None)):
        maps = reconstruct(loaded.images, series.inversion_times_ms, phase, device="cpu")
        agreement[name] = asdict(compare_with_scanner(maps, scanner))
    columns = agreement.values()
    rows = [
        ["pixels with scanner T1 600 to 2000 ms, R² > 0.99", *(a["pixels"] for a in columns)],
        ["of these, T1 within 1 ms of the scanner", *(f"{a['within_1_ms']:.2%}" for a in columns)],
        ["of these, R² within 0.001", *(f"{a['r2_within_0_001']:.2%}" for a in columns)],
        ["mean difference (ms; the scanner truncates)", *(f"{a['bias_ms']:+.2f}" for a in columns)],
        ["same number of samples, all fitted pixels", *(f"{a['same_samples']:.2%}" for a in columns)],
        ["pixels with scanner T1 50 to 600 ms, R² > 0.99", *(a["short_pixels"] for a in columns)],
        ["of these, marked as uncertain", *(f"{a['short_marked']:.2%}" for a in columns)],
        ["of these, more than 5 % and 10 ms off", *(a["short_wrong"] for a in columns)],
        ["of those, not marked", *(a["short_wrong_unmarked"] for a in columns)],
    ]
    table = markdown_table(["ShMOLLI phantom, 3 T", *agreement], rows)
    return {"agreement": agreement, "tables": {"t1-phantom": table}}


def report_precision() -> dict[str, Any]:
    """Bias and spread of T1 over noise, heart rate and tissue, against the Cramér-Rao bound."""
    conditions = []
    rows = []
    tissues = [(tissue, t1, fit) for fit in FITS for tissue, t1 in TISSUES_MS.items()]
    for tissue, t1, fit in tissues:
        for snr in SNRS:
            results = [shmolli_precision(t1, rr, snr, fit=fit) for rr in RR_MS]
            conditions += [{"fit": fit, **asdict(result)} for result in results]
            rows.append(
                [
                    tissue + (", precise fit" if fit == "precise" else ""),
                    f"{snr:.0f}",
                    _range([result.bias_ms for result in results], "+.1f"),
                    _range([result.spread_ms for result in results], ".1f"),
                    _range([result.spread_over_bound for result in results], ".2f"),
                    _range([result.error_over_reported for result in results], ".2f"),
                ]
            )
    header = ["tissue", "SNR", "bias (ms)", "spread (ms)", "spread / bound", "spread / reported error"]
    biases = [[f"T1 {t1:.0f} ms", *(f"{bias_of_precise_fit(t1, rr):+.1f}" for rr in RR_MS)] for t1 in BIAS_T1_MS]
    bias_header = ["precise fit less scanner's rule (ms)", *(f"RR {rr:.0f} ms" for rr in RR_MS)]
    return {
        "conditions": conditions,
        "tables": {
            "t1-precision": markdown_table(header, rows),
            "t1-precise-bias": markdown_table(bias_header, biases),
        },
    }


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"
