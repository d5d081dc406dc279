"""The verdict on a video from those on its views: the mean of probabilities, or of logits."""

from __future__ import annotations

import numpy as np

VIEW_MEANS = ("probabilities", "logits")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, of the type of `logits`."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of classes that exclude no other, of the type of `logits`."""
    return 0.5 * (1 + np.tanh(0.5 * logits))


def mean_over_views(logits_MxVxC: np.ndarray, view_mean: str, several: bool = False) -> np.ndarray:
    """Probabilities [M, C] of videos of V views each.

    Args:
      logits_MxVxC: float.
      view_mean: what is averaged: 'probabilities' (CVRL, SlowFast) or 'logits' (VATT).
      several: whether a video may have several classes (a sigmoid each) or one (softmax).
    """
    link = sigmoid if several else softmax
    if view_mean == "logits":
        return link(logits_MxVxC.mean(axis=1))
    return link(logits_MxVxC).mean(axis=1)
