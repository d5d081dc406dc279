import numpy as np
import pytest

from cvrl_jax.evaluation.calibration import calibration


def test_equals_its_definition_video_by_video():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(4), 200)
    labels = rng.integers(-1, 4, 200)
    found = calibration(scores, labels, bins=10)
    counted = labels >= 0
    confidence = scores.max(axis=1)[counted]
    right = (scores.argmax(axis=1) == labels)[counted]
    error = 0.0
    for k in range(10):
        here = (confidence > k / 10) & (confidence <= (k + 1) / 10)
        assert found.count_K[k] == here.sum()
        if here.any():
            assert found.accuracy_K[k] == pytest.approx(right[here].mean())
            assert found.confidence_K[k] == pytest.approx(confidence[here].mean())
            error += here.mean() * abs(right[here].mean() - confidence[here].mean())
    assert found.error == pytest.approx(error)


def test_certain_and_right_is_perfect_and_certain_and_wrong_the_worst():
    certain = np.eye(3)[[0, 1, 2]]
    assert calibration(certain, np.array([0, 1, 2])).error == 0
    assert calibration(certain, np.array([1, 2, 0])).error == 1


def test_rows_without_a_verdict_or_a_label_do_not_count():
    scores = np.array([[np.nan, np.nan], [0.4, 0.6], [1.0, 0.0]])
    found = calibration(scores, np.array([0, 1, -1]))
    assert found.count_K.sum() == 1
    assert found.error == pytest.approx(0.4)
    assert np.isnan(calibration(scores, np.full(3, -1)).error)
