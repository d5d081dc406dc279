from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvrl_jax.evaluation import cross_modal
from cvrl_jax.evaluation.cross_modal import (
    Items,
    clips,
    cross_modal_retrieval,
    groups_of,
    retrieval_in_groups,
    sentences,
    similarities,
)


def one_each(vectors):
    return Items(np.asarray(vectors), np.arange(len(vectors)))


def unit(x):
    x = np.asarray(x, np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_a_perfect_network_and_its_worst_opposite():
    eye = np.eye(6)
    right = cross_modal_retrieval(one_each(eye), one_each(eye)).metrics("a_to_b")
    assert right == {
        "a_to_b_r1": 1.0,
        "a_to_b_r5": 1.0,
        "a_to_b_r10": 1.0,
        "a_to_b_median_rank": 1.0,
        "a_to_b_mean_rank": 1.0,
    }
    wrong = cross_modal_retrieval(one_each(eye), one_each(-eye)).metrics("a_to_b")
    assert (wrong["a_to_b_r5"], wrong["a_to_b_mean_rank"]) == (0.0, 6.0)


@pytest.mark.parametrize("value", [1.0, 0.0, np.nan, np.inf])
@pytest.mark.parametrize("videos", [64, 1000])
def test_a_collapsed_network_is_at_chance(videos, value):
    # In float32, whose matrix product need not give equal columns for equal vectors.
    vectors = np.full((videos, 33), value, np.float32) * np.float32(0.3)
    ranking = cross_modal_retrieval(one_each(vectors), one_each(vectors))
    for k in (1, 5, 10):
        assert ranking.hits(k).mean() == pytest.approx(k / videos)
    assert ranking.chance_r1 == pytest.approx(1 / videos)
    metrics = ranking.metrics("x")
    assert metrics["x_median_rank"] == metrics["x_mean_rank"] == (videos + 1) / 2


def test_similarities_that_float32_cannot_tell_apart_are_a_draw():
    query = one_each(np.array([[1.0, 0.0], [0.0, 1.0]]))
    answers = one_each(np.array([[1.0, 0.0], [1.0 + 1e-9, 1.0]]))
    assert cross_modal_retrieval(query, answers).hits(1).tolist() == [0.5, 1.0]


def all_orders(similarity_QxG, right_QxG, k):
    """Hit rate and rank by trying every order of what is equally similar."""
    hits, ranks = [], []
    for similarity, right in zip(similarity_QxG, right_QxG):
        values = sorted(set(similarity), reverse=True)
        levels = [np.flatnonzero(similarity == value) for value in values]
        best = [
            1 + next(i for i, item in enumerate(itertools.chain(*order)) if right[item])
            for order in itertools.product(*(itertools.permutations(level) for level in levels))
        ]
        hits.append(np.mean([rank <= k for rank in best]))
        ranks.append(np.mean(best))
    return hits, ranks


@given(st.integers(1, 4), st.integers(0, 2), st.integers(1, 3), st.integers(0, 10_000))
def test_equals_the_mean_over_all_orders_of_equals(videos, extra, levels, seed):
    rng = np.random.default_rng(seed)
    owners = np.concatenate([np.arange(videos), rng.integers(videos, size=extra)])
    # Similarities in a few steps of 1/4: exact, and many are equal.
    queries = rng.integers(0, levels + 1, (videos, 3)) / 4
    gallery = rng.integers(0, 2, (len(owners), 3)).astype(float)
    ranking = cross_modal_retrieval(one_each(queries), Items(gallery, owners))
    similarity, right = queries @ gallery.T, np.arange(videos)[:, None] == owners
    for k in (1, 2, 5):
        hits, ranks = all_orders(similarity, right, k)
        np.testing.assert_allclose(ranking.hits(k), hits, atol=1e-12)
        np.testing.assert_allclose(ranking.ranks, ranks, atol=1e-12)
    chance, _ = all_orders(np.zeros_like(similarity), right, 1)
    assert ranking.chance_r1 == pytest.approx(np.mean(chance))


@given(st.integers(2, 40), st.integers(0, 10_000))
def test_equals_a_full_sort_in_float64_for_any_chunk(videos, seed):
    rng = np.random.default_rng(seed)
    queries, gallery = unit(rng.normal(size=(videos, 5))), unit(rng.normal(size=(videos, 5)))
    order = np.argsort(-(queries @ gallery.T), axis=1)
    expected = 1 + np.argmax(order == np.arange(videos)[:, None], axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_modal, "_CHUNK", 3 * videos)
        ranking = cross_modal_retrieval(one_each(queries), one_each(gallery))
    np.testing.assert_array_equal(ranking.ranks, expected)
    metrics = ranking.metrics("q")
    assert metrics["q_r5"] == pytest.approx(np.mean(expected <= 5))
    assert metrics["q_median_rank"] == np.median(expected)


def test_clips_are_averaged_as_unit_vectors_and_invalid_ones_do_not_count():
    vectors = np.array([[[3.0, 0.0], [0.0, 0.1]], [[0.0, 2.0], [9.0, 9.0]], [[1, 1], [1, 1]]])
    valid = np.array([[True, True], [True, False], [False, False]])
    items = clips(vectors, valid)
    assert items.videos_M.tolist() == [0, 1]
    np.testing.assert_allclose(items.vectors_MxD, [[0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-6)
    mean = clips(vectors, valid, unit=False)
    np.testing.assert_allclose(mean.vectors_MxD, [[0.5, 0.5], [0, 1]], atol=1e-6)


def test_the_mean_without_unit_norm_gives_the_mean_cosine_of_all_pairs_of_clips():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 3, 6)), rng.normal(size=(5, 2, 6))
    found = similarities(
        clips(a, np.ones((4, 3), bool), unit=False).vectors_MxD,
        clips(b, np.ones((5, 2), bool), unit=False).vectors_MxD,
    )
    expected = np.einsum("ivd,jwd->ijvw", unit(a), unit(b)).mean(axis=(2, 3))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_every_sentence_is_a_query_and_the_best_of_a_videos_sentences_its_answer():
    text = np.array([[[1.0, 0, 0], [0, 1.0, 0]], [[0, 0, 1.0], [0, 0, 0]]])
    items = sentences(text, np.array([[True, True], [True, False]]))
    assert items.videos_M.tolist() == [0, 0, 1]
    video = one_each(np.array([[1.0, 0.2, 0], [0, 0.5, 1.0]]))
    assert cross_modal_retrieval(items, video).ranks.tolist() == [1, 2, 1]
    back = cross_modal_retrieval(video, items)
    assert back.ranks.tolist() == [1, 1]
    assert back.chance_r1 == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_only_videos_on_both_sides_take_part():
    queries = Items(np.eye(3), np.array([7, 8, 9]))
    gallery = Items(np.eye(3), np.array([8, 9, 10]))
    ranking = cross_modal_retrieval(queries, gallery)
    assert ranking.answers_Q.tolist() == [2, 2]
    with pytest.raises(ValueError, match="no video has both"):
        cross_modal_retrieval(queries, Items(np.eye(3), np.array([1, 2, 3])))


@given(st.integers(1, 50), st.integers(0, 60))
def test_groups_are_of_one_size_and_of_neighbours(videos, ways):
    groups = groups_of(np.arange(videos) + 100, ways)
    joined = np.concatenate(groups)
    assert joined.tolist() == list(range(100, 100 + len(joined)))
    if 0 < ways <= videos:
        assert {len(g) for g in groups} == {ways}
        assert len(groups) == videos // ways
    else:
        assert len(joined) == videos


def test_a_group_is_searched_by_itself():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(13, 4)), rng.normal(size=(13, 4))
    ranking = retrieval_in_groups(one_each(a), one_each(b), groups_of(np.arange(13), 4))
    assert ranking.chance_r1 == 0.25
    expected = []
    for video in range(12):
        group = b[video // 4 * 4 : video // 4 * 4 + 4]
        better = (group * a[video]).sum(axis=1) > (b[video] * a[video]).sum()
        expected.append(1 + better.sum())
    np.testing.assert_array_equal(ranking.ranks, expected)
