import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.losses import (
    accuracy,
    dense_cross_entropy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)

LOGITS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32) * 4
LABELS = np.array([0, 3, -1, 2, 1], np.int32)
COUNTED = [0, 1, 3, 4]


def oracle(logits, labels, smoothing):
    total = 0.0
    for row, label in zip(np.asarray(logits, np.float64), labels):
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        log_p = row - row.max() - np.log(np.sum(np.exp(row - row.max())))
        total -= target @ log_p / len(labels)
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_the_oracle_and_ignores_unlabelled_rows(smoothing):
    got = softmax_cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
    expected = oracle(LOGITS[COUNTED], LABELS[COUNTED], smoothing)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_gradient_is_probability_minus_target():
    got = jax.grad(softmax_cross_entropy)(LOGITS, LABELS)
    expected = np.array(jax.nn.softmax(LOGITS)) - np.eye(4)[LABELS]
    expected[2] = 0.0
    np.testing.assert_allclose(got, expected / 4, rtol=1e-4, atol=1e-6)


def test_invalid_rows_count_for_nothing_even_when_not_finite():
    valid = np.array([True, False, True, True, False])
    dirty = np.where(valid[:, None], LOGITS, np.inf)
    value, gradient = jax.value_and_grad(softmax_cross_entropy)(dirty, LABELS, valid)
    np.testing.assert_allclose(value, oracle(LOGITS[[0, 3]], LABELS[[0, 3]], 0.0), rtol=1e-5)
    np.testing.assert_array_equal(gradient[np.array([1, 2, 4])], 0.0)
    assert softmax_cross_entropy(LOGITS, np.full(5, -1)) == 0.0
    assert accuracy(LOGITS, np.full(5, -1)) == 0.0


def test_huge_and_bfloat16_logits():
    assert np.isfinite(softmax_cross_entropy(LOGITS * 1e30, LABELS))
    got = softmax_cross_entropy(jnp.asarray(LOGITS, jnp.bfloat16), LABELS)
    assert got.dtype == jnp.float32


def test_accuracy_counts_labels_among_the_highest_k():
    logits = np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1], [1, 2, 3], [9, 0, 0]], np.float32)
    labels = np.array([0, 1, 2, 2, -1])
    assert accuracy(logits, labels) == 0.5
    assert accuracy(logits, labels, k=2) == 0.75
    assert accuracy(logits, labels, k=5) == 1.0
    assert accuracy(logits, labels, np.array([False, True, True, True, True])) == np.float32(1 / 3)


def test_equal_logits_are_not_all_right():
    assert accuracy(np.zeros((3, 3), np.float32), np.arange(3)) == np.float32(1 / 3)


def test_dense_targets_are_the_mixture_of_two_labels():
    other = np.array(LABELS)[::-1].copy()
    targets = 0.7 * jax.nn.one_hot(LABELS, 4) + 0.3 * jax.nn.one_hot(other, 4)
    counts = (np.array(LABELS) >= 0) & (other >= 0)
    got = dense_cross_entropy(LOGITS, targets, counts)
    expected = 0.7 * softmax_cross_entropy(LOGITS, LABELS, counts)
    expected += 0.3 * softmax_cross_entropy(LOGITS, other, counts)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_sigmoid_for_each_class(smoothing):
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(4, 3)), rng.integers(0, 2, (4, 3)).astype(float)
    valid = np.array([True, True, False, True])
    logits[2] = np.nan
    smooth = (1 - smoothing) * targets + smoothing / 2
    p = 1 / (1 + np.exp(-logits))
    expected = -(smooth * np.log(p) + (1 - smooth) * np.log(1 - p)).sum(axis=1)[valid].mean()
    got = sigmoid_cross_entropy(jnp.asarray(logits, jnp.float32), targets, valid, smoothing)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
