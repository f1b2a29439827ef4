"""Reading the real ShMOLLI scan of a phantom, with the scanner's own maps."""

import numpy as np
import pytest

from CMRLib.study.reading import read_study


@pytest.fixture(scope="module")
def study(real_data):
    folder = real_data / "shmolli-phantom"
    if not folder.is_dir():
        pytest.skip(f"THE SHMOLLI PHANTOM IS MISSING: no folder {folder}")
    return read_study(folder)


@pytest.mark.real_data
def test_the_acquisition_with_its_phase(study):
    series = study.series[0]
    assert (series.key, series.scheme, series.shape) == ("irw_rest_mid", "shmolli", (7, 288, 384))
    assert series.inversion_times_ms == (100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 260.0)
    assert len(series.files) == len(series.phase_files) == 7
    assert series.geometry.spacing == (0.9375, 0.9375, 8.0)
    loaded = series.load()
    assert loaded.images.shape == loaded.phase.shape == (7, 288, 384)
    assert -np.pi - 1e-4 <= loaded.phase.min() < -3.1 and 3.1 < loaded.phase.max() <= np.pi
    # Magnitude and phase belong together: where T1 is long, the sign turns between 100 and 4100 ms.
    t1 = study.series[1].load().images[0]
    tubes = (t1 > 800) & (t1 < 2000) & (loaded.images[4] > 200)
    tubes[:, 368:] = False  # the colour bar
    turned = np.cos(loaded.phase[0] - loaded.phase[4])[tubes]
    assert tubes.sum() > 3000
    assert np.mean(turned < -0.9) > 0.95


@pytest.mark.real_data
def test_the_scanners_map_and_what_is_left_out(study):
    assert [series.key for series in study.series] == ["irw_rest_mid", "t1_rest_mid"]
    t1 = study.series[1].load().images
    assert t1.shape == (1, 288, 384)
    assert t1.min() >= 0 and t1.max() <= 4095
    assert [(len(entry.files), entry.reason) for entry in study.unrecognised] == [
        (1, "A copy of the T1 map prepared for display in colour."),
        (7, "Maps of fit parameters or derived values, not of T1."),
    ]
