"""k-nearest-neighbour classification: does a video lie among its own kind, with nothing trained?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def normalise(x: np.ndarray) -> np.ndarray:
    """Returns `x` [..., D] as float32 with unit L2 norm along the last axis (zeros stay zeros)."""
    x = np.asarray(x, np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def neighbours(
    train_NxD: np.ndarray, test_MxD: np.ndarray, k: int, chunk: int = 1024
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the `k` training vectors of highest cosine similarity to each test vector.

    Args:
      train_NxD: the vectors to search, any scale.
      test_MxD: the queries, any scale.
      k: how many to return, at least 1; N where there are only N < k.
      chunk: queries compared at once; memory is chunk x N floats.

    Returns:
      Indices into `train_NxD` int64 [M, k], most similar first, and their cosine similarities
      float32 [M, k].

    Raises:
      ValueError: `k` < 1 or nothing to search.
    """
    if k < 1 or len(train_NxD) == 0:
        raise ValueError(f"neighbours needs k >= 1 and training vectors: {k=}, N={len(train_NxD)}")
    k = min(k, len(train_NxD))
    train_NxD, test_MxD = normalise(train_NxD), normalise(test_MxD)
    indices = np.empty((len(test_MxD), k), np.int64)
    similarities = np.empty((len(test_MxD), k), np.float32)
    for begin in range(0, len(test_MxD), chunk):
        rows = slice(begin, begin + chunk)
        similarity_CxN = test_MxD[rows] @ train_NxD.T
        nearest = np.argpartition(-similarity_CxN, k - 1, axis=1)[:, :k]
        nearest.sort(axis=1)  # so that equal similarities come in the order of the training set
        found = np.take_along_axis(similarity_CxN, nearest, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        indices[rows] = np.take_along_axis(nearest, order, axis=1)
        similarities[rows] = np.take_along_axis(found, order, axis=1)
    return indices, similarities


def knn_votes(
    train_NxD: np.ndarray,
    train_labels_N: np.ndarray,
    test_MxD: np.ndarray,
    classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> np.ndarray:
    """The share of each class in a weighted vote of the `k` nearest neighbours of a test vector.

    A neighbour of cosine similarity s votes for its class with weight exp(s / temperature)
    (Wu et al. 2018, arXiv 1805.01978, section 3.4). With k=1 this is the nearest neighbour.

    Args:
      train_NxD: training vectors, any scale.
      train_labels_N: int, in [0, classes), or -1 for vectors without a label, which do not vote.
      test_MxD: vectors to classify, any scale.
      classes: number of classes.
      k: neighbours that vote, at least 1; all of them where there are fewer than `k`.
      temperature: above 0; the smaller, the more the nearest neighbours count.

    Returns:
      float64 [M, C], shares that add up to 1; the class of a vector is the first of the largest.

    Raises:
      ValueError: no training vector has a label, or `k` < 1.
    """
    labelled = np.asarray(train_labels_N) >= 0
    labels_N = np.asarray(train_labels_N)[labelled]
    indices_Mxk, similarities_Mxk = neighbours(train_NxD[labelled], test_MxD, k)
    # One factor for all votes of a query changes no winner and keeps exp() in range.
    weights_Mxk = np.exp((similarities_Mxk - similarities_Mxk[:, :1]) / np.float64(temperature))
    votes_MxC = np.zeros((len(indices_Mxk), classes))
    np.add.at(votes_MxC, (np.arange(len(indices_Mxk))[:, None], labels_N[indices_Mxk]), weights_Mxk)
    return votes_MxC / votes_MxC.sum(axis=1, keepdims=True)


def accuracy(predictions_M: np.ndarray, labels_M: np.ndarray) -> float:
    """Returns the share in [0, 1] of labelled (>= 0) examples predicted right; NaN if none is."""
    labelled = np.asarray(labels_M) >= 0
    if not labelled.any():
        return float("nan")
    return float(np.mean(np.asarray(predictions_M)[labelled] == np.asarray(labels_M)[labelled]))


def accuracy_by_factor(
    predictions_M: np.ndarray, labels_M: np.ndarray, factors: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Returns, by factor, how often the predicted class has the factor's value of the true class.

    Where classes are combinations (shape x motion), this tells which part of them is recognised.

    Args:
      predictions_M: predicted classes, in [0, C).
      labels_M: true classes, in [0, C), or -1 where there is none.
      factors: for each factor, int [C]: class -> value.

    Returns:
      Accuracy in [0, 1] by factor name; NaN where no example has a label.
    """
    predictions_M, labels_M = np.asarray(predictions_M), np.asarray(labels_M)
    labelled = labels_M >= 0
    return {
        name: accuracy(value_C[predictions_M[labelled]], value_C[labels_M[labelled]])
        for name, value_C in factors.items()
    }
