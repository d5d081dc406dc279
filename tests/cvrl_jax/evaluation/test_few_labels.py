import numpy as np
import pytest
from ml_collections import ConfigDict

from cvrl_jax.evaluation.bench import Round, mean_and_spread
from cvrl_jax.evaluation.features import Features
from cvrl_jax.evaluation.few_labels import few_shot, semi_supervised
from data_pipelines.errors import UserError
from data_pipelines.sources.subset import draw_by_class, share_of_class

CLASSES = ("a", "b", "c")


def side(rng, count, noise):
    labels = np.arange(count) % 3
    x = np.eye(3, 8)[labels][:, None] + noise * rng.normal(size=(count, 2, 8))
    return Features({"video": x.astype(np.float32)}, labels, np.ones(count, bool))


def round_of(noise=0.05, videos=60, **settings):
    rng = np.random.default_rng(0)
    config = ConfigDict(
        {
            "view_mean": "probabilities",
            "few_shot": {"shots": (1, 5), "draws": 3, "l2": 1e-3},
            "semi_supervised": {"shares": (0.01, 0.5)},
            "linear": {"solver": "lbfgs"},
        }
        | settings
    )
    return Round(side(rng, videos, noise), side(rng, 30, noise), CLASSES, {}, config, 0)


def test_a_few_shots_are_enough_where_classes_are_apart():
    found = few_shot("few_shot", round_of()).metrics
    assert found["few_shot_1_top1"] == found["few_shot_5_top1"] == 1.0
    assert found["few_shot_1_top1_std"] == 0.0


def test_more_shots_are_better_and_draws_differ():
    found = few_shot("few_shot", round_of(noise=0.6)).metrics
    assert found["few_shot_5_top1"] > found["few_shot_1_top1"] > 1 / 3
    assert found["few_shot_1_top1_std"] > 0


def test_fewer_readable_videos_than_shots_name_the_class():
    whole = round_of(videos=15)
    valid = np.ones(15, bool)
    valid[1] = False  # of class b, which has four left
    unreadable = Features(whole.train.outputs, whole.train.labels_N, valid)
    fewer = Round(unreadable, whole.test, CLASSES, {}, whole.settings, 0)
    with pytest.raises(UserError, match="shots has 5, but class 'b' has 4 readable"):
        few_shot("few_shot", fewer)


def test_semi_supervised_takes_its_share_of_each_class_and_at_least_one():
    found = semi_supervised("semi_supervised", round_of()).metrics
    assert found["semi_supervised_1pct_videos"] == 3
    assert found["semi_supervised_50pct_videos"] == 30
    assert found["semi_supervised_50pct_top1"] == 1.0
    assert found["semi_supervised_50pct_top5"] == 1.0


def test_what_is_drawn_is_fixed_balanced_and_nested():
    labels = np.array([0] * 100 + [1] * 40 + [-1] * 9)
    tenth = draw_by_class(labels, share_of_class(0.1), seed=3)
    assert np.bincount(labels[tenth]).tolist() == [10, 4]
    np.testing.assert_array_equal(tenth, draw_by_class(labels, share_of_class(0.1), seed=3))
    assert set(draw_by_class(labels, share_of_class(0.01), seed=3)) < set(tenth)
    assert set(draw_by_class(labels, share_of_class(0.1), seed=4)) != set(tenth)
    without_second = np.where(labels == 1, -1, labels)
    assert set(draw_by_class(without_second, share_of_class(0.1), seed=3)) < set(tenth)


def test_metrics_are_averaged_with_their_spread():
    found = mean_and_spread([{"x_top1": 0.2, "n": 1.0}, {"x_top1": 0.4, "n": 3.0, "more": 1.0}])
    assert found == pytest.approx({"x_top1": 0.3, "x_top1_std": 0.1 * 2**0.5, "n": 2.0})
    assert mean_and_spread([{"x_top1": 0.2}]) == {"x_top1": 0.2}
