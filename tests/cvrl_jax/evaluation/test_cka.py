import numpy as np
import pytest

from cvrl_jax.evaluation.cka import cka_matrix, linear_cka

RNG = np.random.default_rng(0)


def test_equals_the_normalised_hsic_of_linear_kernels():
    for width in (3, 40):  # by way of either Gram matrix
        x, y = RNG.normal(size=(20, width)), RNG.normal(size=(20, 5))
        centre = np.eye(20) - 1 / 20
        k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
        expected = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
        assert linear_cka(x, y) == pytest.approx(expected, rel=1e-12)


def test_rotations_shifts_and_scales_change_nothing():
    x = RNG.normal(size=(30, 6))
    rotation, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    assert linear_cka(x, 1e4 * x @ rotation + 7) == pytest.approx(1, abs=1e-9)
    assert linear_cka(x, x[:, :2]) < 0.95


def test_closed_form_of_uncorrelated_columns():
    """Two of four orthonormal directions in common: 2 / (sqrt 4 sqrt 2)."""
    q, _ = np.linalg.qr(np.concatenate([np.ones((12, 1)), RNG.normal(size=(12, 4))], axis=1))
    assert linear_cka(q[:, 1:5], q[:, 1:3]) == pytest.approx(2 / np.sqrt(8), rel=1e-12)
    assert linear_cka(q[:, 1:3], q[:, 3:5]) == pytest.approx(0, abs=1e-12)


def test_a_constant_has_no_likeness_and_examples_must_match():
    assert np.isnan(linear_cka(np.full((5, 3), 0.1), RNG.normal(size=(5, 2))))
    with pytest.raises(ValueError, match="5 and 4 examples"):
        linear_cka(np.ones((5, 1)), np.ones((4, 1)))


def test_the_matrix_is_symmetric_with_ones_for_one_network():
    layers = {"a": RNG.normal(size=(9, 3)), "b": RNG.normal(size=(9, 4))}
    matrix = cka_matrix(layers, layers)
    assert matrix["a"]["a"] == pytest.approx(1)
    assert matrix["a"]["b"] == pytest.approx(matrix["b"]["a"])
