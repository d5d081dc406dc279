"""A quick look at a source before anything is allocated: is it readable, how long are videos."""

from __future__ import annotations

import contextlib
import dataclasses
import functools

import numpy as np

from data_pipelines.errors import BadVideo, UserError
from data_pipelines.isolation import Lost, isolated_map
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source

_LOOKED_AT = 32  # videos opened (headers and packet times only; nothing is decoded)
_PROCESSES = 4  # at most: more would take longer to start than to open so few


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a sample of evenly spaced videos says of a source.

    Attributes:
      videos: videos in the source.
      hours: of video in the source, estimated from the sample.
      frames: (shortest, median, longest) video of the sample, in frames.
      bad: (path, reason) of videos of the sample that cannot be opened.
    """

    videos: int
    hours: float
    frames: tuple[int, int, int]
    bad: tuple[tuple[str, str], ...]


def survey(source: Source, spec: InputSpec, *, workers: int = 0, timeout: float = 60.0) -> Survey:
    """Opens up to 32 videos of `source`.

    Args:
      source: the videos.
      spec: the clips wanted of them.
      workers: processes that open them, since a file may hang or crash what reads it; 0 = this one.
      timeout: seconds after which opening a video is given up, with workers.

    Raises:
      UserError: none of them can be opened, or a clip of `spec` is longer than every one.
    """
    indices = np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).round().astype(int))
    lengths, seconds, bad = [], [], []
    look = functools.partial(_look, source)
    for index, found in isolated_map(
        look, indices.tolist(), workers=min(workers, _PROCESSES), timeout=timeout
    ):
        if isinstance(found, BadVideo | Lost):
            bad.append((source.info(index).path, found.reason))
        else:
            lengths.append(found[0])
            seconds.append(found[1])
    if not lengths:
        path, reason = bad[0]
        raise UserError(
            f"{source.name}: none of {len(bad)} videos looked at can be read; "
            f"the first: {path}: {reason}; "
            "are these the right files? play one to see"
        )
    longest = max(lengths) - 1 if spec.stride_unit == "frames" else max(seconds)
    if longest < spec.span and max(lengths) > 1:
        raise UserError(
            f"{source.name}: a clip of {spec.frames} frames at stride {spec.stride:g} spans "
            f"{spec.span:g} {spec.stride_unit}, but the longest of {len(lengths)} videos looked at "
            f"has {longest:g}; lower --config.data.frames or --config.data.stride"
        )
    return Survey(
        videos=len(source),
        hours=float(np.mean(seconds)) * len(source) / 3600,
        frames=(min(lengths), int(np.median(lengths)), max(lengths)),
        bad=tuple(bad),
    )


def _look(source: Source, index: int) -> tuple[int, float] | BadVideo:
    """Returns the frames and seconds of a video, or why it cannot be opened."""
    try:
        with contextlib.closing(source.open(index)) as video:
            return len(video.times), float(video.times[-1])
    except BadVideo as bad:
        return bad
