"""From one video to one record."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from av.error import FFmpegError

from data_pipelines.errors import BadVideo
from data_pipelines.names import as_utf8
from data_pipelines.prepare.encode import Encoding, encode_h264, encode_jpeg, shrink
from data_pipelines.prepare.schema import Record
from data_pipelines.prepare.sound import NO_SOUND, Sound, sound_of
from data_pipelines.video import Source, Video

_BLOCK = 64  # frames decoded at a time, so that a long video does not fill the memory

Transcoded = tuple[bytes, dict[str, Any]]
"""A stored record, and what its row of the index says of its content."""


@dataclasses.dataclass(frozen=True)
class Transcoder:
    """Turns videos into records; a picklable function for isolated processes.

    Attributes:
      splits: the input.
      encoding: how it is stored.
    """

    splits: Mapping[str, Source]
    encoding: Encoding

    def __call__(self, key: tuple[str, int]) -> Transcoded | BadVideo:
        """Transcodes the video at (split, index), or returns why it cannot be read."""
        split, index = key
        source = self.splits[split]
        info = source.info(index)
        place = info.path or info.id
        if as_utf8(info.id) != info.id:
            return BadVideo(place, "its name is not UTF-8, which records cannot hold: rename it")
        try:
            captions = tuple(info.captions)
            with contextlib.closing(source.open(index)) as video:
                sound = self._sound(video, place)
                size = self.encoding.size(*video.size)
                frames = (shrink(frame, size) for frame in _frames(video, place))
                jpegs, h264 = (), b""
                if self.encoding.storage == "jpeg":
                    jpegs = tuple(encode_jpeg(f, self.encoding.jpeg_quality) for f in frames)
                else:
                    h264 = encode_h264(frames, size, self.encoding.crf, self.encoding.gop)
        except BadVideo as bad:
            return bad
        record = Record(
            id=info.id,
            label=info.label,
            captions=captions,
            times=tuple(video.times.tolist()),
            height=size[0],
            width=size[1],
            jpegs=jpegs,
            h264=h264,
            sound=sound.file,
            sound_start=sound.start,
            labels=info.labels,
        )
        data = record.to_bytes()
        return data, {
            "captions": [dataclasses.asdict(caption) for caption in captions],
            "frames": len(video.times),
            "seconds": float(video.times[-1]),
            "height": size[0],
            "width": size[1],
            "sound": sound.codec,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    def _sound(self, video: Video, place: str) -> Sound:
        if not self.encoding.sound:
            return NO_SOUND
        try:
            return sound_of(video)
        except (FFmpegError, ValueError, OSError) as error:
            why = " ".join(str(error).split())
            raise BadVideo(
                place, f"its sound cannot be copied ({why}); --no-sound keeps the pictures alone"
            ) from error


def _frames(video: Video, place: str) -> Iterator[np.ndarray]:
    for start in range(0, len(video.times), _BLOCK):
        for frame in video.frames(range(start, min(start + _BLOCK, len(video.times)))):
            if frame.shape[:2] != video.size:
                raise BadVideo(
                    place, f"the size of its picture changes: {video.size}, {frame.shape[:2]}"
                )
            yield frame
