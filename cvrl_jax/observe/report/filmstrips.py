"""Video as images that any browser shows: looping animations and strips of frames."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

_GAP = 3  # pixels between frames
_QUALITY = 60
_MAX_FRAMES = 32


def animation(clip_TxHxWx3: np.ndarray, fps: float, side: int = 112) -> str:
    """The clip as an endlessly looping WebP data URI.

    Args:
        clip_TxHxWx3: uint8 [T, H, W, 3]. Of more than 32 frames an even part is played, slower.
        fps: Frames per second of the clip.
        side: Longest side in pixels; smaller clips keep their size.
    """
    frames = [_shrink(frame, side) for frame in _spread(clip_TxHxWx3, _MAX_FRAMES)]
    duration = 1000 * len(clip_TxHxWx3) / (len(frames) * fps)
    return _webp(
        frames[0], save_all=True, append_images=frames[1:], duration=round(duration), loop=0
    )


def filmstrip(clip_TxHxWx3: np.ndarray, count: int, rows: int = 1, side: int = 80) -> str:
    """Frames of the clip, evenly spread in time, side by side, as a WebP data URI.

    Args:
        clip_TxHxWx3: uint8 [T, H, W, 3].
        count: How many frames to show (fewer if the clip has fewer).
        rows: Rows to lay them out in, filled from left to right, then down.
        side: Longest side of one frame in pixels; smaller frames keep their size.
    """
    frames = [_shrink(frame, side) for frame in _spread(clip_TxHxWx3, count)]
    columns = -(-len(frames) // rows)
    rows = -(-len(frames) // columns)
    width, height = frames[0].size
    size = (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP)
    strip = Image.new("RGBA", size, (0, 0, 0, 0))
    for i, frame in enumerate(frames):
        strip.paste(frame, (i % columns * (width + _GAP), i // columns * (height + _GAP)))
    return _webp(strip)


def _spread(clip_TxHxWx3: np.ndarray, count: int) -> np.ndarray:
    """At most `count` frames from the first to the last, evenly."""
    count = min(count, len(clip_TxHxWx3))
    return clip_TxHxWx3[np.linspace(0, len(clip_TxHxWx3) - 1, count).round().astype(int)]


def _shrink(frame_HxWx3: np.ndarray, side: int) -> Image.Image:
    image = Image.fromarray(frame_HxWx3)
    image.thumbnail((side, side))
    return image


def _webp(image: Image.Image, **options) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=_QUALITY, method=3, **options)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
