"""What is loaded where an analyst's images are processed: neither simulation nor training."""

import subprocess
import sys

from batch_studies import write_study

SHOW_FOREIGN = """
import sys
rooms = ("CMRLib.simulation", "CMRLib.training")
foreign = [n for n in sys.modules if n.startswith(rooms) or (n.startswith("CMR") and ".research" in n)]
print("foreign:", *sorted(foreign))
"""
ENTRIES = {
    "maps": "from CMRT1MappingLib.fit.reconstruction import reconstruct",
    "motion": """
from CMRT1MappingLib.motion.estimation import load_motion_model
from CMRT1MappingLib.motion.correction import correct_and_reconstruct
import numpy as np
images = np.random.default_rng(0).random((7, 96, 96), dtype=np.float32)
times = [100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0]
correct_and_reconstruct(images, times, None, (1.4, 1.4), scheme="shmolli", model=load_motion_model(device="cpu"),
                        device="cpu")
""",
    "landmarks": """
from CMRLandmarksLib.prediction import load_landmark_model, predict_landmarks
from CMRLib.geometry import Geometry
import numpy as np
predict_landmarks(np.random.default_rng(0).random((2, 96, 96), dtype=np.float32), Geometry(),
                  model=load_landmark_model(device="cpu"))
""",
    "batch": """
from pathlib import Path
from CMRLib.batch.run import BatchOptions, run_batch
run_batch([Path(sys.argv[1])], Path(sys.argv[2]), BatchOptions(steps=("t1", "landmarks"), device="cpu"))
""",
}


def foreign_modules(codes, *arguments):
    """Modules of simulation, training and research that a fresh process has loaded, after each of the codes it ran."""
    command = [sys.executable, "-c", "".join(code + SHOW_FOREIGN for code in codes), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("foreign:")]
    return [line.removeprefix("foreign:").split() for line in told]


def test_neither_inference_nor_a_batch_loads_simulation_or_training(tmp_path):
    study = write_study(tmp_path / "in", "P001")
    found = foreign_modules(ENTRIES.values(), str(study), str(tmp_path / "out"))
    assert dict(zip(ENTRIES, found, strict=True)) == {entry: [] for entry in ENTRIES}
    assert (tmp_path / "out" / "P001" / "results.json").is_file()


def test_what_is_foreign_is_seen():
    (found,) = foreign_modules(["import CMRLib.training.splits"])
    assert "CMRLib.training.splits" in found
