"""Frames made smaller and compressed: as JPEG files, or as H.264 in short groups of pictures."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterable
from typing import Literal

import av
import cv2
import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

STORAGES = ("jpeg", "h264")
_LIMITS = {"short_side": (0, 4320), "jpeg_quality": (1, 100), "crf": (0, 51), "gop": (1, 250)}


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How frames and sound are stored.

    Attributes:
      storage: "jpeg" (one JPEG file per frame: reads fastest) or "h264" (smallest).
      short_side: pixels; larger frames are shrunk to it, smaller ones are left alone. 0 = never.
      jpeg_quality: 1 to 100.
      crf: H.264's constant rate factor, 0 (lossless) to 51.
      gop: frames from one H.264 key frame to the next.
      sound: whether the sound is kept.

    Raises:
      UserError: a value is unknown or out of range.
    """

    storage: Literal["jpeg", "h264"] = "jpeg"
    short_side: int = 256
    jpeg_quality: int = 75
    crf: int = 20
    gop: int = 8
    sound: bool = True

    def __post_init__(self) -> None:
        if self.storage not in STORAGES:
            known = nearest(self.storage, STORAGES)
            raise UserError(f"--storage={self.storage} does not exist; {known}")
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise UserError(f"--{name}={getattr(self, name)} must be from {low} to {high}")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that frames are stored at; even for H.264, whose chroma is halved."""
        short = min(height, width)
        target = min(self.short_side or short, short)
        unit = 2 if self.storage == "h264" else 1
        scale = target / short / unit
        return unit * max(1, round(height * scale)), unit * max(1, round(width * scale))


def shrink(frame_HxWx3: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a uint8 frame to (height, width), averaging over the pixels that fall together."""
    if frame_HxWx3.shape[:2] == size:
        return frame_HxWx3
    return cv2.resize(frame_HxWx3, size[::-1], interpolation=cv2.INTER_AREA)


def encode_jpeg(frame_HxWx3: np.ndarray, quality: int) -> bytes:
    """Compresses a uint8 RGB frame as JPEG with halved chroma, in tiles.

    After one or two blocks of 16 x 16 pixels, a number that divides those of a row, there is a
    restart marker, for `data_pipelines.decode.jpeg_tiles`. It takes about a tenth more room.
    """
    blocks = -(-frame_HxWx3.shape[1] // 16)
    options = {
        cv2.IMWRITE_JPEG_QUALITY: quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        cv2.IMWRITE_JPEG_RST_INTERVAL: 1 if blocks % 2 else 2,
    }
    bgr_HxWx3 = cv2.cvtColor(np.ascontiguousarray(frame_HxWx3), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr_HxWx3, list(itertools.chain(*options.items())))[1].tobytes()


def encode_h264(frames: Iterable[np.ndarray], size: tuple[int, int], crf: int, gop: int) -> bytes:
    """Compresses uint8 RGB frames of one even size as an MP4 file, in the order given.

    Every group of pictures is closed and starts at a multiple of `gop`; no frame refers to a later
    one. The bytes are a function of the arguments (and of the version of x264).
    """
    out = io.BytesIO()
    # Bit-exact: without the version of the library in the file.
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=25)
        (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {
            "crf": str(crf),
            "preset": "medium",
            "tune": "fastdecode",
            # Without "cpu-independent" x264's decisions depend on the processor's vector units.
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:open-gop=0"
            ":cpu-independent=1",
        }
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return out.getvalue()
