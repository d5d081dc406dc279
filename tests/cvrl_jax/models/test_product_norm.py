"""A product normalised while it is computed is the product, normalised: values and gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cvrl_jax.models.norm import counted
from cvrl_jax.models.product_norm import moments, normalized_product, product_statistics

EPSILON = 1e-3
SHAPE, OUT = (4, 2, 3, 3, 5), 7
VALID = np.array([True, False, True, True])


def inputs(dtype: Any = np.float32, offset=0.0) -> list[Any]:
    rng = np.random.default_rng(0)
    shapes = {"x": SHAPE, "kernel": (SHAPE[-1], OUT), "scale": (OUT,), "bias": (OUT,)}
    drawn = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    drawn["x"] = np.maximum(drawn["x"], 0) + offset
    return [jnp.asarray(value, dtype) for value in drawn.values()]


def mask(valid):
    return counted(None if valid is None else jnp.asarray(valid), len(SHAPE))


@pytest.fixture
def oracle(batch_norm_oracle):
    """The product is there, and autodiff goes through it."""
    return lambda x, kernel, scale, bias, valid=None: batch_norm_oracle(
        x @ kernel, scale, bias, EPSILON, valid
    )


@pytest.mark.parametrize("valid", [None, VALID])
def test_value_statistics_and_gradients_are_those_of_the_formula_in_float64(oracle, pulled, valid):
    with jax.enable_x64(True):
        expected = pulled(lambda *a: oracle(*a, valid=valid)[0], inputs(np.float64))
        statistics = oracle(*inputs(np.float64), valid=valid)[1:]
    args = inputs()
    got = pulled(lambda *a: normalized_product(*a, EPSILON, mask(valid))[0], args)
    for a, w in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, w, atol=2e-5)
    for a, w in zip(normalized_product(*args, EPSILON, mask(valid))[1:], statistics, strict=True):
        np.testing.assert_allclose(a, w, rtol=1e-5, atol=1e-6)


def test_what_does_not_count_may_be_anything():
    args = inputs()
    garbage = [args[0].at[1].set(jnp.nan), *args[1:]]
    clean, found = (normalized_product(*a, EPSILON, mask(VALID)) for a in (args, garbage))
    for a, w in zip(found[1:], clean[1:], strict=True):
        np.testing.assert_array_equal(a, w)
    np.testing.assert_array_equal(found[0][VALID], clean[0][VALID])


def test_a_far_mean_costs_the_variance_few_digits():
    x, kernel, *_ = inputs(offset=10.0)
    variance = product_statistics(moments(x, None), kernel)[1]
    exact = (np.asarray(x, np.float64) @ np.asarray(kernel, np.float64)).var((0, 1, 2, 3))
    np.testing.assert_allclose(variance, exact, rtol=1e-3)


def test_half_precision_is_off_by_its_own_rounding(oracle, pulled):
    """Of bfloat16, 2^-9 a number: of the result, and in the gradient of W diag(factor) and g."""
    args = inputs()
    half = [args[0].astype(jnp.bfloat16), args[1].astype(jnp.bfloat16), *args[2:]]
    rounded = [half[0].astype(jnp.float32), half[1].astype(jnp.float32), *args[2:]]
    expected = pulled(lambda *a: oracle(*a)[0], rounded)
    got = pulled(lambda *a: normalized_product(*a, EPSILON, None)[0], half)
    assert [a.dtype for a in got] == [jnp.bfloat16] * 3 + [jnp.float32] * 2
    for a, w in zip(got, expected, strict=True):
        error = np.abs(np.asarray(a, np.float32) - w).max() / np.abs(w).max()
        assert error < 4 * 2**-9


def test_statistics_are_those_of_all_devices(pulled):
    args = inputs()
    expected = pulled(lambda *a: normalized_product(*a, EPSILON, None)[0], args)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(args[0], NamedSharding(mesh, PartitionSpec("data")))
    got = jax.jit(lambda *a: pulled(lambda *b: normalized_product(*b, EPSILON, None)[0], a))(
        spread, *args[1:]
    )
    for a, w in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, w, atol=1e-5)
