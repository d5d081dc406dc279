"""Which frames a file has, when each is shown, and where decoding can start."""

from __future__ import annotations

import dataclasses

import av
import numpy as np

from data_pipelines.decode.limits import Unreadable
from data_pipelines.decode.stream import VideoStream


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The frames of a file in the order shown.

    Attributes:
      keys: int64 [L], strictly increasing. What names a frame: its `pts`, or its place in a decode
        from the start where the file has no usable `pts`.
      times: float64 [L] seconds, strictly increasing, 0 at the first frame.
      starts: int64 [K], increasing, those of `keys` at which decoding may start; may be empty.
    """

    keys: np.ndarray
    times: np.ndarray
    starts: np.ndarray

    def between(self, start: float | None, end: float | None) -> np.ndarray:
        """Returns int64 positions of the frames shown at `start <= t < end` seconds."""
        inside = np.ones(len(self.times), bool)
        if start is not None:
            inside &= self.times >= start - 1e-9  # a time base such as 1/30 has no exact float
        if end is not None:
            inside &= self.times < end - 1e-9
        return np.flatnonzero(inside)

    def dropping_before(self, key: int) -> Timeline:
        """Returns the timeline that begins at frame `key`."""
        kept = self.keys >= key
        times = self.times[kept]
        return Timeline(self.keys[kept], times - times[0], self.starts[self.starts >= key])


def from_packets(stream: VideoStream) -> Timeline | None:
    """Builds the timeline from the packets' timestamps, in one pass without decoding.

    Returns:
      The timeline, or None where timestamps are missing, repeated or made up.

    Raises:
      Unreadable: no packets, or fewer than the file's own index lists.
    """
    pts: list[int | None] = []
    starts: list[int] = []
    total = 0
    for packet in stream.packets():
        total += 1
        # Packets outside the edit list are needed to decode the others, but are not shown.
        if packet.is_discard or not _is_shown(packet, stream.codec):
            continue
        pts.append(packet.pts)
        if packet.is_keyframe and packet.pts is not None:
            starts.append(packet.pts)
    if not pts:
        raise Unreadable("its video has no frames")
    if total < stream.expected_packets:
        raise Unreadable(f"truncated: {total} of {stream.expected_packets} packets are present")
    known = [p for p in pts if p is not None]
    if len(set(known)) < len(pts):
        return None
    # AVI stores no times of showing: FFmpeg then numbers the frames as they are stored.
    if stream.reorders and len(known) > 1 and known == sorted(known):
        return None
    keys = np.unique(np.array(known, np.int64))
    return Timeline(
        keys=keys,
        times=(keys - keys[0]) * float(stream.time_base),
        starts=np.unique(np.array(starts, np.int64)),
    )


def from_decoding(stream: VideoStream) -> Timeline:
    """Builds the timeline by decoding the whole file once.

    Frames keep their own times if those increase. Otherwise they are spaced evenly over the time
    that the known ones span, or at the rate that the file claims.

    Raises:
      Unreadable: no frame decodes.
      FFmpegError: the file is damaged after the first frame.
    """
    pts = [frame.pts for frame in stream.frames_from_start()]
    if not pts:
        raise Unreadable("none of its frames decodes")
    keys = np.arange(len(pts), dtype=np.int64)
    known = np.array([p for p in pts if p is not None], np.int64)
    if len(known) == len(pts) and (np.diff(known) > 0).all():
        times = (known - known[0]) * float(stream.time_base)
    else:
        duration = float(np.ptp(known)) * float(stream.time_base) if len(known) else 0.0
        times = keys * (duration / max(1, len(pts) - 1) or 1.0 / stream.rate)
    return Timeline(keys=keys, times=times, starts=np.zeros(0, np.int64))


def _is_shown(packet: av.Packet, codec: str) -> bool:
    """Tells a packet that is only a reference for others, which VP8 and VP9 keep in the stream.

    The bits are those of the frame headers: RFC 6386 section 9.1 (VP8) and the VP9 bitstream
    specification, section 6.2 (`uncompressed_header`).
    """
    if codec == "vp8":
        return bool(memoryview(packet)[0] & 0b1_0000)
    if codec == "vp9":
        view = memoryview(packet)
        if (view[-1] & 0b1110_0000) == 0b1100_0000:
            return True  # a superframe: hidden frames come together with the one shown
        profile = (view[0] >> 5 & 1) | (view[0] >> 4 & 1) << 1
        shift = 3 if profile < 3 else 2  # profile 3 has one reserved bit more
        shows_existing, shown = view[0] >> shift & 1, view[0] >> (shift - 2) & 1
        return bool(shows_existing or shown)
    return True
