"""The sound of a video, cut to it and kept in its own small file."""

from __future__ import annotations

import dataclasses
import io
import math

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from data_pipelines.decode import VideoFileReader
from data_pipelines.decode.sound import first_track
from data_pipelines.decode.stream import open_container
from data_pipelines.sources.record_video import H264Frames, JpegFrames
from data_pipelines.video import Video

_MARGIN = 0.1  # seconds kept before and after: decoders need some packets to get going
_RATE = 48_000  # samples per second of sound that is in no file

# Matroska with neither random identifiers nor the library's version: equal input, equal bytes.
_EXACT = {"fflags": "+bitexact"}


@dataclasses.dataclass(frozen=True)
class Sound:
    """One audio track.

    Attributes:
      file: a Matroska file, b"" for silence.
      start: seconds of video at which its time 0 falls.
      codec: FFmpeg's name of the codec, "" for silence.
    """

    file: bytes
    start: float
    codec: str


NO_SOUND = Sound(b"", 0.0, "")


def sound_of(video: Video) -> Sound:
    """Takes the sound out of an opened video.

    That of a file is copied packet by packet, that of a record as it is. What else can be heard, as
    of a rendered video, is written as FLAC: one channel of 48 kHz.

    Returns:
      The first audio track, `NO_SOUND` where nothing of it, in a known codec, falls into the video.

    Raises:
      av.FFmpegError, ValueError: the sound is damaged, or in a codec that Matroska does not hold.
      BadVideo: reading it takes too long.
    """
    end = float(video.times[-1]) + _MARGIN
    if isinstance(video, VideoFileReader):
        with video.container() as container:
            return _cut(container, video.clock, video.clock + end)
    if isinstance(video, JpegFrames | H264Frames):
        if not video.sound.file:
            return NO_SOUND
        with open_container("", video.sound.file) as container:
            track = first_track(container)
            codec = track.codec_context.name if track else ""
        return Sound(video.sound.file, video.sound.start, codec)
    wave_S = video.audio(0.0, math.ceil(end * _RATE), _RATE)
    return NO_SOUND if wave_S is None else Sound(_encode(wave_S), 0.0, "flac")


def _cut(container: InputContainer, start: float, end: float) -> Sound:
    """Copies the packets of a stretch of time, in seconds on the clock of the file."""
    out = io.BytesIO()
    track = first_track(container)
    if track is None or track.time_base is None:
        return NO_SOUND
    packets = _between(container, track, start - _MARGIN, end)
    if not packets:
        return NO_SOUND
    first = packets[0].pts
    assert first is not None
    with av.open(out, "w", format="matroska", options=_EXACT) as copy:
        stream = copy.add_stream_from_template(track)
        for packet in packets:
            packet.stream = stream
            packet.pts = packet.dts = (packet.pts or 0) - first
            copy.mux(packet)
    return Sound(out.getvalue(), float(first * track.time_base) - start, track.codec_context.name)


def _encode(wave_S: np.ndarray) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="matroska", options=_EXACT) as container:
        stream = container.add_stream("flac", rate=_RATE, layout="mono")
        whole_S = np.round(np.clip(wave_S, -1.0, 1.0) * 32767.0).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole_S[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = _RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def _between(
    container: InputContainer, track: AudioStream, start: float, end: float
) -> list[av.Packet]:
    unit = float(track.time_base or 0)
    found = []
    for packet in container.demux(track):
        if not packet.size or packet.pts is None:
            continue
        if packet.pts * unit >= end:
            break
        if (packet.pts + (packet.duration or 0)) * unit > start:
            found.append(packet)
    return found
