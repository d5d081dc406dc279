"""What a report is told of a classifier: class by class, its worst mistakes, how sure it may be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Mistaken:
    """A video taken for one of another class.

    Attributes:
        frames_FxHxWx3: uint8 [F, H, W, 3], some frames in order of time.
        confidence: Probability given to the wrong class, in [0, 1].
    """

    frames_FxHxWx3: np.ndarray
    confidence: float


@dataclasses.dataclass(frozen=True)
class Confused:
    """Two classes of which the one is often taken for the other.

    Attributes:
        actual: Name of the true class.
        predicted: Name of the class it is taken for.
        videos: How many of its videos are.
        share: Of all videos of the true class, in (0, 1].
        examples: Some of them, those that the classifier was surest of first.
    """

    actual: str
    predicted: str
    videos: int
    share: float
    examples: Sequence[Mistaken]


@dataclasses.dataclass(frozen=True)
class Classified:
    """What a classifier says of held-out videos.

    Attributes:
        accuracy_C: Share of each class's videos that is right, NaN of a class without any.
        count_C: Videos of each class.
        confused: The largest confusions, worst first.
        confidence_K: Mean probability of the predicted class in each bin of confidence, NaN of an
            empty one; the bins are of equal width over [0, 1].
        right_K: Share predicted right in each bin, NaN of an empty one.
        count_K: Videos in each bin.
        calibration_error: Expected calibration error in [0, 1].
    """

    accuracy_C: np.ndarray
    count_C: np.ndarray
    confused: Sequence[Confused]
    confidence_K: np.ndarray
    right_K: np.ndarray
    count_K: np.ndarray
    calibration_error: float
