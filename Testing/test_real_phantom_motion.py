"""Motion correction of a real scan of a phantom, which does not move."""

import numpy as np
import pytest

from CMRLib.study.reading import read_study
from CMRLib.training.repository import real_data_folder
from CMRT1MappingLib.motion.correction import correct_and_reconstruct

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
PHANTOM = real_data_folder() / "shmolli-phantom"


@pytest.mark.parametrize("with_phase", [True, False])
def test_phantom_comes_back_unmoved(with_phase):
    if not PHANTOM.is_dir():
        pytest.skip(f"the real phantom is not here: there is no folder {PHANTOM} (CMR_REAL_DATA names its parent)")
    series = next(item for item in read_study(PHANTOM).series if item.role == "irw")
    images = series.load()
    result = correct_and_reconstruct(
        images.images,
        series.inversion_times_ms,
        images.phase if with_phase else None,
        (images.geometry.spacing[1], images.geometry.spacing[0]),
        scheme=series.scheme,
        device="cpu",
    )
    tubes = (result.original.r2 > 0.99) & (result.original.t1 > 600) & (result.original.t1 < 2000)
    assert tubes.sum() > 8900
    assert np.abs(result.maps.t1 - result.original.t1)[tubes].max() < 1.0
    assert result.motion_px < 0.5
