import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.losses import normalized_regression

RNG = np.random.default_rng(0)
P_BXD = RNG.normal(size=(5, 4)).astype(np.float32) * 3
Z_BXD = RNG.normal(size=(5, 4)).astype(np.float32)


def oracle(p, z):
    p = np.asarray(p, np.float64) / np.linalg.norm(np.asarray(p, np.float64), axis=1)[:, None]
    z = np.asarray(z, np.float64) / np.linalg.norm(np.asarray(z, np.float64), axis=1)[:, None]
    return np.mean(np.sum((p - z) ** 2, axis=1))


def test_value_is_the_squared_distance_of_unit_vectors():
    np.testing.assert_allclose(normalized_regression(P_BXD, Z_BXD), oracle(P_BXD, Z_BXD), rtol=1e-5)
    np.testing.assert_allclose(normalized_regression(P_BXD, -2 * P_BXD), 4.0, rtol=1e-6)
    np.testing.assert_allclose(normalized_regression(P_BXD, 2 * P_BXD), 0.0, atol=1e-6)


def test_gradient_equals_finite_differences_and_the_target_has_none():
    got, target = jax.grad(normalized_regression, argnums=(0, 1))(P_BXD, Z_BXD)
    for index in np.ndindex(P_BXD.shape):
        step = np.zeros(P_BXD.shape)
        step[index] = 1e-5
        expected = (oracle(P_BXD + step, Z_BXD) - oracle(P_BXD - step, Z_BXD)) / 2e-5
        np.testing.assert_allclose(got[index], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(target, 0.0)


def test_invalid_rows_equal_removing_them():
    valid = np.array([True, True, False, True, False])
    dirty = np.where(valid[:, None], P_BXD, np.nan)
    value, gradient = jax.value_and_grad(normalized_regression)(dirty, Z_BXD, valid)
    np.testing.assert_allclose(value, oracle(P_BXD[valid], Z_BXD[valid]), rtol=1e-5)
    np.testing.assert_array_equal(gradient[~valid], 0.0)
    assert normalized_regression(P_BXD, Z_BXD, np.zeros(5, bool)) == 0.0


def test_bfloat16_is_computed_in_float32():
    p, z = jnp.asarray(P_BXD, jnp.bfloat16), jnp.asarray(Z_BXD, jnp.bfloat16)
    got = normalized_regression(p, z)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, oracle(p, z), rtol=1e-5)
