"""Is the representation collapsing? Four numbers that show it before any accuracy does."""

from __future__ import annotations

import numpy as np


def _normalise(z_NxD: np.ndarray) -> np.ndarray:
    """Returns float64 rows of unit L2 norm (zero rows stay zero)."""
    z_NxD = np.asarray(z_NxD, np.float64)
    return z_NxD / np.maximum(np.linalg.norm(z_NxD, axis=1, keepdims=True), 1e-12)


def feature_std(z_NxD: np.ndarray) -> float:
    """Returns the spread of the L2-normalised features: mean std per dimension, times sqrt(D).

    In [0, 1]: 0 when all features are the same (complete collapse), near 1 when they are spread
    evenly over the sphere (Chen & He 2021, arXiv 2011.10566, section 4.1).

    Args:
      z_NxD: features of N examples, any scale.
    """
    return float(_normalise(z_NxD).std(axis=0).mean() * np.sqrt(z_NxD.shape[1]))


def rankme(z_NxD: np.ndarray, eps: float = 1e-7) -> float:
    """Returns the effective rank of the features, about 1 (collapsed) to min(N, D).

    exp of the entropy of p_k = sigma_k / sum(sigma) + eps over the singular values sigma of the
    uncentred features (Garrido et al. 2023, arXiv 2210.02885, equation 1).

    Args:
      z_NxD: features of N examples; N >= D to be able to see the full rank.
      eps: keeps the logarithm finite.
    """
    sigma = np.linalg.svd(np.asarray(z_NxD, np.float64), compute_uv=False)
    p = sigma / max(sigma.sum(), np.finfo(np.float64).tiny) + eps
    return float(np.exp(-np.sum(p * np.log(p))))


def alignment(x_NxD: np.ndarray, y_NxD: np.ndarray) -> float:
    """Returns how far apart two views of one example lie: mean ||x - y||^2, in [0, 4].

    On normalised features; 0 is best (Wang & Isola 2020, arXiv 2005.10242, equation 2, alpha=2).

    Args:
      x_NxD: features of one view, any scale.
      y_NxD: features of the other view, row by row of the same example.
    """
    difference_NxD = _normalise(x_NxD) - _normalise(y_NxD)
    return float(np.mean(np.sum(difference_NxD**2, axis=1)))


def uniformity(z_NxD: np.ndarray, t: float = 2.0, chunk: int = 1024) -> float:
    """Returns how evenly features fill the sphere: log mean exp(-t ||x - y||^2), in [-4 t, 0].

    On normalised features, over all pairs of different examples; lower is more even, 0 is
    collapse (Wang & Isola 2020, arXiv 2005.10242, equation 3).

    Args:
      z_NxD: features of N >= 2 examples, any scale.
      t: sharpness of the kernel.
      chunk: rows compared at once; memory is chunk x N doubles.

    Raises:
      ValueError: fewer than two examples.
    """
    z_NxD = _normalise(z_NxD)
    count = len(z_NxD)
    if count < 2:
        raise ValueError(f"uniformity needs at least two examples, got {count}")
    norms_N = np.sum(z_NxD**2, axis=1)
    total = 0.0
    for begin in range(0, count, chunk):
        rows = np.arange(begin, min(begin + chunk, count))
        squares = norms_N[rows, None] + norms_N - 2.0 * z_NxD[rows] @ z_NxD.T
        kernel = np.exp(-t * np.maximum(squares, 0.0))
        kernel[np.arange(len(rows)), rows] = 0.0  # an example and itself are no pair
        total += float(kernel.sum())
    return float(np.log(total / (count * (count - 1))))
