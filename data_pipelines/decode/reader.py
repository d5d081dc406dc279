"""Frames of a video file by position."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

from data_pipelines.crops import Part, crops_of_parts
from data_pipelines.decode.cursor import FrameCursor
from data_pipelines.decode.facts import FileFacts
from data_pipelines.decode.limits import DEFAULT, Limits, Unreadable, one_line
from data_pipelines.decode.picture import PictureMaker
from data_pipelines.decode.sound import SoundReader
from data_pipelines.decode.stream import VideoStream, open_container
from data_pipelines.errors import BadVideo
from data_pipelines.video import Box

Made = TypeVar("Made")


def open_video(
    path: str,
    *,
    content: bytes | None = None,
    start: float | None = None,
    end: float | None = None,
    limits: Limits = DEFAULT,
) -> VideoFileReader:
    """Opens a video file, or the segment `start <= t < end` of it.

    Args:
      path: the file.
      content: what the file holds, where that is in memory; `path` then only names it.
      start: seconds from the first frame; None for the beginning.
      end: seconds from the first frame; None for the end.
      limits: what the file may ask for before it is refused.

    Raises:
      BadVideo: the file cannot be opened, holds no video, or has no frame in the segment.
    """
    return VideoFileReader(path, content, start, end, limits)


class VideoFileReader:
    """An opened video file, a context manager.

    A frame of an undamaged file is the same whatever was asked before; `FrameCursor` says how it is
    found.

    Attributes:
      times: float64 [L] seconds, strictly increasing, 0 at the first frame (of the segment).
      clock: seconds at which that frame is shown by the file's own clock, as its sound goes.
    """

    def __init__(
        self,
        path: str,
        content: bytes | None,
        start: float | None,
        end: float | None,
        limits: Limits,
    ) -> None:
        """Opens the file; `open_video` says how."""
        self._path, self._content, self._limits = path, content, limits
        self._stream: VideoStream | None = None
        self._sound: SoundReader | None = None
        self._cursor: FrameCursor | None = None
        try:
            with refusing(path):
                self._stream = stream = VideoStream(path, content, limits)
                self._cursor = cursor = FrameCursor(stream)
                first, timeline = cursor.fetch(0), cursor.timeline
                origin = float((first.pts or 0) * stream.time_base)
                file = path if content is None else io.BytesIO(content)
                self._picture = PictureMaker(first, stream.aspect, limits.pixels, file)
                hours = float(timeline.times[-1]) / 3600
                if hours > limits.hours:
                    raise Unreadable(
                        f"its frames span {hours:.1f} hours, more than the limit of "
                        f"{limits.hours:g}"
                    )
                inside = timeline.between(start, end)
                if not len(inside):
                    raise Unreadable(
                        f"no frame between {start or 0:g} s and {end or np.inf:g} s: it lasts "
                        f"{timeline.times[-1]:g} s"
                    )
        except BaseException:
            self.close()
            raise
        self._first = int(inside[0])
        self.times = timeline.times[inside] - timeline.times[self._first]
        self.clock = origin + float(timeline.times[self._first])
        self._end = math.inf if end is None else end - float(timeline.times[self._first])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright picture with square pixels."""
        return self._picture.size

    def crops(
        self, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Video.crops`."""
        try:
            return crops_of_parts(self._parts, places, size, out)
        except Unreadable as error:  # of colours, which are made when a crop is cut
            raise BadVideo(self._path, str(error)) from error

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Returns the frames at `indices` as uint8 [H, W, 3] RGB, square pixels, upright.

        Args:
          indices: positions in `times`, in any order; equal ones share one array.

        Raises:
          IndexError: an index outside `0 <= index < L`.
          BadVideo: a wanted frame cannot be decoded, or the picture's size changes.
        """
        pictures = dict(self._decode(indices, self._picture))
        return [pictures[int(index)] for index in indices]

    def _parts(self, wanted: Mapping[int, Box]) -> Iterator[Part]:
        cutters = self._decode(wanted, self._picture.cutter)
        return ((index, cut, (0, 0)) for index, cut in cutters)

    def _decode(
        self, indices: Iterable[int], made_of: Callable[[av.VideoFrame], Made]
    ) -> Iterator[tuple[int, Made]]:
        """Yields what is made of the frames at `indices` with these, in order, each once."""
        wanted = sorted({int(index) for index in indices})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < len(self.times):
            raise IndexError(f"frames {wanted[0]}..{wanted[-1]} of a video of {len(self.times)}")
        assert self._cursor is not None
        with refusing(self._path):
            self._cursor.want([self._first + index for index in wanted])
            for index in wanted:
                yield index, made_of(self._fetch(index))

    def _fetch(self, index: int, go_on: bool = False) -> av.VideoFrame:
        """As `FrameCursor.fetch`; refuses a frame of another size than the first."""
        assert self._cursor is not None
        frame = self._cursor.fetch(self._first + index, go_on)
        if not self._picture.fits(frame):
            raise Unreadable(f"the size of its picture changes at {self.times[index]:.3f} s")
        return frame

    def audio(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """See `Video.audio`; a segment's sound ends with it."""
        assert self._stream is not None
        if self._stream.audio is None:
            return None
        with refusing(self._path):
            if self._sound is None:
                self._sound = SoundReader(self._path, self._content, self._limits)
            wave_S = self._sound.read(self.clock + start, samples, rate)
        inside = math.ceil((self._end - start) * rate) if math.isfinite(self._end) else samples
        if wave_S is None or inside <= 0:
            return None
        wave_S[inside:] = 0.0
        return wave_S

    def container(self) -> InputContainer:
        """Opens the file once more, for its packets; the caller closes it."""
        return open_container(self._path, self._content)

    def check(self, seconds: float = math.inf) -> tuple[int, int]:
        """Decodes the frames in order, as `frames` would, but makes no pictures of them.

        Args:
          seconds: how long to go on; a longer video is decoded in part.

        Returns:
          (frames decoded, at most L; how many of these the decoder marks as damaged).

        Raises:
          BadVideo: a frame cannot be decoded, or the picture's size changes.
        """
        until, damaged = time.monotonic() + seconds, 0
        assert self._cursor is not None
        with refusing(self._path):
            for done in range(len(self.times)):
                if time.monotonic() >= until:
                    return done, damaged
                self._cursor.want([self._first + done])
                damaged += self._fetch(done, go_on=done > 0).is_corrupt
        return len(self.times), damaged

    def facts(self) -> FileFacts:
        """Returns what the file says of itself; nothing is decoded."""
        stream, cursor = self._stream, self._cursor
        assert stream is not None
        assert cursor is not None
        timeline = cursor.timeline
        places = np.searchsorted(timeline.keys, timeline.starts)
        return FileFacts(
            container=stream.container,
            codec=stream.codec,
            rate=stream.rate,
            seconds=float(timeline.times[-1]),
            key_times=timeline.times[places],
            audio=stream.audio,
        )

    def close(self) -> None:
        """Releases the file. Calling it twice is harmless."""
        if self._cursor is not None:
            self._cursor.let_go()
        for part in (self._stream, self._sound):
            if part is not None:
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextlib.contextmanager
def refusing(path: str) -> Iterator[None]:
    """Turns whatever a file's content provokes into `BadVideo`."""
    try:
        yield
    except Unreadable as error:
        raise BadVideo(path, str(error)) from error
    except IndexError as error:  # PyAV's, of a packet that belongs to no stream that it knows
        raise BadVideo(path, "damaged: a stream appears that was not there when opened") from error
    except (FFmpegError, OSError, ValueError, AttributeError) as error:
        raise BadVideo(path, one_line(error)) from error
