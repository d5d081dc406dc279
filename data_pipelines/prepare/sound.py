"""The sound of a video file, cut to the video and kept in its own small file."""

from __future__ import annotations

import dataclasses
import io

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from data_pipelines.decode.stream import open_container

_MARGIN = 0.1  # seconds kept before and after: decoders need some packets to get going

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


def cut_sound(path: str, start: float, end: float) -> Sound:
    """Copies the packets of the first audio track that fall into a stretch of time.

    Args:
      path: the video file.
      start: of the video, seconds on the file's clock.
      end: of the video, seconds on the file's clock.

    Returns:
      The track, `NO_SOUND` where no sound of a known codec falls into the stretch.

    Raises:
      av.FFmpegError, ValueError: the sound is damaged, or in a codec that Matroska does not hold.
    """
    out = io.BytesIO()
    with open_container(path) as container:
        track = next((s for s in container.streams.audio if s.codec_context is not None), None)
        if track is None or track.time_base is None:
            return NO_SOUND
        packets = _between(container, track, start - _MARGIN, end + _MARGIN)
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
        return Sound(
            out.getvalue(), float(first * track.time_base) - start, track.codec_context.name
        )


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
