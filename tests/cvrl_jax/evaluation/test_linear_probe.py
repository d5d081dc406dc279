import jax
import numpy as np
import pytest

from cvrl_jax.evaluation.linear_probe import (
    LinearProbeSettings,
    initial_parameters,
    linear_probe,
    multilabel_probe,
    probe_schedule,
)

FAST = LinearProbeSettings(epochs=30, batch_size=32)


def blobs(rng, count, classes=4, views=3, dimension=8, noise=0.15):
    labels = np.arange(count) % classes
    centres = np.eye(classes, dimension)
    features = centres[labels][:, None] + noise * rng.normal(size=(count, views, dimension))
    return (features * 50).astype(np.float32), labels


def test_separable_classes_are_learned_completely():
    rng = np.random.default_rng(0)
    result = linear_probe(*blobs(rng, 100), *blobs(rng, 40), 4, FAST, seed=0)
    assert result.top1 == 1.0
    assert result.top5 == 1.0
    assert result.predictions_M.shape == (40,)
    np.testing.assert_allclose(result.probabilities_MxC.sum(axis=1), 1, atol=1e-5)


def test_equals_softmax_regression_in_float64():
    rng = np.random.default_rng(1)
    (x, y), (test_x, test_y) = blobs(rng, 24, views=1, noise=1.0), blobs(rng, 10, noise=1.0)
    settings = LinearProbeSettings(learning_rate=3.0, epochs=12, warmup_fraction=0.25)
    result = linear_probe(x, y, test_x, test_y, 4, settings, seed=5)

    unit = x[:, 0].astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    w, b = (np.asarray(p, np.float64) for p in initial_parameters(jax.random.key(5), 8, 4))
    momentum_w, momentum_b = np.zeros_like(w), np.zeros_like(b)
    for step in range(12):  # one full batch an epoch: the order does not matter
        cosine = 1.5 * (1 + np.cos(np.pi * max(step, 3) / 12))
        rate = cosine * min(step / 3, 1)
        logits = unit @ w + b
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        error = (p - np.eye(4)[y]) / len(y)
        momentum_w = 0.9 * momentum_w + unit.T @ error
        momentum_b = 0.9 * momentum_b + error.sum(axis=0)
        w, b = w - rate * momentum_w, b - rate * momentum_b
    np.testing.assert_allclose(result.kernel_DxC, w, atol=2e-5)
    np.testing.assert_allclose(result.bias_C, b, atol=2e-5)

    views = test_x.astype(np.float64)
    views /= np.linalg.norm(views, axis=-1, keepdims=True)
    p = np.exp(views @ w + b)
    expected = (p / p.sum(axis=-1, keepdims=True)).mean(axis=1)
    np.testing.assert_allclose(result.probabilities_MxC, expected, atol=2e-5)


def test_schedule_ramps_to_the_cosine_and_ends_at_zero():
    rate = probe_schedule(LinearProbeSettings(learning_rate=32.0, warmup_fraction=0.05), 100)
    rates = np.array([float(rate(step)) for step in range(101)])
    assert rates[0] == 0
    assert rates[5] == rates.max()
    assert rates[5] == pytest.approx(16 * (1 + np.cos(np.pi * 0.05)))
    assert rates[50] == pytest.approx(16)
    assert rates[100] == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(rates[:6], rates[5] * np.arange(6) / 5, rtol=1e-5)


def test_schedule_too_short_for_a_warm_up_starts_at_the_peak():
    assert float(probe_schedule(LinearProbeSettings(warmup_fraction=0.05), 10)(0)) == 32.0


def test_is_a_function_of_the_seed():
    rng = np.random.default_rng(2)
    data = (*blobs(rng, 50, noise=1.0), *blobs(rng, 20, noise=1.0), 4, FAST)
    first, again, other = (linear_probe(*data, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.kernel_DxC, again.kernel_DxC)
    assert not np.array_equal(first.kernel_DxC, other.kernel_DxC)


def test_videos_without_a_label_neither_train_nor_count():
    rng = np.random.default_rng(3)
    (x, y), (test_x, test_y) = blobs(rng, 40, noise=1.0), blobs(rng, 20, noise=1.0)
    clean = linear_probe(x, y, test_x, test_y, 4, FAST, seed=0)
    more_x = np.concatenate([np.full_like(x[:5], 9.0), x])
    more_y = np.concatenate([np.full(5, -1), y])
    hidden = np.where(np.arange(20) < 10, test_y, -1)
    result = linear_probe(more_x, more_y, test_x, hidden, 4, FAST, seed=0)
    np.testing.assert_array_equal(result.kernel_DxC, clean.kernel_DxC)
    np.testing.assert_array_equal(result.predictions_M, clean.predictions_M)
    assert result.top1 == np.mean(clean.predictions_M[:10] == test_y[:10])


def test_training_sees_every_view():
    y = np.arange(40) % 2
    x = np.zeros((40, 3, 6), np.float32)
    for view in range(3):  # each view tells the classes apart in coordinates of its own
        x[np.arange(40), view, 2 * view + y] = 1.0
    for view in range(3):
        assert linear_probe(x, y, x[:, view : view + 1], y, 2, FAST, seed=0).top1 == 1.0


def test_top5_counts_the_five_most_probable():
    rng = np.random.default_rng(4)
    x, y = blobs(rng, 80, classes=8, noise=2.0)
    result = linear_probe(x, y, x, y, 8, FAST, seed=0)
    order = np.argsort(-result.probabilities_MxC, axis=1)
    expected = np.mean([label in row[:5] for label, row in zip(y, order)])
    assert result.top1 < result.top5 == expected < 1.0


def test_impossible_labels_are_refused():
    x = np.ones((4, 1, 2), np.float32)
    with pytest.raises(ValueError, match="no training video has a label"):
        linear_probe(x, np.full(4, -1), x, np.zeros(4, int), 2, FAST, seed=0)
    with pytest.raises(ValueError, match="not below"):
        linear_probe(x, np.array([0, 1, 2, 0]), x, np.zeros(4, int), 2, FAST, seed=0)


def test_several_labels_are_learned_each_by_itself():
    rng = np.random.default_rng(6)
    targets = rng.random((300, 3)) < 0.4
    features = np.concatenate([targets, ~targets], axis=1)[:, None] + 0.2 * rng.normal(
        size=(300, 2, 6)
    )
    settings = LinearProbeSettings(learning_rate=8.0, epochs=40, batch_size=64)
    found = multilabel_probe(features[:200], targets[:200], features[200:], settings, seed=0)
    assert found.shape == (100, 3)
    assert np.mean((found > 0.5) == targets[200:]) > 0.97


def test_several_labels_equal_logistic_regression_in_float64():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(20, 1, 4)), rng.random((20, 3)) < 0.5
    settings = LinearProbeSettings(learning_rate=2.0, epochs=8, warmup_fraction=0.0)
    found = multilabel_probe(x, y, x, settings, seed=3)
    unit = x[:, 0] / np.linalg.norm(x[:, 0], axis=1, keepdims=True)
    w, b = (np.asarray(p, np.float64) for p in initial_parameters(jax.random.key(3), 4, 3))
    momentum_w, momentum_b = np.zeros_like(w), np.zeros_like(b)
    for step in range(8):
        rate = 1 + np.cos(np.pi * step / 8)
        error = (1 / (1 + np.exp(-(unit @ w + b))) - y) / len(y)
        momentum_w = 0.9 * momentum_w + unit.T @ error
        momentum_b = 0.9 * momentum_b + error.sum(axis=0)
        w, b = w - rate * momentum_w, b - rate * momentum_b
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-(unit @ w + b))), atol=2e-5)
