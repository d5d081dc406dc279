import numpy as np
import pytest

from cvrl_jax.evaluation import low_rank
from cvrl_jax.evaluation.knn import normalise
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings, linear_probe, multilabel_probe

SETTINGS = LinearProbeSettings(solver="low_rank", learning_rate=5e-3, epochs=60, batch_size=16)


def blobs(seed, count, classes=4, views=2, dimension=16, noise=0.05):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.eye(classes, dimension)
    features = centres[labels][:, None] + noise * rng.normal(size=(count, views, dimension))
    return features.astype(np.float32), labels


def test_separable_classes_are_learned_as_a_linear_classifier_of_low_rank():
    result = linear_probe(*blobs(0, 72), *blobs(1, 40), 4, SETTINGS, seed=0)
    assert result.top1 == 1.0
    assert result.kernel_DxC.shape == (16, 4)
    unit = normalise(blobs(1, 40)[0])
    logits = unit @ result.kernel_DxC + result.bias_C
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    expected = (odds / odds.sum(-1, keepdims=True)).mean(axis=1)
    np.testing.assert_allclose(result.probabilities_MxC, expected, atol=1e-5)


def test_several_labels_have_a_sigmoid_each():
    x, y = blobs(0, 72)
    targets = np.eye(4, dtype=np.float32)[y]
    targets[:, 3] = 1.0 - targets[:, 0]
    found = multilabel_probe(x, targets, blobs(1, 40)[0], SETTINGS, seed=0)
    expected = targets[:40]
    assert found[expected == 1].mean() > found[expected == 0].mean() + 0.2


def test_a_pure_function_of_its_arguments():
    x, y = blobs(0, 24)
    arguments = (x, y, 4, 5e-3, 5, 8, 0.1)
    first, again = low_rank.fit(*arguments, seed=1), low_rank.fit(*arguments, seed=1)
    other = low_rank.fit(*arguments, seed=2)
    for one, two, three in zip(first, again, other):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)


def test_penalty_shrinks_the_second_factor():
    """Nothing to learn: what weights are drawn at first must decay, and the bias finds the odds."""
    x = np.zeros((64, 1, 8), np.float32)
    y = np.arange(64) % 4 // 3  # a quarter is of class 1
    drawn, _ = low_rank.fit(x, y, 2, 1e-2, 1, 64, 0.1, seed=0)
    kernel, bias = low_rank.fit(x, y, 2, 1e-2, 300, 64, 0.1, seed=0)
    assert np.abs(kernel).mean() < np.abs(drawn).mean() / 5
    assert np.exp(bias[1]) / np.exp(bias).sum() == pytest.approx(0.25, abs=0.02)


def test_steps_are_whole_epochs():
    x, y = blobs(0, 24)
    by_steps = linear_probe(x, y, x, y, 4, LinearProbeSettings(solver="low_rank", steps=3), 0)
    by_epochs = linear_probe(x, y, x, y, 4, LinearProbeSettings(solver="low_rank", epochs=3), 0)
    np.testing.assert_array_equal(by_steps.kernel_DxC, by_epochs.kernel_DxC)
