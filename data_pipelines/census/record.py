"""What is known of one file: a row of the census."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Literal

from data_pipelines.video import Caption

Status = Literal["readable", "bad", "other"]


@dataclasses.dataclass(frozen=True)
class Record:
    """One file, or one segment of a file.

    Attributes:
      path: the file, relative to the root, with forward slashes.
      split: the split it belongs to, "all" where there are none.
      class_name: "" for none.
      start: of the segment, seconds from the file's first frame; None for the beginning.
      end: of the segment, seconds from the file's first frame; None for the end.
      captions: sentences about the segment, by its clock. They may lie in a file that is read when
        they are first looked at.
      is_listed: whether training from the same folder or list would read it.
      status: "bad" cannot be read; "other" is no video and not meant to be one.
      reason: why it is bad or other, in one line; "" for a readable one.
      bytes: size of the file.
      frames: of the segment.
      seconds: how long the segment is shown, its last frame included.
      height: of the upright picture with square pixels.
      width: of the upright picture with square pixels.
      fps: frames per second, their mean where they vary.
      irregular: share of the intervals between frames, 0 to 1, that differ from the median one by
        more than a tenth of it and 2 ms (containers round times to milliseconds).
      decoded: frames decoded for the census.
      damaged: those of them that the decoder marks as damaged; training would show them.
      container: FFmpeg's name of the file format.
      codec: FFmpeg's name of the video codec.
      key_gap: longest time in the file from one keyframe to the next, in seconds; None if unknown.
      audio: FFmpeg's name of the audio codec, "" without sound.
      audio_rate: samples per second, 0 without sound.
      audio_channels: 0 without sound.
      digest: of the file's content; "" where no other file has as many bytes.
      copy_of: the path of the video kept in its place in the cleaned list, "" if it is kept itself.
    """

    path: str
    split: str = "all"
    class_name: str = ""
    start: float | None = None
    end: float | None = None
    captions: Sequence[Caption] = ()
    is_listed: bool = True
    status: Status = "readable"
    reason: str = ""
    bytes: int = 0
    frames: int = 0
    seconds: float = 0.0
    height: int = 0
    width: int = 0
    fps: float = 0.0
    irregular: float = 0.0
    decoded: int = 0
    damaged: int = 0
    container: str = ""
    codec: str = ""
    key_gap: float | None = None
    audio: str = ""
    audio_rate: int = 0
    audio_channels: int = 0
    digest: str = ""
    copy_of: str = ""

    def refused(self, reason: str, status: Status = "bad") -> Record:
        """Returns the same file with the reason why it is no readable video."""
        return dataclasses.replace(self, status=status, reason=reason)

    @property
    def name(self) -> str:
        """The path as it can be printed on one line: without control characters."""
        return self.path if self.path.isprintable() else json.dumps(self.path)[1:-1]
