import numpy as np
import pytest

from cvrl_jax.evaluation.clip_retrieval import RECALLS, class_ranking

RNG = np.random.default_rng(0)


def test_equals_counting_by_hand():
    queries, gallery = RNG.normal(size=(40, 5)), RNG.normal(size=(90, 5))
    of_query, of_gallery = RNG.integers(0, 6, 40), RNG.integers(0, 6, 90)
    ranking = class_ranking(queries, of_query, gallery, of_gallery)
    x = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    y = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    order = np.argsort(-(x @ y.T), axis=1)
    right = of_gallery[order] == of_query[:, None]
    for k in RECALLS:
        np.testing.assert_allclose(ranking.hits(k), right[:, :k].any(axis=1))
    np.testing.assert_allclose(ranking.ranks, 1 + right.argmax(axis=1))


def test_a_network_that_says_the_same_of_everything_is_at_chance():
    labels = np.arange(20) % 4
    ranking = class_ranking(np.ones((8, 3)), labels[:8], np.ones((20, 3)), labels)
    assert ranking.hits(1).mean() == pytest.approx(0.25) == ranking.chance_r1
    # 5 of 20 are right: none among the first two with 15/20 x 14/19
    assert ranking.hits(2).mean() == pytest.approx(1 - 15 / 20 * 14 / 19)


@pytest.mark.parametrize("k", RECALLS)
def test_a_class_that_is_not_in_the_gallery_is_missed_at_every_k(k):
    ranking = class_ranking(np.ones((2, 3)), np.array([0, 7]), np.ones((4, 3)), np.zeros(4, int))
    assert ranking.hits(k).tolist() == [1.0, 0.0]
