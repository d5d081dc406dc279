"""Crops and resizing of clips on the host: one box for all frames of a clip.

One box per clip is what keeps a clip's motion intact: CVRL found a crop drawn anew for every frame
harmful (Qian et al., "Spatiotemporal Contrastive Video Representation Learning", CVPR 2021,
section 3.3). Frames are uint8 RGB, and are cropped before they are resized, which costs least.

Resizing is bilinear without antialiasing and with pixel centres at half-integers, as CVRL's is. One
difference: OpenCV rounds the interpolated value, where CVRL's TensorFlow code truncates it, so
values here are higher by half a grey level on average.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import cv2
import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.video import Box, Video


def random_resized_crop_box(
    rng: np.random.Generator,
    height: int,
    width: int,
    area: tuple[float, float] = (0.3, 1.0),
    aspect: tuple[float, float] = (0.5, 2.0),
    attempts: int = 100,
) -> Box:
    """Draws the crop box of one clip by the law of TensorFlow's sampler of distorted boxes.

    The aspect ratio is uniform over `aspect`; given it, the crop's height is uniform over all
    heights that keep the crop inside the frame and its area inside `area`; the place is uniform.
    (So the area itself is not uniform: small crops are the more frequent ones.) An attempt that
    meets no such height is repeated; when all fail, the crop is the whole frame.

    Args:
      rng: the random generator to draw from.
      height: frame height H in pixels, at least 1.
      width: frame width W in pixels, at least 1.
      area: least and greatest area of the crop, as a fraction of the frame's, in (0, 1].
      aspect: least and greatest width / height of the crop in pixels, above 0.
      attempts: number of attempts before the whole frame is taken.

    Returns:
      (y, x, h, w) with 0 <= y <= H - h and 0 <= x <= W - w.

    Raises:
      UserError: a range is empty or out of bounds, or the frame has no pixels.
    """
    if not 0 < area[0] <= area[1] <= 1:
        raise UserError(f"crop area range is {area}; it must be (low, high), 0 < low <= high <= 1")
    if not 0 < aspect[0] <= aspect[1]:
        raise UserError(f"crop aspect range is {aspect}; it must be (low, high), 0 < low <= high")
    if height < 1 or width < 1:
        raise UserError(f"cannot crop a frame of {height} x {width} pixels")
    least, greatest = area[0] * height * width, area[1] * height * width
    for _ in range(attempts):
        ratio = rng.uniform(*aspect)
        low = max(1, round(math.sqrt(least / ratio)))
        high = min(height, round(width / ratio), round(math.sqrt(greatest / ratio)))
        if low > high:
            continue
        h = int(rng.integers(low, high + 1))
        w = max(1, round(h * ratio))
        # Rounding to whole pixels can step over a bound that the exact crop keeps.
        if w <= width and least <= h * w <= greatest:
            y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return int(y), int(x), h, w
    return 0, 0, height, width


def scale_jittered_crop_box(rng: np.random.Generator, height: int, width: int) -> Box:
    """Draws the crop box of one clip as the released code of VATT and MMV does.

    With probability 0.8 height and width of the frame are stretched, each by its own factor,
    uniform over 0.8 to 1.2. Of the stretched frame a square as large as fits is cut, at a uniform
    place. The box is that square in pixels of the frame as it is.

    Args:
      rng: the random generator to draw from.
      height: frame height H in pixels, at least 1.
      width: frame width W in pixels, at least 1.

    Returns:
      (y, x, h, w) with 0 <= y <= H - h and 0 <= x <= W - w.
    """
    stretch = rng.uniform(0.8, 1.2, size=2) if rng.random() < 0.8 else np.ones(2)
    side = min(height * stretch[0], width * stretch[1])
    h, w = (max(1, round(n)) for n in side / stretch)
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    return int(y), int(x), h, w


def _frame_size(frames: Sequence[np.ndarray]) -> tuple[int, int]:
    sizes = {frame.shape[:2] for frame in frames}
    if len(sizes) != 1:
        raise ValueError(f"the frames of a clip must have one size, these have {sorted(sizes)}")
    return sizes.pop()


def check_inside(box: Box, height: int, width: int) -> None:
    """Raises ValueError unless a box of at least one pixel lies inside a frame."""
    y, x, h, w = box
    if not (0 <= y < y + h <= height and 0 <= x < x + w <= width):
        raise ValueError(f"crop box {box} is not inside a frame of {height} x {width} pixels")


def resize_crop(frame_HxWx3: np.ndarray, box: Box, out_SxSx3: np.ndarray) -> None:
    """Cuts a box out of a frame and resizes it, bilinear without antialiasing, to fill `out_SxSx3`.

    Args:
      frame_HxWx3: uint8.
      box: (y, x, h, w) in pixels, inside the frame.
      out_SxSx3: uint8, overwritten.

    Raises:
      ValueError: the box is not inside the frame.
    """
    check_inside(box, *frame_HxWx3.shape[:2])
    y, x, h, w = box
    cut = frame_HxWx3[y : y + h, x : x + w]
    cv2.resize(cut, out_SxSx3.shape[1::-1], out_SxSx3, interpolation=cv2.INTER_LINEAR)


Cutter = Callable[[Box, np.ndarray], None]
"""Cuts a box out of a picture and resizes it to fill an array, as `resize_crop` does."""

Part = tuple[int, Cutter, tuple[int, int]]
"""A frame's index, what cuts crops out of some of it or all, and the y, x where that begins."""

Parts = Callable[[Mapping[int, Box]], Iterable[Part]]
"""Index of each frame -> what is wanted of it; gives for each, in any order, a part with that."""


def crops_of_parts(
    parts: Parts, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
) -> np.ndarray:
    """What `Video.crops` promises, frame by frame: each is cut while it is still in the cache.

    Args:
      parts: gives what is wanted; each is done with when the next is asked for.
      places: as in `Video.crops`.
      size: likewise.
      out: likewise.
    """
    rows: dict[int, list[int]] = {}
    for row, (index, _) in enumerate(places):
        rows.setdefault(index, []).append(row)
    crops_NxSxSx3 = np.empty((len(places), size, size, 3), np.uint8) if out is None else out
    wanted = {index: _box_around([places[row][1] for row in rows[index]]) for index in rows}
    for index, cut, (top, left) in parts(wanted):
        for row in rows[index]:
            y, x, h, w = places[row][1]
            cut((y - top, x - left, h, w), crops_NxSxSx3[row])
    return crops_NxSxSx3


def _box_around(boxes: Sequence[Box]) -> Box:
    if len(boxes) == 1:
        return boxes[0]
    top, left = min(box[0] for box in boxes), min(box[1] for box in boxes)
    bottom, right = max(y + h for y, _, h, _ in boxes), max(x + w for _, x, _, w in boxes)
    return top, left, bottom - top, right - left


def whole_frames(frames: Iterable[tuple[int, np.ndarray]]) -> Iterator[Part]:
    """Frames with their indices, as parts."""
    return ((index, functools.partial(resize_crop, frame), (0, 0)) for index, frame in frames)


def crops_of_frames(
    video: Video, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
) -> np.ndarray:
    """What `Video.crops` promises, by `Video.frames`; for videos that know no cheaper way."""
    return crops_of_parts(
        lambda wanted: whole_frames(zip(wanted, video.frames(list(wanted)))), places, size, out
    )


def evaluation_crops(
    frames: Sequence[np.ndarray], size: int, crops: int, resize_short: int | None = None
) -> np.ndarray:
    """Resizes the short side of a clip and takes its fixed test crops.

    One crop is the central one. Three are the start, centre and end of the long side, each central
    on the short side (CVRL: `size` 256, 3 crops, `resize_short` equal to `size`).

    Args:
      frames: T frames, uint8 [H, W, 3], all of one size.
      size: side of the crops in pixels, at least 1.
      crops: 1 or 3.
      resize_short: length to which the short side is resized first, at least `size`; None: `size`.

    Returns:
      uint8 [crops, T, size, size, 3], bilinear without antialiasing.

    Raises:
      UserError: `crops` or `resize_short` is out of range.
      ValueError: the frames differ in size.
    """
    short = size if resize_short is None else resize_short
    if crops not in (1, 3):
        raise UserError(f"number of evaluation crops is {crops}; it must be 1 or 3")
    if short < size:
        raise UserError(f"resize_short is {short}; it must be at least the crop size {size}")
    height, width = _frame_size(frames)
    new_h = max(short, height * short // width)
    new_w = max(short, width * short // height)
    centre = np.array([(new_h - size) // 2, (new_w - size) // 2])
    if crops == 1:
        corners = [centre]
    else:
        along = np.array([new_h > new_w, new_h <= new_w])
        end = np.array([new_h - size, new_w - size])
        corners = [np.where(along, place, centre) for place in (0 * end, centre, end)]
    views_CxTxSxSx3 = np.empty((crops, len(frames), size, size, 3), np.uint8)
    for t, frame in enumerate(frames):
        resized = frame
        if (height, width) != (new_h, new_w):
            resized = cv2.resize(frame, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
        for view, (y, x) in zip(views_CxTxSxSx3, corners):
            view[t] = resized[y : y + size, x : x + size]
    return views_CxTxSxSx3
