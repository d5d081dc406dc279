from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfinv

from cvrl_jax.evaluation.multilabel import multilabel_metrics


def oracle(scores, targets):
    """AP by its definition over thresholds, AUC over all pairs, one class."""
    positive = scores[targets]
    recall_before, precision = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        recall = (chosen & targets).sum() / targets.sum()
        precision += (recall - recall_before) * (chosen & targets).sum() / chosen.sum()
        recall_before = recall
    difference = positive[:, None] - scores[~targets]
    return precision, np.mean((difference > 0) + 0.5 * (difference == 0))


@given(st.integers(2, 30), st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000))
def test_equals_the_definitions_with_and_without_equal_scores(count, classes, levels, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (count, classes)).astype(float)
    targets = rng.random((count, classes)) < 0.4
    mixed = [c for c in range(classes) if 0 < targets[:, c].sum() < count]
    found = multilabel_metrics(scores, targets.astype(np.float32))
    assert found["classes_left_out"] == classes - len(mixed)
    if not mixed:
        assert math.isnan(found["map"])
        return
    expected = np.array([oracle(scores[:, c], targets[:, c]) for c in mixed])
    assert found["map"] == pytest.approx(expected[:, 0].mean())
    assert found["auc"] == pytest.approx(expected[:, 1].mean())
    assert math.isfinite(found["dprime"])


def test_d_prime_is_the_mean_over_classes_of_the_normal_quantile():
    targets = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    scores = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 4.0], [0.0, 3.0]])  # AUC 3/4 and 1/2
    found = multilabel_metrics(scores, targets)
    quantile = math.sqrt(2) * erfinv(2 * 0.75 - 1)
    assert found["auc"] == pytest.approx(0.625)
    assert found["dprime"] == pytest.approx(math.sqrt(2) * quantile / 2)


def test_constant_scores_are_chance_and_perfect_ones_are_finite():
    targets = np.array([[1, 0], [0, 1], [0, 0], [0, 1]])
    constant = multilabel_metrics(np.zeros((4, 2)), targets)
    assert constant["map"] == constant["map_chance"] == pytest.approx((0.25 + 0.5) / 2)
    assert constant["auc"] == 0.5
    assert constant["dprime"] == 0.0
    perfect = multilabel_metrics(targets.astype(float), targets)
    assert perfect["map"] == perfect["auc"] == 1.0
    half_a_pair_less = 2 * np.array([1 - 1 / 6, 1 - 1 / 8]) - 1
    assert perfect["dprime"] == pytest.approx(2 * erfinv(half_a_pair_less).mean())
