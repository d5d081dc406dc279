"""Clips whose order and speed are known, so that time itself supplies the labels.

Four questions, all answerable for any video: at which speed does it play (1x, 2x, 4x), does it run
forwards or backwards, are its frames in order or shuffled, do two clips show the same moment. Only
index arithmetic happens here; nothing is decoded. Every class of a question is built from every
video, so classes are balanced and content tells nothing about the label; no clip ever loops.
"""

from __future__ import annotations

import dataclasses

import numpy as np

SPEEDS = (1, 2, 4)
TASK_CLASSES = {"speed": len(SPEEDS), "direction": 2, "order": 2, "moment": 2}


@dataclasses.dataclass(frozen=True)
class TemporalExample:
    """One question about time.

    Attributes:
      clips: positions of the frames of each clip, int64 [T]; one clip, or two for "moment".
      label: "speed": index into `SPEEDS`; "direction": 1 = backwards; "order": 1 = shuffled;
        "moment": 1 = same moment.
    """

    clips: tuple[np.ndarray, ...]
    label: int


def required_length(frames: int, stride: int, task: str) -> int:
    """Returns the fewest positions a video must have for `task`, without looping.

    Args:
      frames: T of a clip.
      stride: positions between its frames at speed 1x.
      task: a key of `TASK_CLASSES`.
    """
    span = (frames - 1) * stride
    if task == "speed":
        return span * max(SPEEDS) + 1
    if task == "moment":
        return span + 1 + _half_clip(span)
    return span + 1


def temporal_clips(
    length: int, rng: np.random.Generator, frames: int, stride: int, task: str
) -> list[TemporalExample]:
    """Draws one example of every class of `task` from a video.

    "speed": the classes share one centre (to within half a position), drawn where the fastest
    clip fits. "direction": one clip and its reverse. "order": one clip and a permutation of its
    frames. "moment": two clips at least half a clip apart, and one of these two with a clip that
    starts at most one position from it, so that the starts are distributed alike in both classes.

    Args:
      length: positions L in the video.
      rng: source of randomness.
      frames: T of a clip, at least 2.
      stride: positions between its frames at speed 1x, at least 1.
      task: a key of `TASK_CLASSES`.

    Returns:
      One example per class in the order of labels, or [] where `length` is below
      `required_length`.

    Raises:
      ValueError: an unknown task, `frames` < 2 or `stride` < 1.
    """
    if task not in TASK_CLASSES or frames < 2 or stride < 1:
        raise ValueError(
            f"temporal_clips: {task=} (one of {', '.join(TASK_CLASSES)}), {frames=} (>= 2), "
            f"{stride=} (>= 1)"
        )
    if length < required_length(frames, stride, task):
        return []
    steps_T = np.arange(frames, dtype=np.int64) * stride
    span = int(steps_T[-1])
    if task == "speed":
        return _speed(length, rng, steps_T)
    if task == "moment":
        return _moment(length - 1 - span, rng, steps_T)
    clip_T = rng.integers(length - span) + steps_T
    if task == "direction":
        other_T = clip_T[::-1].copy()
    else:
        other_T = clip_T
        while np.array_equal(other_T, clip_T):
            other_T = rng.permutation(clip_T)
    return [TemporalExample((clip_T,), 0), TemporalExample((other_T,), 1)]


def _half_clip(span: int) -> int:
    """Half of the `span + 1` positions a clip covers, rounded up."""
    return (span + 2) // 2


def _speed(length: int, rng: np.random.Generator, steps_T: np.ndarray) -> list[TemporalExample]:
    longest = int(steps_T[-1]) * max(SPEEDS)
    start = int(rng.integers(length - longest))
    return [
        TemporalExample((start + (longest - int(steps_T[-1]) * speed) // 2 + steps_T * speed,), i)
        for i, speed in enumerate(SPEEDS)
    ]


def _moment(
    last_start: int, rng: np.random.Generator, steps_T: np.ndarray
) -> list[TemporalExample]:
    # Uniform over all pairs of starts far enough apart: a gap has as many pairs as places to be.
    gaps = np.arange(_half_clip(int(steps_T[-1])), last_start + 1)
    places = last_start + 1 - gaps
    gap = int(rng.choice(gaps, p=places / places.sum()))
    first = int(rng.integers(last_start + 1 - gap))
    apart = rng.permutation([first, first + gap])
    anchor = int(apart[0])
    near = int(rng.integers(max(anchor - 1, 0), min(anchor + 1, last_start) + 1))
    return [
        TemporalExample((int(apart[0]) + steps_T, int(apart[1]) + steps_T), 0),
        TemporalExample((anchor + steps_T, near + steps_T), 1),
    ]
