"""Batch normalisation: values, statistics and the gradient are those of the formula."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.models.norm import counted
from cvrl_jax.models.norm_gradient import batch_normalized

EPSILON = 1e-3
SHAPE = (4, 2, 3, 3, 5)
VALID = np.array([True, False, True, True])


def inputs(dtype: Any = np.float32, offset=0.0) -> list[Any]:
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=SHAPE) + offset, *rng.normal(size=(2, SHAPE[-1]))]
    return [jnp.asarray(value, dtype) for value in drawn]


@pytest.mark.parametrize("valid", [None, VALID])
def test_value_statistics_and_gradients_are_those_of_the_formula_in_float64(
    batch_norm_oracle, pulled, valid
):
    mask = counted(None if valid is None else jnp.asarray(valid), len(SHAPE))
    with jax.enable_x64(True):
        expected = pulled(lambda *a: batch_norm_oracle(*a, EPSILON, valid)[0], inputs(np.float64))
        statistics = batch_norm_oracle(*inputs(np.float64), EPSILON, valid)[1:]
    got = pulled(lambda *a: batch_normalized(*a, EPSILON, mask)[0], inputs())
    for a, w in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, w, atol=1e-5)
    found = batch_normalized(*inputs(), EPSILON, mask)[1:]
    for a, w in zip(found, statistics, strict=True):
        np.testing.assert_allclose(a, w, rtol=1e-5, atol=1e-6)


def test_a_far_mean_costs_no_more_digits_than_by_differentiation(batch_norm_oracle, pulled):
    """A mean of ten deviations: float32 numbers of 10 are off by 1e-6, their squares by 1e-5."""
    with jax.enable_x64(True):
        expected = pulled(lambda *a: batch_norm_oracle(*a, EPSILON)[0], inputs(np.float64, 10.0))
    norm = nn.BatchNorm(False, epsilon=EPSILON)
    statistics = {"mean": jnp.zeros(SHAPE[-1]), "var": jnp.ones(SHAPE[-1])}

    def differentiated(x, scale, bias):
        variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": statistics}
        return norm.apply(variables, x, mutable=["batch_stats"])[0]

    written = pulled(lambda *a: batch_normalized(*a, EPSILON, None)[0], inputs(offset=10.0))
    for a, b, w in zip(written, pulled(differentiated, inputs(offset=10.0)), expected, strict=True):
        errors = [np.abs(np.asarray(f) - np.asarray(w)).max() / np.abs(w).max() for f in (a, b)]
        assert errors[0] < 1.2 * errors[1]


def test_half_precision_is_off_by_its_own_rounding(batch_norm_oracle, pulled):
    x, scale, bias = inputs()
    half = x.astype(jnp.bfloat16)
    expected = pulled(
        lambda *a: batch_norm_oracle(*a, EPSILON)[0], [half.astype(jnp.float32), scale, bias]
    )
    got = pulled(lambda *a: batch_normalized(*a, EPSILON, None)[0], [half, scale, bias])
    assert [a.dtype for a in got] == [jnp.bfloat16] * 2 + [jnp.float32] * 2
    for a, w in zip(got, expected, strict=True):
        error = np.abs(np.asarray(a, np.float32) - w).max() / np.abs(w).max()
        assert error < 4 * 2**-9
