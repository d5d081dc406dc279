import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvrl_jax.evaluation.knn import accuracy, accuracy_by_factor, knn_votes, neighbours


def predict(*arguments, **settings):
    return knn_votes(*arguments, **settings).argmax(axis=1)


def unit(*degrees):
    angle = np.deg2rad(np.array(degrees, np.float64))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_neighbours_are_sorted_by_cosine_and_ignore_scale():
    train = unit(0, 10, 30, 180) * np.array([[5.0], [0.1], [1.0], [100.0]], np.float32)
    indices, similarities = neighbours(train, 7 * unit(9), k=3)
    assert indices.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(similarities, [np.cos(np.deg2rad([1, 9, 21]))], atol=1e-6)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 5), st.integers(0, 1000))
def test_neighbours_equal_a_full_sort_for_any_chunk(n, k, chunk, seed):
    rng = np.random.default_rng(seed)
    train, test = rng.normal(size=(n, 3)), rng.normal(size=(7, 3))
    indices, similarities = neighbours(train, test, k, chunk)
    cosine = (test / np.linalg.norm(test, axis=1, keepdims=True)) @ (
        train / np.linalg.norm(train, axis=1, keepdims=True)
    ).T
    expected = np.argsort(-cosine, axis=1)[:, :k]
    assert indices.shape == (7, min(n, k))
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(similarities, np.take_along_axis(cosine, expected, 1), atol=1e-6)


def test_equal_similarities_come_in_the_order_of_the_training_set():
    indices, _ = neighbours(unit(0, 0, 0, 0), unit(0), k=4)
    assert indices.tolist() == [[0, 1, 2, 3]]


def test_temperature_decides_between_one_near_and_two_far():
    train, labels = unit(5, 40, -40), np.array([0, 1, 1])
    assert predict(train, labels, unit(0), 2, k=3, temperature=0.07).tolist() == [0]
    assert predict(train, labels, unit(0), 2, k=3, temperature=10.0).tolist() == [1]
    assert predict(train, labels, unit(0), 2, k=1, temperature=10.0).tolist() == [0]


def test_votes_follow_the_formula():
    rng = np.random.default_rng(0)
    train, labels, test = rng.normal(size=(50, 4)), rng.integers(0, 3, 50), rng.normal(size=(20, 4))
    indices, similarities = neighbours(train, test, 20)
    expected = [
        np.argmax([sum(np.exp(s[labels[i] == c] / 0.5)) for c in range(3)])
        for i, s in zip(indices, similarities.astype(np.float64))
    ]
    predictions = predict(train, labels, test, 3, k=20, temperature=0.5)
    np.testing.assert_array_equal(predictions, expected)


def test_a_tiny_temperature_does_not_overflow():
    predictions = predict(unit(0, 90), np.array([0, 1]), unit(80), 2, k=2, temperature=1e-4)
    assert predictions.tolist() == [1]


def test_unlabelled_train_vectors_do_not_vote_and_test_vectors_do_not_count():
    train, labels = unit(0, 1, 90), np.array([-1, -1, 1])
    assert predict(train, labels, unit(0), 2).tolist() == [1]
    assert accuracy(predict(train, labels, unit(0, 0, 0), 2), np.array([1, 0, -1])) == 0.5


def test_nothing_to_vote_is_refused():
    with pytest.raises(ValueError, match="training vectors"):
        predict(unit(0), np.array([-1]), unit(0), 2)
    with pytest.raises(ValueError, match="k >= 1"):
        neighbours(unit(0), unit(0), 0)


def test_accuracy_without_labels_is_nan():
    assert np.isnan(accuracy(np.array([0]), np.array([-1])))


def test_accuracy_by_factor_counts_the_part_that_is_right():
    # classes: 0 = (a, x), 1 = (a, y), 2 = (b, x), 3 = (b, y)
    factors = {"shape": np.array([0, 0, 1, 1]), "motion": np.array([0, 1, 0, 1])}
    predictions, labels = np.array([0, 1, 2, 0]), np.array([0, 0, 0, -1])
    result = accuracy_by_factor(predictions, labels, factors)
    assert result == pytest.approx({"shape": 2 / 3, "motion": 2 / 3})
    result = accuracy_by_factor(np.array([1, 1]), np.array([0, 1]), factors)
    assert result == {"shape": 1.0, "motion": 0.5}
