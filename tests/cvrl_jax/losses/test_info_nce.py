import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from cvrl_jax.losses import contrast_metrics, info_nce
from data_pipelines.errors import UserError


def embeddings(batch, dim, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(2, batch, dim)) * scale
    return np.asarray(z[0], np.float32), np.asarray(z[1], np.float32)


LOSS_AND_GRADIENT = jax.jit(jax.value_and_grad(info_nce, argnums=(0, 1)))


def oracle(z1, z2, temperature):
    """Sum over both directions, one anchor and one candidate at a time, in float64."""
    views = [np.asarray(z, np.float64) for z in (z1, z2)]
    views = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in views]
    total = 0.0
    for a, b in (views, views[::-1]):
        for i in range(len(a)):
            positive = a[i] @ b[i] / temperature
            others = [j for j in range(len(a)) if j != i]
            negatives = [a[i] @ z[j] / temperature for z in (a, b) for j in others]
            assert len(negatives) == 2 * len(a) - 2
            top = max([positive, *negatives])
            log_sum = top + np.log(sum(np.exp(x - top) for x in [positive, *negatives]))
            total += (log_sum - positive) / len(a)
    return total


@given(st.integers(1, 5), st.integers(1, 4), st.sampled_from([0.1, 1.0]), st.integers(0, 99))
@settings(max_examples=15)
def test_value_equals_the_float64_oracle(batch, dim, temperature, seed):
    z1, z2 = embeddings(batch, dim, seed, scale=3.0)
    got = jax.jit(info_nce)(z1, z2, temperature)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, oracle(z1, z2, temperature), rtol=2e-5, atol=2e-5)


def test_mean_is_half_of_sum_and_other_names_are_refused():
    z1, z2 = embeddings(4, 3)
    np.testing.assert_allclose(info_nce(z1, z2, reduction="mean") * 2, info_nce(z1, z2))
    with pytest.raises(UserError, match="'max'"):
        info_nce(z1, z2, reduction="max")  # pyright: ignore[reportArgumentType]


def test_gradient_equals_finite_differences_of_the_oracle():
    z1, z2 = embeddings(3, 2, seed=1)
    _, got = LOSS_AND_GRADIENT(z1, z2, 0.2)
    step = 1e-5
    for view in range(2):
        for index in np.ndindex(z1.shape):
            sides = []
            for sign in (step, -step):
                moved = [z1.astype(np.float64), z2.astype(np.float64)]
                moved[view] = moved[view].copy()
                moved[view][index] += sign
                sides.append(oracle(*moved, 0.2))
            expected = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(got[view][index], expected, rtol=1e-3, atol=1e-4)


def test_a_single_video_has_no_negatives_and_no_loss():
    z1, z2 = embeddings(1, 4)
    value, gradients = LOSS_AND_GRADIENT(z1, z2)
    np.testing.assert_allclose(value, 0.0, atol=1e-6)
    np.testing.assert_allclose(gradients, 0.0, atol=1e-6)


def test_identical_embeddings_give_twice_the_log_of_the_candidates():
    z = np.ones((8, 4), np.float32)
    np.testing.assert_allclose(info_nce(z, z), 2 * np.log(15), rtol=1e-6)


def test_a_low_temperature_does_not_overflow():
    z1, z2 = embeddings(6, 2, seed=3, scale=100.0)
    value, gradient = LOSS_AND_GRADIENT(z1, z2, 0.01)
    np.testing.assert_allclose(value, oracle(z1, z2, 0.01), rtol=1e-4)
    assert np.all(np.isfinite(gradient))


def test_zero_and_huge_embeddings_stay_finite():
    for z in (np.zeros((3, 4), np.float32), np.full((3, 4), 1e15, np.float32)):
        value, gradient = LOSS_AND_GRADIENT(z, z)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))


def test_bfloat16_embeddings_are_compared_in_float32():
    z1, z2 = (jnp.asarray(z, jnp.bfloat16) for z in embeddings(6, 8))
    got = info_nce(z1, z2)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, oracle(z1, z2, 0.1), rtol=1e-5)


@pytest.mark.parametrize("garbage", [7.0, np.nan, np.inf])
def test_invalid_rows_equal_removing_them(garbage):
    z1, z2 = embeddings(6, 4)
    valid = np.array([True, False, True, True, False, True])
    dirty1, dirty2 = (np.where(valid[:, None], z, garbage).astype(np.float32) for z in (z1, z2))
    value, gradients = LOSS_AND_GRADIENT(dirty1, dirty2, 0.1, valid)
    expected_value, expected_gradients = LOSS_AND_GRADIENT(z1[valid], z2[valid], 0.1)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    for gradient, expected in zip(gradients, expected_gradients):
        np.testing.assert_allclose(gradient[valid], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(gradient[~valid], 0.0)
    metrics = contrast_metrics(dirty1, dirty2, 0.1, valid)
    for name, expected in contrast_metrics(z1[valid], z2[valid], 0.1).items():
        np.testing.assert_allclose(metrics[name], expected, rtol=1e-5, atol=1e-6)


def test_no_valid_row_gives_zero_loss_and_zero_gradient():
    z1, z2 = embeddings(3, 4)
    nobody = np.zeros(3, bool)
    value, gradients = LOSS_AND_GRADIENT(z1, z2, 0.1, nobody)
    assert value == 0.0
    np.testing.assert_array_equal(gradients, 0.0)
    assert all(v == 0.0 for v in contrast_metrics(z1, z2, 0.1, nobody).values())


def test_eight_devices_equal_one():
    z1, z2 = embeddings(16, 8)
    # The two halves of the batch are unalike, so that per-device negatives would show.
    z1[:8], z2[:8] = z1[:8] * 5 + 2, z2[:8] + 3
    valid = np.arange(16) != 3
    expected = LOSS_AND_GRADIENT(z1, z2, 0.1, valid)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, P("data"))
    z1, z2, valid = jax.device_put((z1, z2, valid), sharding)
    got = LOSS_AND_GRADIENT(z1, z2, 0.1, valid)
    assert got[0].sharding.device_set == set(jax.devices())
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6), got, expected)


def test_metrics_of_known_similarities():
    z1 = np.eye(3, dtype=np.float32)
    z2 = np.eye(3, dtype=np.float32)[[0, 2, 1]]  # only the first clip finds its partner
    got = contrast_metrics(z1, z2, 0.5)
    np.testing.assert_allclose(got["contrast_accuracy"], 1 / 3, rtol=1e-6)
    p = np.exp([2.0, 0.0, 0.0])
    p /= p.sum()
    np.testing.assert_allclose(got["contrast_entropy"], -np.sum(p * np.log(p)), rtol=1e-5)


def test_accuracy_asks_the_first_view_only_and_ignores_its_own_clips():
    def at(*degrees):
        radians = np.radians(degrees)
        return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)

    # The clip at 40 degrees prefers the one at 10; both clips of the second view would be right.
    assert contrast_metrics(at(0, 40), at(10, 80))["contrast_accuracy"] == 0.5
    assert contrast_metrics(at(10, 80), at(0, 40))["contrast_accuracy"] == 1.0
    # Clips of one view are nearest to each other, and still find their partners.
    assert contrast_metrics(at(0, 1), at(-20, 21))["contrast_accuracy"] == 1.0


def test_entropy_of_collapsed_embeddings_is_the_log_of_the_batch():
    z = np.ones((5, 3), np.float32)
    np.testing.assert_allclose(contrast_metrics(z, z)["contrast_entropy"], np.log(5), rtol=1e-6)
