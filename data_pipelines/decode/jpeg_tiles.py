"""Parts of JPEG pictures: of the tiles that it is stored in, only those that a crop touches.

What lies between two restart markers of a JPEG file can be decoded by itself (ITU-T T.81, E.1.4).
Where markers cut all rows of a picture at the same columns, that makes tiles: a file of some of
them is a JPEG file again, with another size and its markers counted anew. So are the tiles of
several pictures, one below the other, which spares setting up libjpeg for each. A decoder's time
goes into the compressed data: what is left out is spared.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import struct
from collections.abc import Sequence

import numpy as np
import simplejpeg

from data_pipelines.video import Box

_FRAME, _SCAN, _INTERVAL = 0xC0, 0xDA, 0xDD  # segments, by their second byte, and
_LENGTHS = {_FRAME: 15, _SCAN: 10, _INTERVAL: 2}  # bytes that they have for three components
_RESTART, _END = 0xD0, b"\xff\xd9"
_TALLEST = 65_500  # rows of pixels, for libjpeg


def decode_jpeg(jpeg: bytes | bytearray, height: int, width: int) -> np.ndarray:
    """Decodes a JPEG file by libjpeg-turbo's fastest methods.

    Args:
      jpeg: the file.
      height: of its picture in pixels; a larger one is not decoded.
      width: likewise.

    Returns:
      uint8 [height, width, 3] RGB.

    Raises:
      ValueError: it is damaged, or of another size.
    """
    shape = height, width, 3
    # libjpeg-turbo writes aligned rows past the cache, and who reads them next waits for memory.
    odd = np.empty(math.prod(shape) + 1, np.uint8)
    odd = odd[1 - odd.ctypes.data % 2 :][: math.prod(shape)].reshape(shape)
    found = simplejpeg.decode_jpeg(jpeg, fastdct=True, fastupsample=True, buffer=odd)
    if found.shape != shape:
        raise ValueError(f"it is {found.shape[:2]}, not {shape[:2]}")
    return odd


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How the pictures of one video are cut, all alike.

    Attributes:
      head: what each file begins with, up to its compressed data.
      size_at: where in it height and width stand.
      height: of a picture in pixels.
      width: likewise.
      tile: height and width of a tile in pixels; those at the right and bottom edge may show less.
      rows: tiles in a column.
      columns: tiles in a row.
    """

    head: bytes
    size_at: int
    height: int
    width: int
    tile: tuple[int, int]
    rows: int
    columns: int

    def around(self, box: Box) -> Box:
        """The least box of whole tiles, in tiles, that holds a box of pixels.

        Raises:
          ValueError: the box is not inside the picture.
        """
        y, x, h, w = box
        if not (0 <= y < y + h <= self.height and 0 <= x < x + w <= self.width):
            raise ValueError(f"box {box} is not inside a picture of {self.height} x {self.width}")
        top, left = y // self.tile[0], x // self.tile[1]
        return top, left, -(-(y + h) // self.tile[0]) - top, -(-(x + w) // self.tile[1]) - left

    def corner(self, tiles: Box) -> tuple[int, int]:
        """The pixel y, x at which a box of tiles begins."""
        return tiles[0] * self.tile[0], tiles[1] * self.tile[1]

    def at_once(self, tiles: Box, pixels: int) -> int:
        """Of how many pictures such tiles can be decoded together, for so many pixels in all."""
        height, width = tiles[2] * self.tile[0], tiles[3] * self.tile[1]
        return max(1, min(pixels // width, _TALLEST) // height)


class TiledJpegs:
    """N JPEG files, from which tiles are decoded."""

    def __init__(self, tiling: Tiling, jpegs: Sequence[bytes]) -> None:
        """Finds the tiles.

        Raises:
          ValueError: a file is not cut as `tiling` says.
        """
        if not all(jpeg.startswith(tiling.head) and jpeg.endswith(_END) for jpeg in jpegs):
            raise ValueError("a picture begins or ends in another way")
        scans = [jpeg[len(tiling.head) :] for jpeg in jpegs]
        self._tiling, self._scans = tiling, b"".join(scans)
        data = np.frombuffer(self._scans, np.uint8)
        ends_N = np.array(list(itertools.accumulate(map(len, scans))), np.int64)
        starts_N = np.concatenate([[0], ends_N[:-1]])
        # In compressed data a byte of 255 is followed by 0 where it is no marker.
        after_255 = np.flatnonzero(data[:-1] == 0xFF) + 1
        inner = after_255[data[after_255] & 0xF8 == _RESTART] + 1
        tiles = tiling.rows * tiling.columns
        if len(inner) == len(jpegs) * (tiles - 1):
            starts = np.column_stack([starts_N, inner.reshape(len(jpegs), -1)])
            ends = np.column_stack([starts[:, 1:], ends_N])
            counted = (data[starts[:, 1:] - 1] & 7 == np.arange(tiles - 1) % 8).all()
            if counted and (starts < ends).all():
                shape = len(jpegs), tiling.rows, tiling.columns
                self._starts, self._ends = starts.reshape(shape), ends.reshape(shape)
                return
        raise ValueError("a picture has other tiles, or they are in disorder")

    def decode(self, few: Sequence[int], tiles: Box) -> np.ndarray:
        """Decodes the same tiles of some of the files, and nothing else.

        Args:
          few: which n of the files.
          tiles: top, left, height and width, counted in tiles; inside the picture.

        Returns:
          uint8 [n, h, w, 3] RGB: whole tiles downwards, cut off at the picture's right edge. Inside
          the picture it equals `decode_jpeg` of the whole file bit for bit.

        Raises:
          ValueError: libjpeg notices that a file is damaged there.
        """
        top, left, high, wide = tiles
        begins = self._starts[few, top : top + high, left].ravel()
        # Every tile ends with a marker, the last one of a file with that of its end.
        ends = self._ends[few, top : top + high, left : left + wide].reshape(len(begins), wide)
        height, width = self._tiling.tile
        shape = len(begins) * height, min(self._tiling.width - left * width, wide * width)
        spliced = bytearray(self._tiling.head)
        size_at = self._tiling.size_at
        spliced[size_at : size_at + 4] = b"".join(side.to_bytes(2, "big") for side in shape)
        moved = len(spliced) + np.cumsum(ends[:, -1] - begins) - ends[:, -1]
        pieces = zip(begins.tolist(), ends[:, -1].tolist())
        spliced += b"".join([self._scans[begin:end] for begin, end in pieces])
        # Markers count modulo 8.
        numbers = np.arange(ends.size, dtype=np.uint8) % 8 + _RESTART
        np.frombuffer(spliced, np.uint8)[(ends + moved[:, None]).ravel() - 1] = numbers
        spliced[-2:] = _END
        stack = decode_jpeg(spliced, *shape)
        return stack.reshape(-1, high * height, *stack.shape[1:])


def tiling(jpeg: bytes) -> Tiling | None:
    """Reads from a file how its picture is tiled; None where it is not, or is no such file."""
    segments: dict[int, bytes] = {}
    at, size_at = 2, 0
    while _SCAN not in segments:
        start, name = jpeg[at : at + 1], int.from_bytes(jpeg[at + 1 : at + 2])
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        # Others have no length; nor is every byte read as a marker by all decoders alike.
        if start != b"\xff" or not (0xC0 <= name < 0xD0 or 0xDA <= name < 0xFF) or length < 2:
            return None
        segments[name] = jpeg[at + 4 : at + 2 + length]
        size_at = at + 5 if name == _FRAME else size_at
        at += 2 + length
    if any(len(segments.get(name, b"")) != length for name, length in _LENGTHS.items()):
        return None
    height, width, components = struct.unpack(">xHHB", segments[_FRAME][:6])
    (interval,) = struct.unpack(">H", segments[_INTERVAL])
    factors = segments[_FRAME][7::3]  # of sampling: 4 bits across, 4 bits down
    block = 8 * max(f & 15 for f in factors), 8 * max(f >> 4 for f in factors)
    if not components == segments[_SCAN][0] == 3 or not (
        height and width and interval and all(block)
    ):
        return None
    rows, blocks = -(-height // block[0]), -(-width // block[1])
    if blocks % interval or rows * block[0] > _TALLEST:
        return None
    return Tiling(
        head=jpeg[:at],
        size_at=size_at,
        height=height,
        width=width,
        tile=(block[0], block[1] * interval),
        rows=rows,
        columns=blocks // interval,
    )
