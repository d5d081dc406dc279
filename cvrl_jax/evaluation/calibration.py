"""Does a classifier know how sure it may be? Guo et al. 2017 (arXiv 1706.04599), section 2."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Videos by how probable their predicted class was said to be.

    Attributes:
      count_K: int, videos in each of K bins of equal width over [0, 1].
      confidence_K: mean probability of the predicted class, NaN of an empty bin.
      accuracy_K: share predicted right, NaN of an empty bin.
      error: the expected calibration error in [0, 1]: the mean over videos of the distance between
        the two in their bin; NaN without any video.
    """

    count_K: np.ndarray
    confidence_K: np.ndarray
    accuracy_K: np.ndarray
    error: float


def calibration(scores_MxC: np.ndarray, labels_M: np.ndarray, bins: int = 15) -> Calibration:
    """Sorts predictions by their confidence.

    Args:
      scores_MxC: probabilities; rows with NaN do not count.
      labels_M: int; -1 = none, does not count.
      bins: K; a confidence on a border belongs to the lower bin.
    """
    labels_M = np.asarray(labels_M)
    counts = (labels_M >= 0) & np.isfinite(scores_MxC).all(axis=1)
    scores, labels = np.asarray(scores_MxC, np.float64)[counts], labels_M[counts]
    confidence = scores.max(axis=1, initial=0.0)
    right = scores.argmax(axis=1) == labels if len(scores) else np.zeros(0, bool)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count_K = np.bincount(place, minlength=bins)
    some_K = np.where(count_K > 0, count_K, np.nan)
    confidence_K = np.bincount(place, confidence, bins) / some_K
    accuracy_K = np.bincount(place, right, bins) / some_K
    gaps = np.nansum(count_K * np.abs(confidence_K - accuracy_K))
    error = float(gaps / len(scores)) if len(scores) else float("nan")
    return Calibration(count_K, confidence_K, accuracy_K, error)
