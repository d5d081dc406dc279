import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from cvrl_jax.losses import matching_accuracy, mil_nce
from data_pipelines.errors import UserError

FORMS = ("paper", "released")


def embeddings(batch, candidates, dim, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, dim)).astype(np.float32)
    return x, rng.normal(size=(batch, candidates, dim)).astype(np.float32)


VALUE_AND_GRADIENT = jax.jit(jax.value_and_grad(mil_nce, argnums=(0, 1)), static_argnames="form")


def oracle(x, y, temperature, x_valid=None, y_valid=None, form="paper"):
    """One pair at a time, in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    count, candidates = y.shape[:2]
    x_valid = np.ones(count, bool) if x_valid is None else x_valid
    y_valid = np.ones((count, candidates), bool) if y_valid is None else y_valid

    def pair(i, j, k):
        if not (x_valid[i] and y_valid[j, k]):
            return 0.0
        cosine = x[i] @ y[j, k] / np.linalg.norm(x[i]) / np.linalg.norm(y[j, k])
        return np.exp(cosine / temperature)

    losses = []
    for i in range(count):
        if not (x_valid[i] and y_valid[i].any()):
            continue
        own = sum(pair(i, i, k) for k in range(candidates))
        others = [j for j in range(count) if j != i]
        negative = sum(pair(i, j, k) + pair(j, i, k) for j in others for k in range(candidates))
        losses.append(-np.log(own / (own * (2 if form == "released" else 1) + negative)))
    return np.mean(losses) if losses else 0.0


# Batch and candidates: each pair compiles once for a form, with and without what is valid.
SHAPES = ((1, 2), (3, 1), (4, 3))


@given(
    st.sampled_from(SHAPES), st.sampled_from([0.07, 1.0]), st.integers(0, 99),
    st.sampled_from(FORMS),
)  # fmt: skip
def test_value_equals_the_float64_oracle(shape, temperature, seed, form):
    batch, candidates = shape
    x, y = embeddings(batch, candidates, 3, seed)
    rng = np.random.default_rng(seed)
    x_valid, y_valid = rng.uniform(size=batch) < 0.8, rng.uniform(size=(batch, candidates)) < 0.7
    got, _ = VALUE_AND_GRADIENT(x, y, temperature, x_valid, y_valid, form=form)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(
        got, oracle(x, y, temperature, x_valid, y_valid, form), rtol=2e-5, atol=2e-5
    )
    plain, _ = VALUE_AND_GRADIENT(x, y, temperature, form=form)
    np.testing.assert_allclose(plain, oracle(x, y, temperature, form=form), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_equals_finite_differences_of_the_oracle(form):
    x, y = embeddings(3, 2, 2, seed=1)
    y_valid = np.array([[True, True], [True, False], [False, False]])
    _, got = VALUE_AND_GRADIENT(x, y, 0.3, None, y_valid, form=form)
    step = 1e-5
    for which, array in enumerate((x, y)):
        for index in np.ndindex(array.shape):
            sides = []
            for sign in (step, -step):
                moved = [x.astype(np.float64), y.astype(np.float64)]
                moved[which][index] += sign
                sides.append(oracle(*moved, 0.3, None, y_valid, form))
            expected = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(got[which][index], expected, rtol=1e-3, atol=1e-4)


def test_closed_forms():
    """Perfect matches at right angles: e^(1/t) against 2 (B - 1) pairs at e^0 per candidate."""
    count, candidates, t = 4, 3, 0.5
    x = np.eye(count, dtype=np.float32)
    y = np.repeat(x[:, None], candidates, axis=1)
    own, negative = candidates * np.exp(1 / t), 2 * (count - 1) * candidates
    np.testing.assert_allclose(mil_nce(x, y, t), np.log1p(negative / own), rtol=1e-5)
    np.testing.assert_allclose(
        mil_nce(x, y, t, form="released"), np.log(2 + negative / own), rtol=1e-5
    )
    # Nothing told apart: log of the number of pairs over that of the right ones.
    same = np.ones_like(y)
    np.testing.assert_allclose(mil_nce(x * 0 + 1, same, t), np.log(2 * count - 1), rtol=1e-5)


@pytest.mark.parametrize(("form", "floor"), [("paper", 0.0), ("released", np.log(2))])
def test_floors(form, floor):
    x, y = embeddings(1, 5, 4)
    np.testing.assert_allclose(mil_nce(x, y, form=form), floor, atol=1e-6)
    x = np.eye(8, dtype=np.float32)
    np.testing.assert_allclose(mil_nce(x, x[:, None], 0.02, form=form), floor, atol=1e-5)


@pytest.mark.parametrize("garbage", [7.0, np.nan, np.inf])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_missing_leaves_no_trace(garbage, form):
    x, y = embeddings(6, 2, 4)
    x_valid = np.arange(6) != 4
    y_valid = np.ones((6, 2), bool)
    y_valid[2], y_valid[0, 1] = False, False
    dirty_x = np.where(x_valid[:, None], x, garbage).astype(np.float32)
    dirty_y = np.where(y_valid[..., None], y, garbage).astype(np.float32)
    value, (gx, gy) = VALUE_AND_GRADIENT(dirty_x, dirty_y, 0.1, x_valid, y_valid, form=form)
    np.testing.assert_allclose(value, oracle(x, y, 0.1, x_valid, y_valid, form), rtol=1e-5)
    assert np.isfinite(gx).all()
    assert np.isfinite(gy).all()
    np.testing.assert_array_equal(gx[~x_valid], 0.0)
    np.testing.assert_array_equal(gy[~y_valid], 0.0)
    assert np.abs(gx[2]).sum() > 0  # a video without text is still a negative of other texts


@pytest.mark.parametrize("form", FORMS)
def test_no_text_in_the_whole_batch_gives_zero_loss_and_zero_gradient(form):
    x, y = embeddings(3, 2, 4)
    value, gradients = VALUE_AND_GRADIENT(x, y, 0.1, None, np.zeros((3, 2), bool), form=form)
    assert value == 0.0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0.0)
    assert matching_accuracy(x, y, None, np.zeros((3, 2), bool)) == 0.0


def test_low_temperatures_and_bfloat16():
    x, y = embeddings(6, 2, 8)
    np.testing.assert_allclose(mil_nce(x, y, 0.01), oracle(x, y, 0.01), rtol=1e-4)
    hx, hy = jnp.asarray(x, jnp.bfloat16), jnp.asarray(y, jnp.bfloat16)
    got = mil_nce(hx, hy)
    assert got.dtype == jnp.float32
    expected = oracle(np.asarray(hx, np.float32), np.asarray(hy, np.float32), 0.07)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_an_unknown_form_is_refused():
    x, y = embeddings(2, 1, 2)
    with pytest.raises(UserError, match="'joint'"):
        mil_nce(x, y, form="joint")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("form", FORMS)
def test_eight_devices_equal_one(form):
    x, y = embeddings(16, 3, 8)
    x[:8], y[:8] = x[:8] * 5 + 2, y[:8] + 3  # halves unalike, so per-device negatives would show
    x_valid = np.arange(16) != 3
    y_valid = np.random.default_rng(0).uniform(size=(16, 3)) < 0.7
    expected = VALUE_AND_GRADIENT(x, y, 0.1, x_valid, y_valid, form=form)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put((x, y, x_valid, y_valid), NamedSharding(mesh, P("data")))
    got = VALUE_AND_GRADIENT(*sharded[:2], 0.1, *sharded[2:], form=form)
    assert got[0].sharding.device_set == set(jax.devices())
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6), got, expected)


def test_accuracy_counts_those_whose_best_candidate_is_their_own():
    x = np.eye(3, dtype=np.float32)
    y = np.stack([-x, x], axis=1)  # one of the two candidates is enough
    assert matching_accuracy(x, y) == 1.0
    swapped = y.copy()
    swapped[0] = -x[0]
    np.testing.assert_allclose(matching_accuracy(x, swapped), 2 / 3, rtol=1e-6)
    some = np.array([[True, True], [True, True], [False, False]])
    np.testing.assert_allclose(matching_accuracy(x, y, None, some), 1.0)
    np.testing.assert_allclose(
        matching_accuracy(x, swapped, np.array([True, True, False])), 0.5, rtol=1e-6
    )
