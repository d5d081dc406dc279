"""The one video stream of a file: its packets, and its frames decoded forward from a point."""

from __future__ import annotations

import functools
import io
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream as AvVideoStream

from data_pipelines.decode.facts import audio_facts
from data_pipelines.decode.limits import Deadline, Limits, Unreadable


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
      skips: whether a frame with this `pts` may be missing from those that decoding delivers, if
        no other needs it: passing it over is cheaper than decoding it.
    """

    skips: Callable[[int], bool] = staticmethod(lambda pts: False)

    def __init__(self, path: str, content: bytes | None, limits: Limits) -> None:
        """Opens the file.

        Args:
          path: a local file. Its content cannot make FFmpeg open anything but local files.
          content: what to read in place of the file, None for the file.
          limits: what it may ask for; the time counts from here.

        Raises:
          Unreadable: no video stream, an unknown codec, or a picture that is too large.
          OSError, FFmpegError: the file cannot be opened.
        """
        if not content and (
            content is not None or (pathlib.Path(path).is_file() and os.path.getsize(path) == 0)
        ):
            raise Unreadable("the file is empty")
        if content is None and os.path.exists(path) and not os.path.isfile(path):
            raise Unreadable("it is not a regular file")  # a pipe would block for ever
        self._path, self._content, self._limits = path, content, limits
        self.restart_clock()
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
            if codec.width * codec.height > limits.pixels:
                raise Unreadable(
                    f"a picture of {codec.width}x{codec.height} is larger than the limit of "
                    f"{limits.pixels} pixels"
                )
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._container = open_container(self._path, self._content)
        try:
            self._stream = _first_video(self._container.streams)
            codec = self._stream.codec_context
            codec.thread_type = "NONE"
            codec.thread_count = 1  # workers are processes: threads within them only compete
            # The picture may turn out larger than the container declares: the decoder checks too.
            codec.options = {"max_pixels": str(self._limits.pixels)}
        except BaseException:
            self._container.close()
            raise

    def restart_clock(self) -> None:
        """Begins a new operation, which may take `limits.seconds` again."""
        self._deadline = Deadline(self._limits)

    def packets(self) -> Iterator[av.Packet]:
        """Yields every packet that holds data, in file order, without decoding.

        Raises:
          Unreadable: there are more than a file may have.
        """
        self._fresh = False
        count = 0
        for packet in self._container.demux(self._stream):
            if packet.size:
                self._deadline.check()
                count += 1
                if count > self._limits.frames:
                    raise Unreadable(f"it has more than {self._limits.frames} frames, the limit")
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
        codec, skips = self._stream.codec_context, False
        codec.skip_frame = "DEFAULT"
        for packet in packets:  # the last one is empty and drains the frames held for reordering
            self._deadline.check()
            skip = packet.pts is not None and self.skips(packet.pts)
            if skip != skips:
                codec.skip_frame, skips = "NONREF" if skip else "DEFAULT", skip
            try:
                frames = codec.decode(packet)
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


def open_container(path: str, content: bytes | None = None) -> InputContainer:
    """Opens a local file, or its content from memory; it cannot make FFmpeg open anything else.

    Raises:
      Unreadable: it is in no known format.
      OSError, FFmpegError: it cannot be opened.
    """
    # Until version 19 PyAV refused texts that are not UTF-8, unless it was told not to.
    old = int(av.__version__.partition(".")[0]) < 19
    lenient: dict[str, Any] = {"metadata_errors": "ignore"} if old else {}
    try:
        return av.open(
            # "file:" stops FFmpeg from reading a name such as "concat:a" or "http:b" as a protocol.
            f"file:{path}" if content is None else io.BytesIO(content),
            "r",
            # Not even a picture's name such as "a%d.jpg" stands for others.
            options={"pattern_type": "none"},
            container_options={"protocol_whitelist": "file", "format_whitelist": _formats()},
            **lenient,
        )
    except (InvalidDataError, EOFError, ArgumentError) as error:
        raise Unreadable("it is not a video in any known format") from error


# These are lists of other files, or devices: what they name would be read in a video's place.
_OTHER_FILES = {
    *("concat", "dash", "hls", "hds", "imf", "webm_dash_manifest", "vobsub", "sdp", "rtsp", "rtp"),
    *("sap", "lavfi", "alsa", "oss", "fbdev", "kmsgrab", "video4linux2,v4l2", "mpjpeg"),
}


@functools.cache
def _formats() -> str:
    """The formats that hold a video themselves, as FFmpeg wants them listed."""
    return ",".join(sorted(av.formats_available - _OTHER_FILES))


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
