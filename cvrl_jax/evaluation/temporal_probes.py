"""Does a frozen feature know of time? Linear probes whose labels come free with any video.

Speed (1x, 2x, 4x), direction (forwards, backwards), order (in order, shuffled) and moment (two
clips of the same moment of a video or not). An encoder blind to time stays at chance.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import numpy as np

from cvrl_jax.evaluation.knn import normalise
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings, linear_probe
from data_pipelines.crops import random_resized_crop_box
from data_pipelines.errors import BadVideo
from data_pipelines.isolation import Lost, isolated_map
from data_pipelines.temporal_tasks import TASK_CLASSES, TemporalExample, temporal_clips
from data_pipelines.video import Box, Source, Video

Embed = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class TemporalProbeSettings:
    """What the probes look at.

    Attributes:
      frames: T of a clip.
      stride: distance between its frames at speed 1x, in `stride_unit`; that of pre-training.
      size: height and width of a clip in pixels.
      stride_unit: "frames" of the file, or "seconds": then the whole number of frames nearest to
        `stride` in each video, so that no frame is shown twice, which would tell the speed.
      batch_size: clips given to the encoder at once; bounds the memory.
      max_videos: of each source, evenly spaced; all where there are fewer.
      area: range of the crop as a share of the picture.
      aspect: range of its width over height.
      workers: processes that decode; 0 = in this one.
      timeout: seconds after which a video is given up, with workers.
      probe: how the linear classifiers are trained.
    """

    frames: int
    stride: float
    size: int
    stride_unit: Literal["frames", "seconds"] = "frames"
    batch_size: int = 64
    max_videos: int = 2000
    area: tuple[float, float] = (0.3, 1.0)
    aspect: tuple[float, float] = (0.5, 2.0)
    workers: int = 0
    timeout: float = 60.0
    probe: LinearProbeSettings = dataclasses.field(default_factory=LinearProbeSettings)


def temporal_probes(
    embed: Embed,
    train_source: Source,
    test_source: Source,
    settings: TemporalProbeSettings,
    seed: int,
) -> dict[str, float]:
    """Trains and tests one linear probe per question about time.

    The classes of a question come from the same videos, centres and crops (both clips of a
    "moment" pair are cropped and flipped each by itself), so nothing but time tells them apart.
    A pair of clips is probed on [|f1 - f2|, f1 * f2] of its normalised features.

    Args:
      embed: clips uint8 [batch_size, T, size, size, 3] -> features [batch_size, D]; always called
        with that many clips, so that it compiles once.
      train_source: videos the probes learn from; their labels are not used.
      test_source: videos the probes are tested on.
      settings: what to look at.
      seed: the result is a function of it and the other arguments.

    Returns:
      For each task "probe_<task>_top1" in [0, 1], "probe_<task>_chance", "probe_<task>_examples"
      (tested) and "probe_<task>_left_out" (videos of both sources too short for it), and
      "probe_left_out": videos that could not be read. A task for which one of the sources has no
      video long enough has no top1.
    """
    train = _examples(embed, train_source, settings, (seed, 0))
    test = _examples(embed, test_source, settings, (seed, 1))
    result = {"probe_left_out": float(train.unreadable + test.unreadable)}
    for task, classes in TASK_CLASSES.items():
        train_x, train_y = train.task(task)
        test_x, test_y = test.task(task)
        result[f"probe_{task}_chance"] = 1.0 / classes
        result[f"probe_{task}_examples"] = float(len(test_y))
        result[f"probe_{task}_left_out"] = float(train.short[task] + test.short[task])
        if len(train_y) and len(test_y):
            probe = linear_probe(
                train_x[:, None], train_y, test_x[:, None], test_y, classes, settings.probe, seed
            )
            result[f"probe_{task}_top1"] = probe.top1
    return result


@dataclasses.dataclass(frozen=True)
class _Examples:
    """The features of all clips of a source, and which of them make up which example."""

    features: np.ndarray  # float32 [clips, D], unit norm
    rows: dict[str, list[tuple[int, ...]]]  # by task and example: its clips
    labels: dict[str, list[int]]
    short: dict[str, int]
    unreadable: int

    def task(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns features [examples, D or 2 D] and labels [examples] of one task."""
        labels = np.array(self.labels[task], np.int64)
        if not len(labels):
            return np.zeros((0, 1), np.float32), labels
        features = self.features[np.array(self.rows[task])]
        if features.shape[1] == 1:
            return features[:, 0], labels
        first, second = features[:, 0], features[:, 1]
        return np.concatenate([np.abs(first - second), first * second], axis=1), labels


def _examples(
    embed: Embed, source: Source, settings: TemporalProbeSettings, seed: tuple[int, int]
) -> _Examples:
    """Reads each video once, a bounded number of clips at a time, and embeds its clips."""
    rows = {task: [] for task in TASK_CLASSES}
    labels = {task: [] for task in TASK_CLASSES}
    short = dict.fromkeys(TASK_CLASSES, 0)
    features: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    unreadable = clips_seen = 0
    count = min(len(source), settings.max_videos)
    for _, clips in isolated_map(
        functools.partial(_clips_of, source, settings, seed),
        np.linspace(0, len(source) - 1, count).astype(int).tolist(),
        workers=settings.workers,
        timeout=settings.timeout,
    ):
        if isinstance(clips, BadVideo | Lost):
            unreadable += 1
            continue
        for task, examples in clips.items():
            short[task] += not examples
            for label, example_clips in enumerate(examples):
                rows[task].append(tuple(range(clips_seen, clips_seen + len(example_clips))))
                labels[task].append(label)
                waiting += example_clips
                clips_seen += len(example_clips)
        while len(waiting) >= settings.batch_size:
            features.append(np.asarray(embed(np.stack(waiting[: settings.batch_size]))))
            del waiting[: settings.batch_size]
    if waiting:
        batch = np.stack(waiting)
        padding = [(0, settings.batch_size - len(batch))] + [(0, 0)] * 4
        features.append(np.asarray(embed(np.pad(batch, padding)))[: len(batch)])
    stacked = normalise(np.concatenate(features)) if features else np.zeros((0, 1), np.float32)
    return _Examples(stacked, rows, labels, short, unreadable)


def _clips_of(
    source: Source, settings: TemporalProbeSettings, seed: tuple[int, int], index: int
) -> dict[str, list[list[np.ndarray]]] | BadVideo:
    """Returns the clips of one video by task and label, or why it cannot be read."""
    rng = np.random.default_rng((*seed, index))
    try:
        with contextlib.closing(source.open(index)) as video:
            return _video_clips(video, rng, settings)
    except BadVideo as bad:
        return bad


def _video_clips(
    video: Video, rng: np.random.Generator, settings: TemporalProbeSettings
) -> dict[str, list[list[np.ndarray]]]:
    """Returns, by task and label, the cropped clips of a video; [] for a task it is too short for.

    Raises:
      BadVideo: a frame cannot be decoded.
    """
    stride = settings.stride
    if settings.stride_unit == "seconds" and len(video.times) > 1:
        stride /= float(np.median(np.diff(video.times)))
    plan: dict[str, list[TemporalExample]] = {
        task: temporal_clips(len(video.times), rng, settings.frames, max(1, round(stride)), task)
        for task in TASK_CLASSES
    }

    def draw_crop() -> tuple[Box, bool]:
        box = random_resized_crop_box(rng, *video.size, settings.area, settings.aspect)
        return box, bool(rng.random() < 0.5)

    places: list[tuple[int, Box]] = []
    flips: list[bool] = []
    for examples in plan.values():
        shared = draw_crop()
        for example in examples:
            for clip_T in example.clips:
                box, flip = draw_crop() if len(example.clips) > 1 else shared
                places += [(int(index), box) for index in clip_T]
                flips.append(flip)
    if not places:
        return {task: [] for task in plan}
    cut = video.crops(places, settings.size).reshape(
        len(flips), settings.frames, *2 * (settings.size,), 3
    )
    clips = iter([clip[:, :, ::-1] if flip else clip for clip, flip in zip(cut, flips)])
    return {
        task: [[next(clips) for _ in example.clips] for example in examples]
        for task, examples in plan.items()
    }
