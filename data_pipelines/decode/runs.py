"""Decoded sound in time: which frames follow each other without a gap, and when they begin."""

from __future__ import annotations

import dataclasses

import av
import numpy as np

from data_pipelines.decode.limits import Unreadable

COARSE = 0.5e-3
"""Seconds; formats with a longer unit of time round more than samples are long."""

# Seconds by which a frame's time may be off without there being a gap, in a format with a fine unit
# and in one with a coarse one: Vorbis in Matroska is stamped up to half a block late.
_JITTER, _COARSE_JITTER = 0.005, 0.03
_SURPLUS = 4.0  # frames may hold so many times the samples of the stretch


@dataclasses.dataclass(frozen=True)
class Run:
    """Frames of one kind that follow each other without a gap.

    Attributes:
      start: seconds at which its first sample is heard.
      skipped: samples before those that were kept.
      frames: at least one.
    """

    start: float
    skipped: int
    frames: list[av.AudioFrame]


@dataclasses.dataclass(frozen=True)
class Beat:
    """Where frames begin in a track without gaps whose frames are all of one length.

    Attributes:
      first: seconds at which the second frame begins; the first may be shortened.
      step: seconds from one to the next.
    """

    first: float
    step: float

    def nearest(self, seconds: float) -> float:
        """Returns when the frame nearest to `seconds` begins."""
        return self.first + round((seconds - self.first) / self.step) * self.step


class RunBuilder:
    """Joins decoded frames to runs, and keeps what touches a stretch of time.

    Args:
      begin: of the stretch, seconds.
      end: of the stretch, seconds.
      from_first: whether the first frame will be the first of the track.
      beat: of the track, where it has one; tells more of the time than coarse units do.
    """

    def __init__(
        self, begin: float, end: float, from_first: bool, beat: Beat | None = None
    ) -> None:
        self._begin, self._end, self._from_first, self._beat = begin, end, from_first, beat
        self._room = _SURPLUS * (end - begin) + 1.0  # seconds of sound that may still be kept
        self._longest = 0.0  # seconds; of the frames kept
        self._runs: list[Run] = []
        self._clear()

    def add(self, frame: av.AudioFrame) -> None:
        """Takes the next frame of the track.

        Raises:
          Unreadable: there is far more sound in the stretch than it is long.
        """
        rate = frame.sample_rate
        if not frame.samples or not rate:
            return
        kind = (rate, frame.format.name, frame.layout.name)
        unit = float(frame.time_base or 0)
        before = self._samples / rate
        offset = self._offsets[0] if self._offsets else 0.0  # without a time, it follows the last
        if frame.pts is not None:
            offset = frame.pts * unit - before
        jitter = max(_COARSE_JITTER if unit > COARSE else _JITTER, unit)
        if self._offsets and (kind != self._kind or abs(offset - self._offsets[0]) > jitter):
            self._close()
            offset, before = offset + before, 0.0
        self._kind, self._unit = kind, unit
        self._offsets.append(offset)
        if offset + before < self._end and offset + before + frame.samples / rate > self._begin:
            if not self._kept:
                self._skipped = self._samples
            self._kept.append(frame)
            self._room -= frame.samples / rate
            self._longest = max(self._longest, frame.samples / rate)
            if self._room + 2 * self._longest < 0:  # the first and the last may reach far beyond
                raise Unreadable("its sound has far more samples than its times have room for")
        self._samples += frame.samples

    def finish(self) -> list[Run]:
        """Returns the runs, in the order of the track."""
        self._close()
        return self._runs

    def _close(self) -> None:
        if self._kept:
            start = run_start(np.array(self._offsets), self._unit, self._from_first)
            if self._beat and abs(self._beat.nearest(start) - start) < 0.6 * self._unit:
                start = self._beat.nearest(start)
            self._runs.append(Run(start, self._skipped, self._kept))
        self._from_first = False
        self._clear()

    def _clear(self) -> None:
        self._offsets: list[float] = []  # of each frame: when the run begins, by its time
        self._kept: list[av.AudioFrame] = []
        self._samples, self._skipped = 0, 0


def run_start(offsets_F: np.ndarray, unit: float, from_first: bool) -> float:
    """Returns when a run begins, from what each of its frames says of it.

    Where the frames differ by no more than rounding to the unit explains, the middle of what they
    leave possible; or, for the first frame of a track, whose time is rarely rounded, its time,
    moved as little as the others demand. Otherwise times are late at times: by little where the
    unit is fine, and the median is taken; by blocks where it is coarse, and the earliest is.

    Args:
      offsets_F: float [F] seconds, the time of each frame less the duration of those before it.
      unit: seconds to which times are rounded.
      from_first: whether the first frame is the first of its track.
    """
    low, high = float(offsets_F.min()), float(offsets_F.max())
    if high - low > 1.001 * unit:
        return low + unit / 2 if unit > COARSE else float(np.median(offsets_F))
    if from_first:
        return min(max(float(offsets_F[0]), high - unit / 2), low + unit / 2)
    return (low + high) / 2
