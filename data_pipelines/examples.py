"""From one opened video to one training or evaluation example."""

from __future__ import annotations

import contextlib
import dataclasses
import math

import numpy as np

from data_pipelines import crops, sampling
from data_pipelines.errors import BadVideo
from data_pipelines.spec import AudioSpec, InputSpec
from data_pipelines.text import read_text
from data_pipelines.video import Box, Source, Video, VideoInfo

Example = dict[str, np.ndarray | np.generic]

PADDING = -1
"""In place of a video's index: none. Fills up a batch that there are too few videos for."""

_TICK = 1e-6  # seconds; the grid that stands in for frames when the stride is in seconds
# Seconds by which a frame may come late and still be the one shown: container times are rounded,
# often to milliseconds, and a stride of 1/30 s in a 30 fps video must step by exactly one frame.
_LATE = 1e-3


def load_example(
    source: Source,
    spec: InputSpec,
    index: int,
    rng: np.random.Generator,
    out: np.ndarray | None = None,
) -> Example:
    """Opens, samples, decodes and crops video `index`; `rng` decides clips and crops.

    Sound and sentences come as far as `spec` asks for them. A video that cannot be read comes as
    `stand_in`, and so does `PADDING`, without a reason. What is read goes into `out`, if given.
    """
    if index == PADDING:
        return stand_in(source, spec, PADDING, "")
    info = source.info(index)
    if info.stride is not None:
        spec = dataclasses.replace(spec, stride=info.stride)
    example: Example = {}
    try:
        with contextlib.closing(source.open(index)) as video:
            example["video"], starts_V = read_clips(video, spec, rng, out)
            if spec.audio is not None:
                example["audio"], example["audio_valid"] = read_audio(video, spec.audio, starts_V)
            if spec.text is not None:
                stretch = clip_stretch(video, spec, float(starts_V[0]))
                chooser = None if spec.sampling == "even" else rng
                seconds = float(video.times[-1])
                example["text"] = read_text(info.captions, spec.text, stretch, seconds, chooser)
    except BadVideo as bad:
        return stand_in(source, spec, index, bad.reason)
    return example | {
        "index": np.int64(index),
        "label": label_of(source, info),
        "start": starts_V.astype(np.float32),
        "valid": np.bool_(True),
        "error": np.str_(""),
    }


def stand_in(source: Source, spec: InputSpec, index: int, reason: str) -> Example:
    """Black frames with `valid` False and the reason in `error`, which never reaches the device.

    There is no sound, and no sentence. A video has its label; `PADDING` has -1.
    """
    label = label_of(source, source.info(max(index, 0)))
    example: Example = {name: np.zeros(*array) for name, array in spec.arrays.items()}
    if spec.audio is not None:
        example["audio_valid"] = np.zeros(spec.views, bool)
    if spec.text is not None:
        example["text"] = np.zeros((spec.text.sentences, spec.text.tokens), np.int32)
    return example | {
        "index": np.int64(index),
        "label": np.full_like(label, -1) if index == PADDING else label,
        "start": np.zeros(spec.views, np.float32),
        "valid": np.bool_(False),
        "error": np.str_(reason),
    }


def label_of(source: Source, info: VideoInfo) -> np.ndarray | np.generic:
    """Returns the class as int32, or which there are as float32 [C] if there may be several."""
    if info.labels is None:
        return np.int32(info.label)
    several_C = np.zeros(len(source.classes), np.float32)
    several_C[list(info.labels)] = 1.0
    return several_C


def read_clips(
    video: Video, spec: InputSpec, rng: np.random.Generator, out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Samples, decodes (one pass for all clips) and crops the clips of an opened video.

    Returns:
      (clips uint8 [V, T, H, W, 3], `out` if given; start of each view float64 [V] in seconds).
    """
    plan_CxT = clip_plan(video.times, spec, rng)
    starts_V = video.times[plan_CxT[:, 0]].repeat(spec.views // spec.clips)
    if spec.crop in ("random", "scale_jittered"):
        boxes = [_random_box(spec, rng, *video.size) for _ in plan_CxT]
        places = [(int(i), box) for row_T, box in zip(plan_CxT, boxes) for i in row_T]
        flat = None if out is None else out.reshape(len(places), *out.shape[2:])
        cut = video.crops(places, spec.size, flat)
        return cut.reshape(*plan_CxT.shape, *cut.shape[1:]), starts_V
    wanted, where = np.unique(plan_CxT, return_inverse=True)
    frames = video.frames(wanted.tolist())
    count = 3 if spec.crop == "thirds" else 1
    views = [
        crops.evaluation_crops([frames[i] for i in row], spec.size, count, spec.resize_short)
        for row in where.reshape(plan_CxT.shape)
    ]
    return np.concatenate(views, out=out), starts_V


def _random_box(spec: InputSpec, rng: np.random.Generator, height: int, width: int) -> Box:
    if spec.crop == "scale_jittered":
        return crops.scale_jittered_crop_box(rng, height, width)
    return crops.random_resized_crop_box(rng, height, width, spec.area, spec.aspect)


def read_audio(
    video: Video, spec: AudioSpec, starts_V: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the sound from each start on; views that start together share it.

    Returns:
      (waveforms float32 [V, S], bool [V]: whether there is any sound in the stretch).
    """
    starts, view_V = np.unique(starts_V, return_inverse=True)
    waves = [video.audio(start, spec.samples, spec.rate) for start in starts.tolist()]
    silence = np.zeros(spec.samples, np.float32)
    waves_NxS = np.stack([silence if wave is None else wave for wave in waves])
    return waves_NxS[view_V], np.array([wave is not None for wave in waves])[view_V]


def clip_stretch(video: Video, spec: InputSpec, start: float) -> tuple[float, float]:
    """Returns the seconds at which a clip that starts at `start` begins and ends.

    A clip that wraps round ends with the video.
    """
    if spec.stride_unit == "frames":
        last = np.searchsorted(video.times, start) + round(spec.span)
        end = float(video.times[min(last, len(video.times) - 1)])
    else:
        end = min(start + spec.span, float(video.times[-1]))
    return start, end


def clip_plan(times: np.ndarray, spec: InputSpec, rng: np.random.Generator) -> np.ndarray:
    """Chooses the frames of every clip of one video.

    Args:
      times: float64 [L] seconds of the video's frames.
      spec: the clips wanted.
      rng: decides where clips begin; not used by sampling "even".

    Returns:
      int64 [clips, T] frame indices into `times`; short videos wrap round. With sound, clips lie
      so that the sound fits, too, and one of a video too short for both begins with it.
    """
    if spec.stride_unit == "frames":
        length, stride = len(times), int(spec.stride)
    else:  # a regular grid of ticks stands in for the frames, so one law serves both units
        length = max(1, round((float(times[-1]) + _interval(times)) / _TICK))
        stride = max(1, round(spec.stride / _TICK))
    frames = max(spec.frames, _frames_of_sound(times, spec))
    if spec.audio is not None and length <= (frames - 1) * stride:
        starts = [0] * spec.clips  # pictures that wrap round have no sound of theirs
    elif spec.is_pair:
        starts = sampling.sample_clip_pair(
            rng, length, frames, stride, law=spec.sampling, power=spec.power
        )
    elif spec.sampling == "random":
        starts = [sampling.sample_clip(rng, length, frames, stride) for _ in range(spec.clips)]
    else:
        starts = sampling.even_clip_starts(length, frames, stride, spec.clips)
    positions = np.stack(
        [sampling.clip_positions(int(s), spec.frames, stride, length) for s in starts]
    )
    if spec.stride_unit == "frames":
        return positions
    return np.searchsorted(times, positions * _TICK + _LATE, side="right") - 1


def _interval(times: np.ndarray) -> float:
    """Seconds from a frame to the next."""
    return float(np.median(np.diff(times))) if len(times) > 1 else _TICK


def _frames_of_sound(times: np.ndarray, spec: InputSpec) -> int:
    """How many frames of a clip's stride the sound of a clip lasts, 0 without sound."""
    if spec.audio is None:
        return 0
    unit = 1.0 if spec.stride_unit == "seconds" else _interval(times)
    return math.ceil(spec.audio.samples / spec.audio.rate / (spec.stride * unit) - _LATE)
