"""Frames turned to RGB and other formats by FFmpeg."""

from __future__ import annotations

from typing import Any

import av
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from data_pipelines.decode.limits import Unreadable, one_line


def converted(
    reformatter: VideoReformatter, frame: av.VideoFrame, pix_fmt: str, **how: Any
) -> av.VideoFrame:
    """Returns `frame` in another format, by one thread.

    Args:
      reformatter: keeps what FFmpeg prepares for frames of one kind.
      frame: decoded.
      pix_fmt: FFmpeg's name of the format.
      how: further arguments of `VideoReformatter.reformat`.

    Raises:
      Unreadable: FFmpeg has no way to turn its colours to RGB.
    """
    try:
        return reformatter.reformat(frame, format=pix_fmt, threads=1, **how)
    except FFmpegError as error:
        raise Unreadable(
            f"its colours ({frame.format.name}, matrix {frame.colorspace}) cannot be turned to "
            f"RGB: {one_line(error)}"
        ) from error
