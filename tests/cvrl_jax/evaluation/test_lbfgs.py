"""The optimum is scikit-learn's, and agrees with SGD within noise."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cvrl_jax.evaluation import lbfgs
from cvrl_jax.evaluation.knn import normalise
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings, linear_probe, multilabel_probe


def features(rng, count, views=2, width=6, classes=3, noise=0.6):
    labels = np.arange(count) % classes
    centres = 2.0 * np.eye(classes, width)
    x = centres[labels][:, None] + noise * rng.normal(size=(count, views, width))
    return normalise(x), labels


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_equals_logistic_regression_of_scikit_learn(l2):
    x, y = features(np.random.default_rng(0), 45)
    kernel, bias = lbfgs.fit(x, y, 3, l2)
    flat, repeated = x.reshape(-1, 6), y.repeat(2)
    theirs = LogisticRegression(C=1 / (l2 * len(flat)), tol=1e-8, max_iter=2000)
    theirs.fit(flat.astype(np.float64), repeated)
    np.testing.assert_allclose(kernel, theirs.coef_.T, atol=5e-3)
    # Biases are determined up to what all classes share.
    np.testing.assert_allclose(bias - bias.mean(), theirs.intercept_, atol=5e-3)


def test_several_labels_are_as_many_logistic_regressions():
    rng = np.random.default_rng(1)
    x = normalise(rng.normal(size=(60, 1, 4)))
    y = (x[:, 0] @ rng.normal(size=(4, 2)) + 0.2 * rng.normal(size=(60, 2)) > 0).astype(np.float32)
    kernel, bias = lbfgs.fit(x, y, 2, 0.05)
    for c in range(2):
        theirs = LogisticRegression(C=1 / (0.05 * 60), tol=1e-8, max_iter=2000)
        theirs.fit(x[:, 0].astype(np.float64), y[:, c])
        np.testing.assert_allclose(kernel[:, c], theirs.coef_[0], atol=5e-3)
        np.testing.assert_allclose(bias[c], theirs.intercept_[0], atol=5e-3)
    settings = LinearProbeSettings(solver="lbfgs")
    assert multilabel_probe(x, y, x, settings, seed=0).shape == (60, 2)


def test_where_it_begins_does_not_matter():
    x, y = features(np.random.default_rng(2), 30)
    rng = np.random.default_rng(3)
    near = lbfgs.fit(x, y, 3, 0.1, (rng.normal(size=(6, 3)), rng.normal(size=3)))
    np.testing.assert_allclose(near[0], lbfgs.fit(x, y, 3, 0.1)[0], atol=2e-3)


def test_the_sweep_takes_the_strength_that_serves_held_out_videos():
    rng = np.random.default_rng(4)
    noise = normalise(rng.normal(size=(60, 1, 30)))  # nothing to learn: the stronger the better
    labels = np.arange(60) % 3
    _, strong = lbfgs.sweep(noise, labels, 3, (1e-4, 1e-2, 1.0), 0.25, seed=0)
    assert strong == 1.0
    x, y = features(rng, 90, noise=0.2)
    _, weak = lbfgs.sweep(x, y, 3, (1.0, 1e-2, 1e-4), 0.25, seed=0)
    assert weak == 1e-4


def test_one_video_of_each_class_is_enough():
    x, y = features(np.random.default_rng(5), 3)
    (kernel, _), chosen = lbfgs.sweep(x, y, 3, (1e-3, 1e-1), 0.2, seed=0)
    assert kernel.shape == (6, 3)
    assert chosen == 1e-1


def test_sgd_and_lbfgs_agree_within_noise():
    rng = np.random.default_rng(6)
    train, test = features(rng, 300, classes=6, width=16), features(rng, 240, classes=6, width=16)
    top1 = []
    for solver in ("sgd", "lbfgs"):
        settings = LinearProbeSettings(solver=solver, batch_size=64, epochs=40)
        top1.append(linear_probe(*train, *test, 6, settings, seed=0).top1)
    spread = np.sqrt(top1[0] * (1 - top1[0]) / 240)
    assert abs(top1[0] - top1[1]) <= 2 * spread
    assert top1[0] > 0.5
