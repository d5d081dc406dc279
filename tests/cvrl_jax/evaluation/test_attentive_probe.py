from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from cvrl_jax.evaluation.attentive_probe import (
    AttentivePooling,
    AttentiveProbeSettings,
    attentive_probe,
)

FAST = AttentiveProbeSettings(learning_rate=3e-3, epochs=30, batch_size=32, heads=2)


def needles(rng, count, views=2, tokens=6, width=8, classes=3):
    """One token in each view tells the class, by its place in the second half of its vector; the
    others look the same in all classes, and the mean over tokens drowns in them."""
    labels = np.arange(count) % classes
    x = rng.normal(size=(count, views, tokens, width)).astype(np.float32)
    x[..., 0] = 0.0
    place = rng.integers(tokens, size=(count, views))
    rows = np.arange(count)[:, None], np.arange(views), place
    x[rows] = 0.3 * x[rows]
    x[(*rows, 0)] = 6.0
    x[(*rows, (4 + labels)[:, None])] += 3.0
    return x, labels


def test_finds_the_token_that_tells():
    rng = np.random.default_rng(0)
    result = attentive_probe(*needles(rng, 240), *needles(rng, 60), 3, FAST, seed=0)
    assert result.top1 > 0.95
    assert result.predictions_M.shape == (60,)
    np.testing.assert_allclose(result.probabilities_MxC.sum(axis=1), 1, atol=1e-5)


def test_pooling_equals_its_formula_in_float64():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 5, 6))
    probe = AttentivePooling(classes=3, heads=2)
    params = probe.init(jax.random.key(0), x.astype(np.float32))
    found = probe.apply(params, x.astype(np.float32))

    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)["params"]

    def norm(v, name):
        v = (v - v.mean(axis=-1, keepdims=True)) / np.sqrt(v.var(axis=-1, keepdims=True) + 1e-6)
        return v * p[name]["scale"] + p[name]["bias"]

    def heads(v, name):
        kernel = p["attention"][name]
        return np.einsum("nld,dhk->nlhk", v, kernel["kernel"]) + kernel["bias"]

    query = np.broadcast_to(p["query"], (2, 1, 6))
    tokens = norm(x, "tokens_norm")
    logits = np.einsum("nqhk,nlhk->nhql", heads(query, "query"), heads(tokens, "key")) / 3**0.5
    weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    mixed = np.einsum("nhql,nlhk->nqhk", weights, heads(tokens, "value"))
    out = p["attention"]["out"]
    y = (query + np.einsum("nqhk,hkd->nqd", mixed, out["kernel"]) + out["bias"])[:, 0]
    hidden = norm(y, "mlp_norm") @ p["up"]["kernel"] + p["up"]["bias"]
    erf = np.vectorize(math.erf)
    hidden = hidden * (1 + erf(hidden / 2**0.5)) / 2
    y = y + hidden @ p["down"]["kernel"] + p["down"]["bias"]
    expected = y @ p["out"]["kernel"] + p["out"]["bias"]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_scale_of_tokens_and_their_order_do_not_matter():
    rng = np.random.default_rng(2)
    (x, y), (test_x, test_y) = needles(rng, 48), needles(rng, 21)
    settings = AttentiveProbeSettings(epochs=2, batch_size=16, heads=2)
    first = attentive_probe(x, y, test_x, test_y, 3, settings, seed=0)
    other = attentive_probe(
        1000 * x[:, :, ::-1], y, 1000 * test_x[:, :, ::-1], test_y, 3, settings, seed=0
    )
    np.testing.assert_allclose(first.probabilities_MxC, other.probabilities_MxC, atol=1e-4)


def test_videos_without_a_label_neither_train_nor_count():
    rng = np.random.default_rng(3)
    (x, y), (test_x, test_y) = needles(rng, 48), needles(rng, 20)
    settings = AttentiveProbeSettings(epochs=2, batch_size=16)
    clean = attentive_probe(x, y, test_x, test_y, 3, settings, seed=0)
    more_x = np.concatenate([np.full_like(x[:5], 9.0), x])
    more_y = np.concatenate([np.full(5, -1), y])
    hidden = np.where(np.arange(20) < 10, test_y, -1)
    result = attentive_probe(more_x, more_y, test_x, hidden, 3, settings, seed=0)
    np.testing.assert_array_equal(result.probabilities_MxC, clean.probabilities_MxC)
    assert result.top1 == np.mean(clean.predictions_M[:10] == test_y[:10])


def test_impossible_labels_are_refused():
    x = np.ones((4, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match="no training video has a label"):
        attentive_probe(x, np.full(4, -1), x, np.zeros(4, int), 2, FAST, seed=0)
    with pytest.raises(ValueError, match="not below"):
        attentive_probe(x, np.array([0, 1, 2, 0]), x, np.zeros(4, int), 2, FAST, seed=0)
