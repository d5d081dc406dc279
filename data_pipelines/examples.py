"""From one opened video to one training or evaluation example."""

from __future__ import annotations

import contextlib

import numpy as np

from data_pipelines import crops, sampling
from data_pipelines.errors import BadVideo
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source, Video

Example = dict[str, np.ndarray | np.generic]

_TICK = 1e-6  # seconds; the grid that stands in for frames when the stride is in seconds
# Seconds by which a frame may come late and still be the one shown: container times are rounded,
# often to milliseconds, and a stride of 1/30 s in a 30 fps video must step by exactly one frame.
_LATE = 1e-3


def load_example(source: Source, spec: InputSpec, index: int, rng: np.random.Generator) -> Example:
    """Opens, samples, decodes and crops video `index`; `rng` decides clips and crops.

    A video that cannot be read comes as `stand_in`.
    """
    try:
        with contextlib.closing(source.open(index)) as video:
            clips, starts = read_clips(video, spec, rng)
    except BadVideo as bad:
        return stand_in(source, spec, index, bad.reason)
    return {
        "index": np.int64(index),
        "label": np.int32(source.info(index).label),
        "video": clips,
        "start": starts,
        "valid": np.bool_(True),
        "error": np.str_(""),
    }


def stand_in(source: Source, spec: InputSpec, index: int, reason: str) -> Example:
    """Black frames with `valid` False and the reason in `error`, which never reaches the device."""
    return {
        "index": np.int64(index),
        "label": np.int32(source.info(index).label),
        "video": np.zeros(spec.clip_shape, np.uint8),
        "start": np.zeros(spec.views, np.float32),
        "valid": np.bool_(False),
        "error": np.str_(reason),
    }


def read_clips(
    video: Video, spec: InputSpec, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Samples, decodes (one pass for all clips) and crops the clips of an opened video.

    Returns:
      (clips uint8 [V, T, H, W, 3], start of each view float32 [V] in seconds).
    """
    plan_CxT = clip_plan(video.times, spec, rng)
    starts_V = video.times[plan_CxT[:, 0]].repeat(spec.views // spec.clips).astype(np.float32)
    if spec.crop == "random":
        boxes = [
            crops.random_resized_crop_box(rng, *video.size, spec.area, spec.aspect)
            for _ in plan_CxT
        ]
        places = [(int(i), box) for row_T, box in zip(plan_CxT, boxes) for i in row_T]
        cut = video.crops(places, spec.size)
        return cut.reshape(*plan_CxT.shape, *cut.shape[1:]), starts_V
    wanted, where = np.unique(plan_CxT, return_inverse=True)
    frames = video.frames(wanted.tolist())
    count = 3 if spec.crop == "thirds" else 1
    views = [
        crops.evaluation_crops([frames[i] for i in row], spec.size, count, spec.resize_short)
        for row in where.reshape(plan_CxT.shape)
    ]
    return np.concatenate(views), starts_V


def clip_plan(times: np.ndarray, spec: InputSpec, rng: np.random.Generator) -> np.ndarray:
    """Chooses the frames of every clip of one video.

    Args:
      times: float64 [L] seconds of the video's frames.
      spec: the clips wanted.
      rng: decides where clips begin; not used by sampling "even".

    Returns:
      int64 [clips, T] frame indices into `times`; short videos wrap round.
    """
    if spec.stride_unit == "frames":
        length, stride = len(times), int(spec.stride)
    else:  # a regular grid of ticks stands in for the frames, so one law serves both units
        last_frame_s = float(np.median(np.diff(times))) if len(times) > 1 else _TICK
        length = max(1, round((float(times[-1]) + last_frame_s) / _TICK))
        stride = max(1, round(spec.stride / _TICK))
    if spec.is_pair:
        starts = sampling.sample_clip_pair(
            rng, length, spec.frames, stride, law=spec.sampling, power=spec.power
        )
    elif spec.sampling == "random":
        starts = [sampling.sample_clip(rng, length, spec.frames, stride) for _ in range(spec.clips)]
    else:
        starts = sampling.even_clip_starts(length, spec.frames, stride, spec.clips)
    positions = np.stack(
        [sampling.clip_positions(int(s), spec.frames, stride, length) for s in starts]
    )
    if spec.stride_unit == "frames":
        return positions
    return np.searchsorted(times, positions * _TICK + _LATE, side="right") - 1
