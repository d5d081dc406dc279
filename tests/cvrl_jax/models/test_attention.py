"""Attention against float64 numpy; T5's buckets against their definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.models.attention import attend, distance_buckets

N, S, H, D = 3, 5, 2, 4


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    q, k, v = rng.normal(size=(3, N, S, H, D)).astype(np.float32)
    bias = rng.normal(size=(H, S, S)).astype(np.float32)
    visible = rng.uniform(size=(N, S)) < 0.6
    visible[:, 0] = True
    return q, k, v, bias, visible


def oracle(q, k, v, scale, bias, visible):
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    logits = np.einsum("nqhd,nkhd->nhqk", q, k) * scale
    logits = logits + (0 if bias is None else bias)
    weights = np.exp(logits)
    if visible is not None:
        weights = weights * visible[:, None, None, :]
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("nhqk,nkhd->nqhd", weights, v)


@pytest.mark.parametrize("lowering", ["fused", "heads"])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
def test_both_lowerings_equal_the_oracle(lowering, with_bias, with_mask):
    q, k, v, bias, visible = arrays()
    bias, visible = bias if with_bias else None, visible if with_mask else None
    got = jax.jit(lambda q, k, v: attend(q, k, v, 0.3, bias, visible, lowering=lowering))(q, k, v)
    np.testing.assert_allclose(got, oracle(q, k, v, 0.3, bias, visible), rtol=1e-5, atol=1e-6)


def test_both_lowerings_have_one_gradient():
    q, k, v, bias, visible = arrays(1)

    def value(lowering, *args):
        return (attend(*args, visible, lowering=lowering) ** 2).sum()

    fused, heads = (
        jax.grad(value, argnums=(1, 2, 3, 5))(lowering, q, k, v, 0.5, bias)
        for lowering in ("fused", "heads")
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), fused, heads)


def test_dropped_weights_are_zero_the_others_grow_and_both_lowerings_draw_alike():
    q, k, _, _, visible = arrays()
    v = np.broadcast_to(np.eye(S, dtype=np.float32)[None, :, None], (N, S, H, S))
    whole = oracle(q, k, v, 1.0, None, visible)
    dropout = (jax.random.key(0), 0.25)
    got, again = (
        np.asarray(attend(q, k, v, 1.0, None, visible, dropout, lowering))
        for lowering in ("fused", "heads")
    )
    np.testing.assert_allclose(got, again, rtol=1e-6)
    kept = got > 0
    np.testing.assert_allclose(got[kept], whole[kept] / 0.75, rtol=1e-5)
    share = kept[np.broadcast_to(visible[:, None, None], kept.shape)].mean()
    assert 0.6 < share < 0.9


def test_half_precision_keeps_its_type_and_a_float32_softmax():
    q, k, v, _, _ = arrays()
    for lowering in ("fused", "heads"):
        got = attend(*(jnp.asarray(x, jnp.bfloat16) for x in (q, k, v)), 1.0, lowering=lowering)
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(
            got.astype(np.float32), oracle(q, k, v, 1.0, None, None), atol=0.05
        )


def bucket(distance, buckets, max_distance):
    """T5 (arXiv 1910.10683, section 2.1), one distance (key minus query) at a time."""
    half = buckets // 2
    offset = half if distance > 0 else 0
    apart, exact = abs(distance), half // 2
    if apart < exact:
        return offset + apart
    far = exact + int(np.log(apart / exact) / np.log(max_distance / exact) * (half - exact))
    return offset + min(far, half - 1)


def test_buckets_of_distances():
    got = distance_buckets(100, 32, 64)
    for distance in (0, 1, -1, -7, -8, 9, 40, -40, 63, 64, -99, 99):
        i, j = max(0, -distance), max(0, distance)
        assert got[i, j] == bucket(distance, 32, 64)
    assert set(np.unique(got)) <= set(range(32))
    assert got[99, 0] == 15
    assert got[0, 99] == 31
    np.testing.assert_array_equal(got[1:, 1:], got[:-1, :-1])  # distances alone matter
