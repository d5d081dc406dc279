"""Moves a decoder to the frames that are wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.error import FFmpegError

from data_pipelines.decode.limits import Unreadable, one_line
from data_pipelines.decode.stream import VideoStream
from data_pipelines.decode.timeline import Timeline, from_decoding, from_packets

_UNKNOWN = -(2**63)  # the key of a frame without a timestamp: equal to none, before all
_MAX_DISORDER = 16  # frames that may come late; the reorder buffer of H.264 and HEVC holds 16


class FrameCursor:
    """Finds the frames of a stream by their keys.

    Decoding runs forward and jumps only to a keyframe that lies ahead; what a jump delivers is
    trusted only if it begins with that very keyframe, and is otherwise decoded again from the
    start. So a frame is the same whatever was fetched before.

    Attributes:
      timeline: the frames there are; it begins with the first that can be decoded.
    """

    timeline: Timeline

    def __init__(self, stream: VideoStream) -> None:
        """Finds the timeline, and leaves the decoder at the first frame.

        Raises:
          Unreadable: no frame decodes, or the file is damaged or encrypted.
          FFmpegError: the file is damaged further on, and has no usable timestamps.
        """
        self._stream = stream
        self._counted = False  # whether frames are named by their place rather than their pts
        self._key = _UNKNOWN  # what names the frame decoded last
        timeline = from_packets(stream)
        if timeline is not None:
            try:
                self._begin(stream.frames_from_start(), from_start=True)
            except FFmpegError as error:
                raise Unreadable(f"damaged or encrypted: {one_line(error)}") from error
            if self._frame is None:
                raise Unreadable("none of its frames decodes")
            if self._key in timeline.keys:
                # What cannot be decoded before the first frame (its references were cut off) is
                # not part of the video.
                self.timeline = timeline.dropping_before(self._key)
                return
        self._counted = True
        self.timeline = from_decoding(stream)
        self._begin(stream.frames_from_start(), from_start=True)

    def want(self, positions: Sequence[int]) -> None:
        """Begins a new reading, of which only the frames at `positions` will be fetched."""
        self._stream.restart_clock()
        if not positions or self._counted:  # counted frames are named by none being missing
            return
        keys = set(self.timeline.keys[np.array(positions)].tolist())
        last = max(keys)  # those behind it may be wanted next
        self._stream.skips = lambda pts: pts < last and pts not in keys

    def fetch(self, position: int, go_on: bool = False) -> av.VideoFrame:
        """Returns the frame at `position` of the timeline.

        Args:
          position: which.
          go_on: rather decode on to it than jump, where both are possible.

        Raises:
          Unreadable: it does not decode.
        """
        timeline, key = self.timeline, int(self.timeline.keys[position])
        at = int(timeline.starts.searchsorted(key, side="right")) - 1
        jump = int(timeline.starts[at]) if at >= 0 else int(timeline.keys[0])
        is_ahead = jump <= self._key <= key
        if go_on or is_ahead:
            frame, _ = self._advance(key)
            if frame is not None and (self._from_start or not frame.is_corrupt):
                return frame
        if jump > timeline.keys[0] and not is_ahead:
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

    def let_go(self) -> None:
        """Frees the frame and the decoder at work; they hold native memory."""
        self._frames, self._frame = iter(()), None

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
            return None, one_line(error)
        return None, ""
