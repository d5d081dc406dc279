"""What a report is told: one dataclass, every part of it optional but the title."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cvrl_jax.observe.report.classified import Classified
from cvrl_jax.observe.report.layers_section import Layers
from cvrl_jax.observe.report.multimodal import Multimodal


@dataclasses.dataclass(frozen=True)
class SummaryNumber:
    """One big number at the top of the page.

    Attributes:
        name: What it is, e.g. "kNN top-1".
        value: The number; a fraction in [0, 1] if `percent`.
        before: The same number for the untrained network, for comparison, or None.
        chance: What guessing would give, or None.
        percent: Show it as a percentage with a bar; otherwise as a plain number.
    """

    name: str
    value: float
    before: float | None = None
    chance: float | None = None
    percent: bool = True


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """One of the videos found nearest to a query.

    Attributes:
        frames_FxHxWx3: uint8 [F, H, W, 3], some frames in order of time.
        label: Name of its class, or None if it has none.
        similarity: Cosine similarity to the query, in [-1, 1].
    """

    frames_FxHxWx3: np.ndarray
    label: str | None
    similarity: float


@dataclasses.dataclass(frozen=True)
class NeighbourQuery:
    """A query video and its nearest neighbours, nearest first.

    Attributes:
        frames_FxHxWx3: uint8 [F, H, W, 3], some frames in order of time.
        label: Name of its class, or None if it has none.
        neighbours: Usually five.
    """

    frames_FxHxWx3: np.ndarray
    label: str | None
    neighbours: Sequence[Neighbour]


@dataclasses.dataclass(frozen=True)
class FactorAccuracy:
    """How often one factor of the class (its motion, its shape) was predicted right.

    Attributes:
        name: The factor, e.g. "motion".
        accuracy: Fraction in [0, 1].
        chance: What guessing would give, or None.
    """

    name: str
    accuracy: float
    chance: float | None = None


@dataclasses.dataclass(frozen=True)
class ReportContents:
    """Everything a report shows. A part left at None is replaced by a line that says so.

    Attributes:
        title: Heading of the page.
        description: One or two sentences under the heading.
        summary: The big numbers, in order.
        history: Records as read from `metrics.jsonl`: each has "step" and any of "loss",
            "knn_top1", "linear_top1", "classifier_top1", "contrast_accuracy", "feature_std",
            "rankme", "alignment", "uniformity", "learning_rate", "clips_per_s" and
            "data_wait_percent"; a prefix such as "time/" is allowed. Other names are listed.
        chance: Accuracy of guessing, in [0, 1]: the dashed line of the accuracy curves.
        clips_NxVxTxHxWx3: uint8 [N, V, T, H, W, 3], one or two augmented clips of each of N videos.
        clips_fps: Frames per second at which they are played.
        vectors_MxD: float [M, D], embeddings of M held-out videos, for the map.
        vector_labels_M: int [M], their classes as indices into `classes`; -1 = none.
        classes: Names of the classes, for the map and the confusion matrix.
        neighbours: Queries with their nearest neighbours.
        true_K: int [K], true classes of K held-out videos, for the confusion matrix.
        predicted_K: int [K], their predicted classes.
        predictor: What made the predictions, e.g. "linear probe".
        by_factor: Accuracy by factor of the class.
        classified: The classifier class by class; without it the page has no such part.
        layers: Layers of two networks compared; without it the page has no such part.
        of_training: Whether the page is about a training run, which has curves and augmented clips.
        multimodal: Retrieval between modalities; without it the page has no such part.
        census: Facts on the data: "videos", "hours" and whatever else, shown as name and value;
            "bad_files" and "left_out" are sequences of (path, reason), shown as tables.
        config: The run's configuration, nested mappings of plain values.
        versions: Package name to version.
        command: The command line that repeats the run.
        seed: Its random seed.
        hardware: Devices in words.
        wall_seconds: Duration of the run in seconds.

    Raises:
        ValueError: If an array has the wrong shape or type, or its partner is missing.
    """

    title: str
    description: str = ""
    summary: Sequence[SummaryNumber] | None = None
    history: Sequence[Mapping[str, Any]] | None = None
    chance: float | None = None
    clips_NxVxTxHxWx3: np.ndarray | None = None
    clips_fps: float = 8.0
    vectors_MxD: np.ndarray | None = None
    vector_labels_M: np.ndarray | None = None
    classes: Sequence[str] = ()
    neighbours: Sequence[NeighbourQuery] | None = None
    true_K: np.ndarray | None = None
    predicted_K: np.ndarray | None = None
    predictor: str = "linear probe"
    by_factor: Sequence[FactorAccuracy] | None = None
    classified: Classified | None = None
    layers: Layers | None = None
    of_training: bool = True
    multimodal: Multimodal | None = None
    census: Mapping[str, Any] | None = None
    config: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None
    command: str | None = None
    seed: int | None = None
    hardware: str | None = None
    wall_seconds: float | None = None

    def __post_init__(self) -> None:
        clips = self.clips_NxVxTxHxWx3
        if clips is not None:
            if clips.ndim != 6 or clips.shape[1] not in (1, 2):
                raise ValueError(f"clips must be [N, 1 or 2, T, H, W, 3], not {clips.shape}")
            _check_frames("clips", clips)
        for query in self.neighbours or ():
            for video in (query, *query.neighbours):
                _check_frames("frames of a neighbour", video.frames_FxHxWx3)
        for query in self.multimodal.queries if self.multimodal else ():
            for video in (query, *query.found):
                _check_frames("frames of what a sentence found", video.frames_FxHxWx3)
        _check_partners(self.vectors_MxD, self.vector_labels_M, "vectors", "vector_labels")
        _check_partners(self.true_K, self.predicted_K, "true", "predicted")


def _check_frames(name: str, frames: np.ndarray) -> None:
    if frames.dtype != np.uint8 or frames.ndim < 4 or frames.shape[-1] != 3:
        raise ValueError(
            f"{name} must be uint8 [..., H, W, 3], not {frames.dtype} {list(frames.shape)}"
        )


def _check_partners(
    first: np.ndarray | None, second: np.ndarray | None, first_name: str, second_name: str
) -> None:
    if (first is None) != (second is None):
        raise ValueError(f"{first_name} and {second_name} come together or not at all")
    if first is not None and second is not None and len(first) != len(second):
        raise ValueError(f"{first_name} has {len(first)} rows, {second_name} {len(second)}")
