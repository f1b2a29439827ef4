"""What is loaded where an analyst's images are processed: neither simulation nor training."""

import subprocess
import sys

import pytest
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
    "segmentation": """
from CMRQCSegmentationLib.prediction import load_segmentation_model, segment_slices
import numpy as np
segment_slices(np.random.default_rng(0).random((2, 96, 96), dtype=np.float32),
               model=load_segmentation_model(device="cpu"))
""",
    "landmarks": """
from CMRLandmarksLib.prediction import load_landmark_model, predict_landmarks
from CMRLib.geometry import Geometry
import numpy as np
predict_landmarks(np.random.default_rng(0).random((2, 96, 96), dtype=np.float32), Geometry(),
                  model=load_landmark_model(device="cpu"))
""",
}


def foreign_modules(code, *arguments):
    """Modules of simulation, training and research that a fresh process has loaded once it ran the code."""
    command = [sys.executable, "-c", code + SHOW_FOREIGN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].removeprefix("foreign:").split()


@pytest.mark.parametrize("entry", ENTRIES)
def test_inference_loads_neither_simulation_nor_training(entry):
    assert foreign_modules(ENTRIES[entry]) == []


def test_a_batch_loads_neither_simulation_nor_training(tmp_path):
    study = write_study(tmp_path / "in", "P001")
    run = """
import sys
from pathlib import Path
from CMRLib.batch.run import BatchOptions, run_batch
run_batch([Path(sys.argv[1])], Path(sys.argv[2]), BatchOptions(steps=("t1", "segmentation", "landmarks"), device="cpu"))
"""
    assert foreign_modules(run, str(study), str(tmp_path / "out")) == []
    assert (tmp_path / "out" / "P001" / "results.json").is_file()


def test_what_is_foreign_is_seen():
    assert foreign_modules("import CMRLib.training.splits") != []
