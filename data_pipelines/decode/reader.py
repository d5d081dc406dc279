"""Frames of a video file by position."""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.error import FFmpegError

from data_pipelines.crops import crops_of_frames
from data_pipelines.decode.facts import FileFacts
from data_pipelines.decode.limits import DEFAULT, Limits, Unreadable
from data_pipelines.decode.picture import PictureMaker
from data_pipelines.decode.stream import VideoStream
from data_pipelines.decode.timeline import Timeline, from_decoding, from_packets
from data_pipelines.errors import BadVideo
from data_pipelines.video import Box

_UNKNOWN = -(2**63)  # the key of a frame without a timestamp: equal to none, before all
_MAX_DISORDER = 16  # frames that may come late; the reorder buffer of H.264 and HEVC holds 16


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

    Frames are found by timestamp. Decoding runs forward, stops at the last frame wanted, and jumps
    only to a keyframe that lies ahead; what a jump delivers is trusted only if it begins with that
    very keyframe, and is otherwise decoded again from the start. So a frame is the same whatever
    was asked before.

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
        self._path = path
        self._stream: VideoStream | None = None
        self._counted = False  # whether frames are named by their place rather than their pts
        self._key = _UNKNOWN  # what names the frame decoded last
        try:
            with _refusing(path):
                self._stream = stream = VideoStream(path, content, limits)
                self._timeline = self._find_timeline(stream)
                assert self._frame is not None
                self._origin = float((self._frame.pts or 0) * stream.time_base)
                self._picture = PictureMaker(self._frame, stream.aspect, limits.pixels)
                self._size = self._picture.size(self._frame)
                inside = self._timeline.between(start, end)
                if not len(inside):
                    raise Unreadable(
                        f"no frame between {start or 0:g} s and {end or np.inf:g} s: it lasts "
                        f"{self._timeline.times[-1]:g} s"
                    )
        except BaseException:
            self.close()
            raise
        self._first = int(inside[0])
        self.times = self._timeline.times[inside] - self._timeline.times[self._first]
        self.clock = self._origin + float(self._timeline.times[self._first])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright picture with square pixels."""
        return self._size

    def crops(self, places: Sequence[tuple[int, Box]], size: int) -> np.ndarray:
        """See `Video.crops`."""
        return crops_of_frames(self, places, size)

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Returns the frames at `indices` as uint8 [H, W, 3] RGB, square pixels, upright.

        Args:
          indices: positions in `times`, in any order; equal ones share one array.

        Raises:
          IndexError: an index outside `0 <= index < L`.
          BadVideo: a wanted frame cannot be decoded, or the picture's size changes.
        """
        wanted = sorted({int(index) for index in indices})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < len(self.times):
            raise IndexError(f"frames {wanted[0]}..{wanted[-1]} of a video of {len(self.times)}")
        pictures = {}
        assert self._stream is not None
        self._stream.restart_clock()
        if wanted and not self._counted:  # counted frames are named by none being missing
            keys = set(self._timeline.keys[self._first + np.array(wanted)].tolist())
            last = max(keys)  # those behind it may be next to be asked for
            self._stream.skips = lambda pts: pts < last and pts not in keys
        with _refusing(self._path):
            for index in wanted:
                pictures[index] = self._picture(self._fetch(self._first + index))
            shapes = {picture.shape for picture in pictures.values()}
            if len(shapes) > 1:
                raise Unreadable(f"the size of its picture changes: {sorted(shapes)}")
        return [pictures[int(index)] for index in indices]

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
        assert self._stream is not None
        self._stream.skips = lambda pts: False
        with _refusing(self._path):
            for done in range(len(self.times)):
                if time.monotonic() >= until:
                    return done, damaged
                self._stream.restart_clock()
                position = self._first + done
                frame = None
                if done:  # the first frame may be far from where the decoder is
                    frame, _ = self._advance(int(self._timeline.keys[position]))
                if frame is None or (frame.is_corrupt and not self._from_start):
                    frame = self._fetch(position)
                damaged += frame.is_corrupt
                if self._picture.size(frame) != self._size:
                    raise Unreadable(f"the size of its picture changes at {self.times[done]:.3f} s")
        return len(self.times), damaged

    def facts(self) -> FileFacts:
        """Returns what the file says of itself; nothing is decoded."""
        stream, timeline = self._stream, self._timeline
        assert stream is not None
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
        self._frames, self._frame = iter(()), None
        if self._stream is not None:
            self._stream.close()
            # The first frame is in a cycle (see PictureMaker). Left to the collector's own pace,
            # a worker grows by a sixth over 5,000 clips.
            gc.collect(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _find_timeline(self, stream: VideoStream) -> Timeline:
        """Finds the timeline, and leaves the decoder at the file's first frame."""
        timeline = from_packets(stream)
        if timeline is not None:
            try:
                self._begin(stream.frames_from_start(), from_start=True)
            except FFmpegError as error:
                raise Unreadable(f"damaged or encrypted: {_one_line(error)}") from error
            if self._frame is None:
                raise Unreadable("none of its frames decodes")
            if self._key in timeline.keys:
                # What cannot be decoded before the first frame (its references were cut off) is
                # not part of the video.
                return timeline.dropping_before(self._key)
        self._counted = True
        timeline = from_decoding(stream)
        self._begin(stream.frames_from_start(), from_start=True)
        return timeline

    def _fetch(self, position: int) -> av.VideoFrame:
        """Returns the frame at `position` of the whole timeline."""
        assert self._stream is not None
        timeline, key = self._timeline, int(self._timeline.keys[position])
        at = int(np.searchsorted(timeline.starts, key, side="right")) - 1
        jump = int(timeline.starts[at]) if at >= 0 else int(timeline.keys[0])
        if jump <= self._key <= key:
            frame, _ = self._advance(key)
            if frame is not None and (self._from_start or not frame.is_corrupt):
                return frame
        elif jump > timeline.keys[0]:
            with contextlib.suppress(FFmpegError):
                self._begin(self._stream.frames_from_key(jump), from_start=False)
                if self._frame is not None and self._frame.key_frame and self._key == jump:
                    frame, _ = self._advance(key)
                    if frame is not None and not frame.is_corrupt:
                        return frame
        self._begin(self._stream.frames_from_start(), from_start=True)
        frame, trouble = self._advance(key)
        if frame is not None:
            return frame
        raise Unreadable(
            f"frame {position} of {len(timeline.keys)} (at {timeline.times[position]:.3f} s) "
            f"does not decode{trouble and ': ' + trouble}"
        )

    def _begin(self, frames: Iterator[av.VideoFrame], from_start: bool) -> None:
        self._frames, self._from_start = frames, from_start
        self._count, self._frame = 0, None
        self._step()

    def _step(self) -> None:
        """Decodes one frame; leaves None at the end of the file."""
        self._frame = next(self._frames, None)
        if self._frame is not None:
            pts = self._frame.pts
            self._key = self._count if self._counted else _UNKNOWN if pts is None else pts
            self._count += 1

    def _advance(self, key: int) -> tuple[av.VideoFrame | None, str]:
        """Decodes forward to the frame named `key`; returns it, or None and what went wrong."""
        late = 0
        try:
            while self._frame is not None:
                if self._key == key:
                    return self._frame, ""
                late += self._key > key
                if late > _MAX_DISORDER:
                    break
                self._step()
        except FFmpegError as error:
            return None, _one_line(error)
        return None, ""


@contextlib.contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Turns whatever a file's content provokes into `BadVideo`."""
    try:
        yield
    except Unreadable as error:
        raise BadVideo(path, str(error)) from error
    except (FFmpegError, OSError, ValueError, AttributeError) as error:
        raise BadVideo(path, _one_line(error)) from error


def _one_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
