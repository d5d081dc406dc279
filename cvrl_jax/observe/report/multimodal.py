"""What a report is told of retrieval between modalities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Direction:
    """How well one modality is found by another.

    Attributes:
        name: e.g. "text → video".
        recalls: Fraction of queries, in [0, 1], whose answer is among the first k, by k.
        median_rank: Of the right answer; 1 is first.
        mean_rank: Likewise.
        chance_r1: The fraction for k = 1 of guessing.
        untrained_r1: Of the untrained network, or None.
    """

    name: str
    recalls: Mapping[int, float]
    median_rank: float
    mean_rank: float
    chance_r1: float
    untrained_r1: float | None = None


@dataclasses.dataclass(frozen=True)
class Similarity:
    """Cosines between two modalities of the same videos, in the same order on both sides.

    Attributes:
        rows: Modality of the rows, the queries.
        columns: Modality of the columns.
        values_RxR: float [R, R]; row i and column i belong to one video.
    """

    rows: str
    columns: str
    values_RxR: np.ndarray


@dataclasses.dataclass(frozen=True)
class Found:
    """One of the videos that a sentence found.

    Attributes:
        frames_FxHxWx3: uint8 [F, H, W, 3], some frames in order of time.
        similarity: Cosine to the sentence, in [-1, 1].
        right: Whether it is the one that the sentence belongs to.
    """

    frames_FxHxWx3: np.ndarray
    similarity: float
    right: bool


@dataclasses.dataclass(frozen=True)
class SentenceQuery:
    """A sentence, the video it belongs to, and what it found.

    Attributes:
        sentence: Its words.
        frames_FxHxWx3: uint8, of its own video.
        rank: Of its own video; 1 is first. No whole number where others are equally similar.
        among: Videos searched.
        found: The first few, best first.
    """

    sentence: str
    frames_FxHxWx3: np.ndarray
    rank: float
    among: int
    found: Sequence[Found]


@dataclasses.dataclass(frozen=True)
class Places:
    """Vectors of one modality in the space where all of them meet.

    Attributes:
        modality: "video", "audio" or "text".
        vectors_MxD: float [M, D].
        videos_M: int [M], which video each belongs to, an index into `Multimodal.labels_N`.
    """

    modality: str
    vectors_MxD: np.ndarray
    videos_M: np.ndarray


@dataclasses.dataclass(frozen=True)
class Multimodal:
    """Everything that a report shows of retrieval between modalities.

    Attributes:
        directions: In order.
        left_out: Videos without a modality, by its name.
        similarities: Usually text and sound by video.
        queries: Some sentences and what they found.
        places: Of all modalities in one space.
        labels_N: int [N], classes of the videos, -1 = none; for the colours of the map.
    """

    directions: Sequence[Direction]
    left_out: Mapping[str, int]
    similarities: Sequence[Similarity]
    queries: Sequence[SentenceQuery]
    places: Sequence[Places]
    labels_N: np.ndarray
