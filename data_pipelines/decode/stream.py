"""The one video stream of a file: its packets, and its frames decoded forward from a point."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream as AvVideoStream

from data_pipelines.decode.facts import audio_facts

MAX_PIXELS = 8192 * 4320
"""Largest picture decoded by default: 8K DCI, the largest that cameras deliver (106 MB of RGB)."""


class Unreadable(Exception):
    """What is wrong with a file, in one line; the reader adds the path."""


class VideoStream:
    """The first real video stream of a file. Pictures attached to sound are not video.

    Attributes:
      time_base: seconds per unit of a packet's or frame's `pts`.
      rate: frames per second as the file claims, 25 where it claims nothing.
      aspect: width over height of one pixel, 1.0 where the file does not say.
      codec: FFmpeg's name of the codec.
      reorders: whether frames are shown in another order than they are stored.
      expected_packets: packets listed in the file's index, 0 without an index.
      container: FFmpeg's name of the file format.
      audio: the first audio track, None without sound.
    """

    def __init__(self, path: str, max_pixels: int = MAX_PIXELS) -> None:
        """Opens the file.

        Args:
          path: a local file. Its content cannot make FFmpeg open anything but local files.
          max_pixels: largest height times width to decode.

        Raises:
          Unreadable: no video stream, an unknown codec, or a picture that is too large.
          OSError, FFmpegError: the file cannot be opened.
        """
        if pathlib.Path(path).is_file() and os.path.getsize(path) == 0:
            raise Unreadable("the file is empty")
        self._path, self._max_pixels = path, max_pixels
        self._first_packet: tuple[int | None, ...] | None = None
        self._fresh = True
        self._open()
        try:
            stream, codec = self._stream, self._stream.codec_context
            self.time_base = Fraction(stream.time_base or Fraction(1, 1000))
            self.rate = float(stream.average_rate or 0) or 25.0
            self.aspect = float(stream.sample_aspect_ratio or 0) or 1.0
            self.codec = codec.codec.canonical_name
            self.reorders = bool(codec.has_b_frames)
            self.expected_packets = len(stream.index_entries)
            self.container, self.audio = self._container.format.name, audio_facts(self._container)
            if codec.width * codec.height > max_pixels:
                raise Unreadable(
                    f"a picture of {codec.width}x{codec.height} is larger than the limit of "
                    f"{max_pixels} pixels"
                )
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        # "file:" stops FFmpeg from reading a name such as "concat:a" or "http:b" as a protocol.
        try:
            self._container = av.open(
                f"file:{self._path}",
                metadata_errors="ignore",
                container_options={"protocol_whitelist": "file"},
            )
        except (InvalidDataError, EOFError) as error:
            raise Unreadable("it is not a video in any known format") from error
        try:
            self._stream = _first_video(self._container.streams)
            codec = self._stream.codec_context
            codec.thread_type = "NONE"
            codec.thread_count = 1  # workers are processes: threads within them only compete
            # The picture may turn out larger than the container declares: the decoder checks too.
            codec.options = {"max_pixels": str(self._max_pixels)}
        except BaseException:
            self._container.close()
            raise

    def packets(self) -> Iterator[av.Packet]:
        """Yields every packet that holds data, in file order, without decoding."""
        self._fresh = False
        for packet in self._container.demux(self._stream):
            if packet.size:
                self._first_packet = self._first_packet or _identity(packet)
                yield packet

    def frames_from_start(self) -> Iterator[av.VideoFrame]:
        """Yields all frames, in the order in which they are shown.

        Raises:
          FFmpegError: a packet after the first decoded frame is damaged.
        """
        return self._decode(self._packets_from_start())

    def frames_from_key(self, pts: int) -> Iterator[av.VideoFrame]:
        """Yields the frames from about the key packet at `pts`; the caller must check the first."""
        self._fresh = False
        self._container.seek(pts, stream=self._stream, backward=True)
        return self._decode(self._container.demux(self._stream))

    def close(self) -> None:
        """Releases the file. Calling it twice is harmless."""
        self._container.close()

    def _packets_from_start(self) -> Iterator[av.Packet]:
        if self._fresh:
            return self._container.demux(self._stream)
        if self._first_packet is not None:
            pts, dts = self._first_packet[:2]
            start = pts if dts is None else dts
            try:
                if start is not None:
                    self._container.seek(start, stream=self._stream, backward=True)
                    packets = self._container.demux(self._stream)
                    first = next(packets)
                    if _identity(first) == self._first_packet:
                        return itertools.chain([first], packets)
            except FFmpegError:
                pass  # no seeking in this format
        self.close()
        self._open()
        return self._container.demux(self._stream)

    def _decode(self, packets: Iterable[av.Packet]) -> Iterator[av.VideoFrame]:
        self._fresh = False
        started, trouble = False, None
        for packet in packets:  # the last one is empty and drains the frames held for reordering
            try:
                frames = self._stream.codec_context.decode(packet)
            except FFmpegError as error:
                # A recording may begin in the middle of a group of pictures: nothing is lost by
                # passing over what precedes the first frame.
                if started:
                    raise
                trouble = trouble or error
                continue
            for frame in frames:
                started = True
                yield frame
        if trouble is not None and not started:
            raise trouble


def _identity(packet: av.Packet) -> tuple[int | None, ...]:
    return packet.pts, packet.dts, packet.pos, packet.size


def _first_video(streams: Iterable[Stream]) -> AvVideoStream:
    unknown = False
    for stream in streams:
        if stream.type != "video" or Disposition.attached_pic in stream.disposition:
            continue
        # A stream of unknown codec has no codec context.
        if isinstance(stream, AvVideoStream) and stream.codec_context is not None:
            return stream
        unknown = True
    raise Unreadable("the codec of its video is unknown" if unknown else "it holds no video")
