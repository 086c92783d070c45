"""The reference's own arithmetic, where it does not use NumPy's or the standard library's."""

import math

import numpy as np

from model_export.network.reference import erf


def test_the_error_function_is_the_standard_librarys():
    x = np.concatenate([np.linspace(-7, 7, 20_011), [0.0, 1e-300, -1e-9, np.inf, -np.inf]])
    expected = np.array([math.erf(value) for value in x])
    np.testing.assert_allclose(erf(x), expected, rtol=0, atol=1e-13)
    assert np.isnan(erf(np.array([np.nan]))).all()
