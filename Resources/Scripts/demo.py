"""Show what the software does: ``python3 Resources/Scripts/demo.py [STUDY] [--output DIR]``.

Makes the environment, writes a simulated study as DICOM, processes it as ``cmr-batch`` does, and prints how much its
heart moved and where the maps, the scene and a picture are. In the simulated study the patient breathed during the scan
of the mid slice. With a folder it processes the study in that folder instead.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import environment


def main() -> int:
    """Run the demonstration and return its exit status, that of ``cmr-batch``."""
    parser = argparse.ArgumentParser(description="Map T1 of a simulated study, or of the study in a folder.")
    parser.add_argument("study", nargs="?", type=Path, metavar="STUDY", help="folder with DICOM files or a study.json")
    parser.add_argument("--output", type=Path, default=environment.ROOT / "demo-output", metavar="DIR")
    options = parser.parse_args()
    environment.enter()

    import cmr_batch

    from CMRLib.commands import EXIT_DONE, EXIT_SOME_FAILED, EXIT_USAGE
    from CMRLib.errors import CMRError

    results = options.output / "results"
    try:
        study = options.study or _simulated_study(options.output / "simulated")
    except CMRError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    paths = ["--input", str(study), "--output", str(results)]
    status = cmr_batch.main([*paths, "--scene", "--overwrite"])
    if status not in (EXIT_DONE, EXIT_SOME_FAILED):
        return status
    with open(results / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    maps = [row for row in rows if row["id"] == rows[0]["id"] and row["t1_file"]]  # other studies come after this one
    if maps:
        folder = results / maps[0]["id"]
        for row in maps:
            print(f"Motion:  {_motion(row)}")
        print(f"Maps:    {folder}/*.nrrd")
        print(f"Scene:   {folder / 'scene.mrb'} (open it in 3D Slicer)")
        print(f"Picture: {_draw(folder, maps)}")
    return status


def _simulated_study(folder: Path) -> Path:
    """The folder of a simulated study, written when it is not there yet."""
    from CMRLib.simulation import simulate_study
    from CMRLib.simulation.dicom_writer import write_dicom_study

    if not folder.exists():
        print("Simulating a study", flush=True)
        files = write_dicom_study(simulate_study(seed=1, motion={"mid": "severe"}), folder)
        print(f"{len(files)} DICOM files", flush=True)
    print(f"Study:   {folder}", flush=True)
    return folder


def _motion(row: dict[str, str]) -> str:
    """What became of the motion correction of a map, from its row of the summary."""
    place = f"{row['state']} {row['slice']}: {row['motion_correction']}"
    if not row["motion_px"]:
        return place
    change = f"{float(row['r2_before']):.3f} before, {float(row['r2_after']):.3f} after"
    return f"{place}; {float(row['motion_px']):.1f} pixels on average, R² in the heart {change}"


def _draw(folder: Path, maps: list[dict[str, str]]) -> Path:
    """Draw the T1 maps of a study with their colors' legend, and return the picture's path."""
    import matplotlib
    from matplotlib import pyplot

    from CMRLib.files.images import read_image

    matplotlib.use("Agg")
    colors, shortest, longest = _color_table(folder / maps[0]["t1_file"])
    states = list(dict.fromkeys(row["state"] for row in maps))
    columns = [[row for row in maps if row["state"] == state] for state in states]
    shape = len(states), max(len(rows) for rows in columns)
    figure, axes = pyplot.subplots(
        *shape, figsize=(4 * shape[1] + 1, 3.2 * shape[0]), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for line, rows in zip(axes, columns, strict=True):
        for axis, row in zip(line, rows, strict=False):
            t1, geometry = read_image(folder / row["t1_file"])
            aspect = geometry.spacing[1] / geometry.spacing[0]
            drawn = axis.imshow(t1[0], cmap=colors, vmin=shortest, vmax=longest, interpolation="nearest", aspect=aspect)
            axis.set_title(f"{row['state']} {row['slice']}")
    figure.colorbar(drawn, ax=axes, label="T1 [ms]", shrink=0.9)
    path = folder / "t1_maps.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _color_table(t1_map: Path) -> tuple[Any, float, float]:
    """The colors for T1 at the field strength of a map, as in Slicer, and the values in ms of their ends."""
    import SimpleITK as sitk  # noqa: N813 (the name its users know)
    from matplotlib.colors import LinearSegmentedColormap

    from CMRLib.files.color_tables import T1_COLOR_TABLES, read_color_table, t1_colors_for_field

    header = sitk.ImageFileReader()
    header.SetFileName(str(t1_map))
    header.ReadImageInformation()
    field = float(header.GetMetaData("CMR.FieldStrength")) if header.HasMetaDataKey("CMR.FieldStrength") else 1.5
    scale = read_color_table(T1_COLOR_TABLES[t1_colors_for_field(field)])
    shortest, longest = scale.values[0], scale.values[-1]
    points = [
        ((value - shortest) / (longest - shortest), color)
        for value, color in zip(scale.values, scale.colors, strict=True)
    ]
    return LinearSegmentedColormap.from_list("T1", points), shortest, longest


if __name__ == "__main__":
    sys.exit(main())
