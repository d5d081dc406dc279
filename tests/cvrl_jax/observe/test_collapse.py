import numpy as np
import pytest

from cvrl_jax.observe.collapse import alignment, feature_std, rankme, uniformity


def test_collapsed_features():
    z = np.tile([[3.0, 4.0, 0.0]], (50, 1))
    assert feature_std(z) == pytest.approx(0)
    assert rankme(z) == pytest.approx(1, abs=1e-4)
    assert uniformity(z) == pytest.approx(0)
    assert alignment(z, 2 * z) == pytest.approx(0)


def test_plus_and_minus_unit_vectors():
    # Each of D coordinates is +1 once, -1 once and else 0: std 1/sqrt(D), all sigma equal.
    z = np.concatenate([np.eye(6), -np.eye(6)]) * 7
    assert feature_std(z) == pytest.approx(1)
    assert rankme(z) == pytest.approx(6, rel=1e-4)


def test_feature_std_of_gaussian_features_is_near_one():
    z = np.random.default_rng(0).normal(size=(4000, 64))
    assert feature_std(z) == pytest.approx(1, abs=0.01)


def test_rankme_follows_the_formula_and_ignores_scale():
    z = np.diag([4.0, 2.0, 1.0, 1.0])
    p = np.array([0.5, 0.25, 0.125, 0.125])
    expected = np.exp(-np.sum(p * np.log(p)))
    assert rankme(z) == pytest.approx(expected, rel=1e-5)
    assert rankme(1e3 * z) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(rankme(np.zeros((4, 4))))


def test_alignment_of_orthogonal_and_opposite_views():
    x, y = np.array([[1.0, 0], [0, 5]]), np.array([[0.0, 3], [0, -1]])
    assert alignment(x, y) == pytest.approx((2 + 4) / 2)


def test_uniformity_of_two_points_and_of_an_orthogonal_basis():
    assert uniformity(np.array([[2.0, 0], [-1, 0]])) == pytest.approx(-8)
    assert uniformity(np.eye(5)) == pytest.approx(-4)
    assert uniformity(np.eye(5), t=1.0) == pytest.approx(-2)


def test_uniformity_averages_over_pairs_whatever_the_chunk():
    z = np.array([[1.0, 0], [0, 1], [-1, 0]])
    expected = np.log((2 * np.exp(-4) + np.exp(-8)) / 3)
    for chunk in (1, 2, 1024):
        assert uniformity(z, chunk=chunk) == pytest.approx(expected)


def test_uniformity_of_one_example_is_refused():
    with pytest.raises(ValueError, match="two examples"):
        uniformity(np.ones((1, 3)))
