"""The choices of the fit that are off by default: the precise fit, and MOLLI as scanners print it."""

import numpy as np
import pytest
from irw_phantom import SHMOLLI_TIMES, make_phantom

pytest.importorskip("torch")

from CMRLib.errors import InputError
from CMRT1MappingLib.fit.reconstruction import MOLLI_EFFICIENCY, FitOptions, reconstruct
from CMRT1MappingLib.research.fit_evaluation import bias_of_precise_fit, shmolli_precision

MOLLI_TIMES = (100.0, 1100.0, 2100.0, 3100.0, 4100.0, 180.0, 1180.0, 2180.0)


@pytest.mark.parametrize("rr", [500.0, 900.0, 1500.0])
@pytest.mark.parametrize("snr", [15.0, 40.0])
def test_precise_fit_is_at_the_bound_after_contrast(rr, snr):
    result = shmolli_precision(450.0, rr, snr, seed=14, fit="precise")
    assert result.spread_over_bound <= 1.05
    assert abs(result.bias_ms) < 0.15 * result.spread_ms


def test_precise_fit_spreads_less_than_the_scanners_rule():
    scanner, precise = (shmolli_precision(450.0, 900.0, 40.0, seed=15, fit=fit) for fit in ("scanner", "precise"))
    assert precise.spread_ms < scanner.spread_ms


def test_precise_fit_is_that_of_the_scanner_in_native_tissue_and_biased_where_the_rule_leaves_samples_out():
    for rr in (500.0, 1000.0, 1500.0):
        assert abs(bias_of_precise_fit(960.0, rr)) < 1.0 and abs(bias_of_precise_fit(1570.0, rr)) < 1.0
    assert bias_of_precise_fit(550.0, 500.0) < -20.0


def test_molli_as_scanners_print_it_is_the_plain_fit_divided_by_the_efficiency():
    phantom = make_phantom(MOLLI_TIMES)
    plain, scanner = (
        reconstruct(phantom.images, MOLLI_TIMES, phantom.phase, scheme="molli", options=options, device="cpu")
        for options in (FitOptions(), FitOptions(molli="scanner"))
    )
    np.testing.assert_allclose(scanner.t1, plain.t1 / MOLLI_EFFICIENCY, rtol=1e-6)
    np.testing.assert_allclose(scanner.t1_error, plain.t1_error / MOLLI_EFFICIENCY, rtol=1e-6)
    assert np.array_equal(scanner.r2, plain.r2) and np.array_equal(scanner.t1_star, plain.t1_star)
    assert FitOptions(molli="scanner").parameters("molli")["Molli"] == "T1 / 0.965"
    assert FitOptions().parameters("molli")["Molli"] == "T1"


def test_other_schemes_do_not_change_and_do_not_claim_it():
    phantom = make_phantom()
    maps = [
        reconstruct(phantom.images, SHMOLLI_TIMES, phantom.phase, options=options, device="cpu").t1
        for options in (FitOptions(), FitOptions(molli="scanner"))
    ]
    assert np.array_equal(*maps)
    assert FitOptions(molli="scanner").parameters("shmolli") == {"LastTest": "scanner", "Fit": "scanner", "Molli": ""}
    assert FitOptions(fit="precise").parameters("shmolli") == {"LastTest": "", "Fit": "precise", "Molli": ""}


@pytest.mark.parametrize("options", [FitOptions(fit="fast"), FitOptions(molli="yes")])
def test_a_choice_that_there_is_not_is_refused(options):
    phantom = make_phantom()
    with pytest.raises(InputError, match='"fast"|"yes"'):
        reconstruct(phantom.images, SHMOLLI_TIMES, phantom.phase, options=options, device="cpu")
