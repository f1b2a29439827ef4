"""Make the sample data that Slicer downloads: ``python3 Resources/Scripts/sample_data.py --output DIR [--record]``.

Simulates the studies of ``CMRT1Mapping/Resources/sample_data.json`` and packs each as a zip archive, the same bytes
each time. The archives are uploaded to where ``url`` in that file says. Without ``--record`` the checksums must be
those of the file; with it, they and the thumbnails are written anew, as is needed after the simulation has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import environment

if TYPE_CHECKING:
    import numpy as np

    from CMRLib.files.samples import Sample

RESOURCES = environment.ROOT / "CMRT1Mapping" / "Resources"
THUMBNAIL_PIXELS = (280, 260)  # width and height, as Slicer's module shows it
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_STILL = {"slices": ("mid",), "states": ("rest",), "motion": None, "snr": 60.0}  # of what a thumbnail shows


def main() -> int:
    """Make the archives and return the exit status: 1 where a checksum is not the recorded one."""
    parser = argparse.ArgumentParser(description="Make the sample data that Slicer downloads.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--record", action="store_true", help="write checksums and thumbnails anew")
    options = parser.parse_args()
    environment.enter()

    from CMRLib.files.samples import SAMPLES_FILE, read_samples

    options.output.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for sample in read_samples(RESOURCES / SAMPLES_FILE):
        path = make(sample, options.output)
        checksums[sample.file] = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path}: SHA256 {checksums[sample.file]}", flush=True)
        if options.record:
            draw_thumbnail(sample, RESOURCES / sample.thumbnail)
        elif checksums[sample.file] != sample.sha256:
            print(f"{path.name} is not what was recorded; state --record if that is intended.", file=sys.stderr)
    if options.record:
        record(RESOURCES / SAMPLES_FILE, checksums)
        return 0
    recorded = {sample.file: sample.sha256 for sample in read_samples(RESOURCES / SAMPLES_FILE)}
    return 0 if checksums == recorded else 1


def make(sample: Sample, folder: Path) -> Path:
    """Simulate a sample and pack it; the archive."""
    from CMRLib.simulation import simulate_study
    from CMRLib.simulation.dicom_writer import write_dicom_study

    with tempfile.TemporaryDirectory() as place:
        study = Path(place) / "study"
        write_dicom_study(simulate_study(**sample.simulation), study)
        return pack(study, folder / sample.file)


def pack(study: Path, archive: Path) -> Path:
    """Pack a folder without compression, whose bytes would depend on the library; the archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle:
        for file in sorted(path for path in study.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(study).as_posix(), _ZIP_DATE)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, file.read_bytes())
    return archive


def record(path: Path, checksums: dict[str, str]) -> None:
    """Write checksums into the list of samples."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for entry in content["samples"]:
        entry["sha256"] = checksums[entry["file"]]
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")


def draw_thumbnail(sample: Sample, path: Path) -> None:
    """Draw T1 at rest of a sample in the colors that Slicer shows it in."""
    import matplotlib
    from matplotlib import pyplot
    from matplotlib.colors import LinearSegmentedColormap

    from CMRLib.files.color_tables import T1_COLOR_TABLES, read_color_table

    matplotlib.use("Agg")
    scale = read_color_table(T1_COLOR_TABLES["1.5 T"])
    low, high = scale.values[0], scale.values[-1]
    points = [((value - low) / (high - low), color) for value, color in zip(scale.values, scale.colors, strict=True)]
    figure = pyplot.figure(figsize=(THUMBNAIL_PIXELS[0] / 100, THUMBNAIL_PIXELS[1] / 100), dpi=100)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.imshow(_heart(sample), cmap=LinearSegmentedColormap.from_list("T1", points), vmin=low, vmax=high)
    figure.savefig(path)
    pyplot.close(figure)


def _heart(sample: Sample) -> np.ndarray:
    """T1 at rest of a sample's heart and its surroundings, without motion, (row, column)."""
    from CMRLib.simulation import simulate_study
    from CMRT1MappingLib.fit.reconstruction import reconstruct

    acquisition = simulate_study(**{**sample.simulation, **_STILL}).acquisitions[0]
    maps = reconstruct(acquisition.images, acquisition.inversion_times_ms, acquisition.phase, scheme=acquisition.scheme)
    marks = acquisition.truth.landmarks
    assert marks is not None  # a slice of the heart has them
    row, column = (round(value) for value in marks.lv_center)
    heart: np.ndarray = maps.t1[row - 65 : row + 65, column - 80 : column + 60]
    return heart


if __name__ == "__main__":
    sys.exit(main())
