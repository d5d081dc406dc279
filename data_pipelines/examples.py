"""From one opened video to one training or evaluation example."""

from __future__ import annotations

import contextlib

import grain
import numpy as np

from data_pipelines import crops, sampling
from data_pipelines.errors import BadVideo
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source, Video

Example = dict[str, np.ndarray]

_TICK = 1e-6  # seconds; the grid that stands in for frames when the stride is in seconds
# Seconds by which a frame may come late and still be the one shown: container times are rounded,
# often to milliseconds, and a stride of 1/30 s in a 30 fps video must step by exactly one frame.
_LATE = 1e-3


class LoadExample(grain.transforms.RandomMap):
    """Opens, samples, decodes and crops the video of a given index."""

    def __init__(self, source: Source, spec: InputSpec) -> None:
        self.source = source
        self.spec = spec

    def random_map(self, element: int, rng: np.random.Generator) -> Example:
        """Returns the example of video `element`; `rng` decides clips and crops.

        A video that cannot be read comes as black frames with `valid` False and the reason in
        `error` (a str array that never reaches the device).
        """
        index = int(element)
        spec = self.spec
        example = {
            "index": np.int64(index),
            "label": np.int32(self.source.info(index).label),
        }
        try:
            with contextlib.closing(self.source.open(index)) as video:
                clips, starts = read_clips(video, spec, rng)
            return example | {
                "video": clips,
                "start": starts,
                "valid": np.bool_(True),
                "error": np.str_(""),
            }
        except BadVideo as bad:
            shape = (spec.views, spec.frames, spec.size, spec.size, 3)
            return example | {
                "video": np.zeros(shape, np.uint8),
                "start": np.zeros(spec.views, np.float32),
                "valid": np.bool_(False),
                "error": np.str_(bad.reason),
            }


def read_clips(
    video: Video, spec: InputSpec, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Samples, decodes (one pass for all clips) and crops the clips of an opened video.

    Returns:
      (clips uint8 [V, T, H, W, 3], start of each view float32 [V] in seconds).
    """
    plan_CxT = clip_plan(video.times, spec, rng)
    wanted, where = np.unique(plan_CxT, return_inverse=True)
    frames = video.frames(wanted.tolist())
    views, starts = [], []
    for positions, row in zip(plan_CxT, where.reshape(plan_CxT.shape)):
        for view in _crop([frames[i] for i in row], spec, rng):
            views.append(view)
            starts.append(video.times[positions[0]])
    return np.stack(views), np.asarray(starts, np.float32)


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


def _crop(frames: list[np.ndarray], spec: InputSpec, rng: np.random.Generator) -> list[np.ndarray]:
    if spec.crop == "random":
        height, width = frames[0].shape[:2]
        box = crops.random_resized_crop_box(rng, height, width, spec.area, spec.aspect)
        return [crops.resize_crop(frames, box, spec.size)]
    count = 3 if spec.crop == "thirds" else 1
    return list(crops.evaluation_crops(frames, spec.size, count, spec.resize_short))
