"""Linear CKA: how alike are two representations of the same videos, up to rotation and scale?

Kornblith et al., "Similarity of neural network representations revisited", ICML 2019,
arXiv 1905.00414, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def linear_cka(x_NxD: np.ndarray, y_NxE: np.ndarray) -> float:
    """|Y'X|^2 / (|X'X| |Y'Y|), Frobenius norms of centred features, in float64.

    Args:
      x_NxD: one representation of N examples.
      y_NxE: another one of the same examples, in the same order.

    Returns:
      In [0, 1]: 1 for a rotation, a shift and a scaling of each other; NaN where one of them says
      the same of all examples.

    Raises:
      ValueError: they differ in N.
    """
    if len(x_NxD) != len(y_NxE):
        raise ValueError(f"linear_cka: {len(x_NxD)} and {len(y_NxE)} examples")
    x, y = _centred(x_NxD), _centred(y_NxE)
    norm = _alike(x, x) ** 0.5 * _alike(y, y) ** 0.5
    return min(float(_alike(x, y) / norm), 1.0) if norm > 0 else float("nan")


def cka_matrix(
    layers: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """`linear_cka` of each layer of one network with each of another: by layer, by other layer."""
    return {
        name: {other: linear_cka(x, y) for other, y in others.items()} for name, x in layers.items()
    }


def _centred(x_NxD: np.ndarray) -> np.ndarray:
    x = np.asarray(x_NxD, np.float64)
    x = x - x.mean(axis=0)
    largest = np.abs(x).max(initial=0.0)
    # What is left of a constant by rounding is no signal.
    return x / largest if largest > 1e-12 * np.abs(x_NxD).max(initial=0.0) else np.zeros_like(x)


def _alike(x_NxD: np.ndarray, y_NxE: np.ndarray) -> float:
    """|Y'X|^2, by way of the smaller of N x N and D x E."""
    if len(x_NxD) < max(x_NxD.shape[1], y_NxE.shape[1]):
        return float(np.sum((x_NxD @ x_NxD.T) * (y_NxE @ y_NxE.T)))
    return float(np.sum((y_NxE.T @ x_NxD) ** 2))
