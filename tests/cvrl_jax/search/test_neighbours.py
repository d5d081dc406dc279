"""Nearest neighbours: the exact ones, and nearly all of them by the index."""

import numpy as np
import pytest

from cvrl_jax.search.neighbours import nearest


@pytest.fixture(scope="module")
def vectors():
    """Clusters, as embeddings have them: float64 [N, D]."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    return centres[rng.integers(40, size=2000)] + 0.5 * rng.normal(size=(2000, 16))


def oracle(vectors, queries, k):
    x, q = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (vectors, queries))
    similarities = q @ x.T
    rows = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(similarities, rows, axis=1)


def test_the_most_similar_come_first(vectors):
    queries = np.random.default_rng(1).normal(size=(5, 16))
    rows, similarities = nearest(3.0 * vectors, queries, 7)
    expected, of_them = oracle(vectors, queries, 7)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(similarities, of_them, atol=1e-5)


@pytest.mark.parametrize("queries", [1, 2])
def test_there_may_be_fewer_vectors_than_asked_for(vectors, queries):
    rows, similarities = nearest(vectors[:3], vectors[:queries], 9)
    assert rows.shape == similarities.shape == (queries, 3)
    assert rows[:, 0].tolist() == list(range(queries))


def test_the_index_finds_nearly_all_and_is_kept(vectors, tmp_path):
    file = tmp_path / "x.usearch"
    queries = vectors[::50]
    expected, _ = oracle(vectors, queries, 5)
    found, similarities = nearest(vectors, queries, 5, file, exact_up_to=100)
    recall = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, expected)])
    assert recall >= 0.95
    np.testing.assert_allclose(similarities[:, 0], 1, atol=1e-5)
    before = file.stat().st_mtime_ns
    again, _ = nearest(vectors, queries, 5, file, exact_up_to=100)
    np.testing.assert_array_equal(again, found)
    assert file.stat().st_mtime_ns == before
    nearest(vectors[1:], queries, 5, file, exact_up_to=100)  # of another number of vectors
    assert file.stat().st_mtime_ns != before
