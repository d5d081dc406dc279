"""What a video file says of itself beyond its frames."""

from __future__ import annotations

import dataclasses

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer


@dataclasses.dataclass(frozen=True)
class AudioFacts:
    """The first audio track of a file.

    Attributes:
      codec: FFmpeg's name of the codec, "unknown" where it knows none.
      rate: samples per second, 0 if unknown.
      channels: 0 if unknown.
    """

    codec: str
    rate: int
    channels: int


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """A whole file, also where only a segment of it was opened.

    Attributes:
      container: FFmpeg's name of the file format.
      codec: FFmpeg's name of the video codec.
      rate: frames per second as the file claims, 25 where it claims nothing.
      seconds: from the first frame to the last.
      key_times: float64 [K] seconds from the first frame, increasing: where decoding may start.
        Empty where the file's timestamps do not tell.
      audio: its first audio track, None without sound.
    """

    container: str
    codec: str
    rate: float
    seconds: float
    key_times: np.ndarray
    audio: AudioFacts | None


def audio_facts(container: InputContainer) -> AudioFacts | None:
    """Looks at the first audio track, without decoding it."""
    track = next((s for s in container.streams if isinstance(s, AudioStream)), None)
    if track is None:
        return None
    # A track of unknown codec has no codec context, and then not the attributes either.
    context = track.codec_context
    if context is None:
        return AudioFacts("unknown", 0, 0)
    return AudioFacts(context.codec.canonical_name, context.sample_rate or 0, context.channels or 0)
