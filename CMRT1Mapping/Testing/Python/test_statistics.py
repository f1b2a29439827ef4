import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from CMRLib.anatomy.statistics import roi_statistics
from CMRLib.errors import InputError


@given(hnp.arrays(float, (4, 5), elements=st.floats(0, 4000)), hnp.arrays(bool, (4, 5)))
def test_statistics_are_those_of_numpy(values, mask):
    if not mask.any():
        with pytest.raises(InputError, match="no fitted pixel"):
            roi_statistics(values, mask)
        return
    result = roi_statistics(values, mask)
    inside = values[mask]
    assert result.mean == pytest.approx(inside.mean())
    assert result.median == pytest.approx(np.median(inside))
    assert result.sd == pytest.approx(inside.std(ddof=1) if inside.size > 1 else 0.0, abs=1e-6)
    assert (result.minimum, result.maximum, result.pixels) == (inside.min(), inside.max(), inside.size)


def test_pixels_without_a_fit_are_left_out_and_counted():
    values = np.array([[0.0, 900.0], [1000.0, np.nan]])
    result = roi_statistics(values, np.ones((2, 2)), fitted=values > 0)
    assert result.mean == 950.0 and result.pixels == 2 and result.excluded == 2


def test_region_of_another_size_is_refused():
    with pytest.raises(InputError, match="does not match"):
        roi_statistics(np.zeros((2, 2)), np.ones((3, 3)))
