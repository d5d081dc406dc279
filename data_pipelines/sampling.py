"""Where in time the clips of a video begin.

A video is a regular grid of `length` positions. A clip is `frames` of them, `stride` apart, from a
start position on; where a video is too short for a clip the clip wraps round to the beginning.
All laws are those of CVRL (Qian et al., "Spatiotemporal Contrastive Video Representation
Learning", CVPR 2021, section 3.2) and, where the paper is silent, of its public TensorFlow code.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest


def _decreasing(rng: np.random.Generator, m: int, power: float) -> int:
    """Draws d = floor(k), F(k) = u: the largest d in 0..m-1 with F(d) <= u."""

    def cdf(k: int) -> float:
        x = k / m
        return ((power + 1) * x - x ** (power + 1)) / power

    return bisect.bisect_right(range(1, m), rng.random(), key=cdf)


_LAWS: dict[str, Callable[[np.random.Generator, int, float], int]] = {
    "decreasing": _decreasing,
    "uniform": lambda rng, m, power: int(rng.integers(m)),
    "increasing": lambda rng, m, power: m - 1 - _decreasing(rng, m, power),
    "same": lambda rng, m, power: 0,
}

LAWS: tuple[str, ...] = tuple(_LAWS)
"""The names of the laws of `sample_interval`."""


def check_law(law: str, power: float = 1.0) -> None:
    """Checks the settings of an interval law.

    Args:
      law: one of `LAWS`.
      power: exponent p > 0 of the laws 'decreasing' and 'increasing'.

    Raises:
      UserError: there is no such law, or the power is not positive.
    """
    if law not in _LAWS:
        raise UserError(f"temporal interval law {law!r} does not exist; {nearest(law, LAWS)}")
    if not power > 0:
        raise UserError(f"temporal interval power is {power}; it must be above 0 (CVRL: 1.0)")


def sample_interval(rng: np.random.Generator, m: int, law: str, power: float = 1.0) -> int:
    """Draws the distance in time between the two clips of a positive pair.

    'decreasing' is CVRL's law. With p = `power` its cumulative distribution over [0, m] is

        F(k) = (p + 1) k / (p m) - k^(p + 1) / (p m^(p + 1)),

    that is, the density falls as 1 - (k / m)^p; the draw is floor(F^-1(u)) with u ~ U[0, 1), so
    P(d = k) = F(k + 1) - F(k). For p = 1 that is d = floor(m (1 - sqrt(1 - u))) and
    P(d = k) = (2 (m - k) - 1) / m^2, with mean about m / 3. 'increasing' is its mirror image
    m - 1 - d, 'uniform' gives every d the same chance, 'same' is always 0.

    Args:
      rng: the random generator to draw from.
      m: number of possible intervals, at least 1.
      law: one of `LAWS`.
      power: exponent p > 0 of 'decreasing' and 'increasing'; the other laws have none.

    Returns:
      The interval d in positions, 0 <= d < m.

    Raises:
      UserError: the law or power is unknown, or m < 1.
    """
    check_law(law, power)
    if m < 1:
        raise UserError(f"number of possible intervals is {m}; it must be at least 1")
    return _LAWS[law](rng, m, power)


def _check_clip(length: int, frames: int, stride: int) -> None:
    for name, value in (("length", length), ("frames", frames), ("stride", stride)):
        if value < 1:
            raise UserError(f"clip {name} is {value}; it must be at least 1")


def _count_starts(length: int, frames: int, stride: int) -> int:
    """Returns how many starts are allowed: those without wrapping, or all when there are none."""
    whole = length - (frames - 1) * stride
    return whole if whole > 0 else length


def sample_clip(rng: np.random.Generator, length: int, frames: int, stride: int) -> int:
    """Draws the start of one clip, uniformly over the starts from which it does not wrap.

    In a video too short for the clip, length <= (frames - 1) * stride, every start may be drawn.

    Args:
      rng: the random generator to draw from.
      length: positions in the video, at least 1.
      frames: positions in the clip, at least 1.
      stride: distance between them, at least 1.

    Returns:
      The start position, 0 <= start < length.

    Raises:
      UserError: one of the three numbers is below 1.
    """
    _check_clip(length, frames, stride)
    return int(rng.integers(_count_starts(length, frames, stride)))


def sample_clip_pair(
    rng: np.random.Generator,
    length: int,
    frames: int,
    stride: int,
    law: str = "decreasing",
    power: float = 1.0,
) -> tuple[int, int]:
    """Draws the starts of the two clips of a positive pair (CVRL, section 3.2).

    With m = length - (frames - 1) * stride starts to choose from, the interval d < m comes from
    `sample_interval`, the earlier start uniformly from [0, m - d), and which of the two comes
    first is random. In a video too short for the clip (m <= 0) the starts are independent and
    uniform over [0, length), whatever the law; only 'same' still gives twice the same start.

    Args:
      rng: the random generator to draw from.
      length: positions in the video, at least 1.
      frames: positions in each clip, at least 1.
      stride: distance between them, at least 1.
      law: law of the interval, one of `LAWS`.
      power: exponent of the laws 'decreasing' and 'increasing', above 0.

    Returns:
      The two start positions, in random order.

    Raises:
      UserError: a number is out of range or the law is unknown.
    """
    check_law(law, power)
    _check_clip(length, frames, stride)
    m = length - (frames - 1) * stride
    if law == "same":
        start = int(rng.integers(_count_starts(length, frames, stride)))
        return start, start
    if m <= 0:
        return int(rng.integers(length)), int(rng.integers(length))
    interval = sample_interval(rng, m, law, power)
    early = int(rng.integers(m - interval))
    late = early + interval
    return (late, early) if rng.random() < 0.5 else (early, late)


def even_clip_starts(length: int, frames: int, stride: int, clips: int) -> np.ndarray:
    """Returns evenly spaced clip starts, for evaluation over the whole video.

    The starts are spread linearly over [0, max(0, length - frames * stride)] and truncated to
    whole positions, as CVRL's test clips are; a single clip is the central one.

    Args:
      length: positions in the video, at least 1.
      frames: positions in each clip, at least 1.
      stride: distance between them, at least 1.
      clips: number of clips, at least 1.

    Returns:
      int64 [clips], not decreasing.

    Raises:
      UserError: one of the four numbers is below 1.
    """
    _check_clip(length, frames, stride)
    if clips < 1:
        raise UserError(f"number of evaluation clips is {clips}; it must be at least 1")
    last = max(0, length - frames * stride)
    if clips == 1:
        return np.array([last // 2], np.int64)
    return np.arange(clips, dtype=np.int64) * last // (clips - 1)  # exact, unlike a float linspace


def clip_positions(start: int, frames: int, stride: int, length: int) -> np.ndarray:
    """Returns the positions of a clip; past the end of the video they go on at its beginning.

    Args:
      start: first position, 0 <= start < length.
      frames: positions in the clip, at least 1.
      stride: distance between them, at least 1.
      length: positions in the video, at least 1.

    Returns:
      int64 [frames], each in [0, length).

    Raises:
      UserError: a number is out of range.
    """
    _check_clip(length, frames, stride)
    if not 0 <= start < length:
        raise UserError(f"clip start is {start}; it must lie in the video's 0..{length - 1}")
    return (start + stride * np.arange(frames, dtype=np.int64)) % length
