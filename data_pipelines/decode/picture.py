"""A decoded frame as an upright RGB picture with square pixels."""

from __future__ import annotations

import functools
import io

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import ExifTags, Image

from data_pipelines.crops import Cutter, resize_crop
from data_pipelines.decode.colours import converted
from data_pipelines.decode.limits import Unreadable
from data_pipelines.decode.planes import PlaneCrops

_SQUARE = 0.01  # pixels this close to square are not worth a resampling


class PictureMaker:
    """Converts the frames of one video; keeps the colour converters between frames.

    Attributes:
      size: height and width of the pictures.
    """

    def __init__(
        self, first: av.VideoFrame, aspect: float, max_pixels: int, file: str | io.BytesIO
    ) -> None:
        """Takes the video's first frame, the width over height of a pixel, a limit and the file.

        The first frame tells how all are turned.

        Raises:
          Unreadable: the picture with square pixels would be too large.
        """
        self._stored = first.height, first.width
        square = abs(aspect - 1.0) < _SQUARE
        self._width = first.width if square else max(1, round(first.width * aspect))
        if first.height * self._width > max_pixels:
            raise Unreadable(
                f"a picture of {self._width}x{first.height} with square pixels is too large"
            )
        self._matrix_3x3 = display_matrix(first, file)
        turned = _is_quarter_turn(self._matrix_3x3)
        self.size = (self._width, first.height) if turned else (first.height, self._width)
        self._reformatter, self._planes = VideoReformatter(), PlaneCrops()

    def fits(self, frame: av.VideoFrame) -> bool:
        """Whether `frame` is as large as the first."""
        return (frame.height, frame.width) == self._stored

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Returns uint8 [H, W, 3] RGB: pixels made square first, then turned upright."""
        picture_HxWx3 = converted(self._reformatter, frame, "rgb24").to_ndarray()
        if self._width != frame.width:
            method = cv2.INTER_AREA if self._width < frame.width else cv2.INTER_LINEAR
            shape = self._width, frame.height
            picture_HxWx3 = cv2.resize(picture_HxWx3, shape, interpolation=method)
        return turn_upright(picture_HxWx3, self._matrix_3x3)

    def cutter(self, frame: av.VideoFrame) -> Cutter:
        """Returns what cuts crops out of the picture, which is not made where that is cheaper."""
        cut = None
        if self._matrix_3x3 is None and self._width == frame.width:
            cut = self._planes.cutter(frame)
        return cut or functools.partial(resize_crop, self(frame))


def display_matrix(frame: av.VideoFrame, file: str | io.BytesIO) -> np.ndarray | None:
    """Returns the frame's display matrix, int32 [3, 3], or None without one.

    Args:
      frame: decoded.
      file: that it comes from.
    """
    # PyAV ties a frame whose side data is read into a reference cycle, which would keep its pixels
    # until the next collection: a worker grew by a sixth over 5,000 clips. So a tiny copy is asked.
    copy = converted(
        VideoReformatter(), frame, "gray", width=16, height=16, interpolation=Interpolation.POINT
    )
    try:
        data = copy.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV reads no side data at all where there is a kind that it does not know
        return _exif_matrix(file, copy.rotation)
    if data is None:
        return None
    return np.frombuffer(bytes(data), np.int32)[:9].reshape(3, 3)


# (a, b, c, d) of `turn_upright` for each value of EXIF's Orientation (CIPA DC-008, 4.6.5).
_ORIENTATIONS = {
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
# Likewise for a rotation of the frame, in degrees counterclockwise, that is no more than that.
_ROTATIONS = {-180: 3, 180: 3, -90: 6, 90: 8}


def _exif_matrix(file: str | io.BytesIO, rotation: int) -> np.ndarray | None:
    """As `display_matrix`, for pictures with EXIF; `rotation` is what FFmpeg made of it."""
    try:
        with Image.open(file, formats=("JPEG", "PNG", "TIFF", "WEBP")) as picture:
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # a video with EXIF
        orientation = _ROTATIONS.get(rotation, 1)
    if orientation not in _ORIENTATIONS:
        return None
    a, b, c, d = _ORIENTATIONS[orientation]
    return np.array([[a, b, 0], [c, d, 0], [0, 0, 1]], np.int32)


def turn_upright(picture_HxWx3: np.ndarray, matrix_3x3: np.ndarray | None) -> np.ndarray:
    """Turns and mirrors a picture as its display matrix asks, in right angles.

    The matrix maps a point (x, y), y downwards, to (a x + c y, b x + d y), where its first two
    rows begin with (a, b) and (c, d) (ISO/IEC 14496-12, 8.3.2). Other angles, and matrices that
    are not invertible, leave the picture as it is.

    Args:
      picture_HxWx3: uint8 [H, W, 3].
      matrix_3x3: int32 [3, 3], or None for nothing to do.

    Returns:
      uint8 [H, W, 3], or [W, H, 3] after a quarter turn; contiguous.
    """
    if matrix_3x3 is None:
        return picture_HxWx3
    (a, b), (c, d) = matrix_3x3[:2, :2].tolist()
    if a and d and not b and not c:
        flip_x, flip_y = a < 0, d < 0
    elif _is_quarter_turn(matrix_3x3):
        picture_HxWx3 = picture_HxWx3.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    else:
        return picture_HxWx3
    picture_HxWx3 = picture_HxWx3[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(picture_HxWx3)


def _is_quarter_turn(matrix_3x3: np.ndarray | None) -> bool:
    if matrix_3x3 is None:
        return False
    (a, b), (c, d) = matrix_3x3[:2, :2].tolist()
    return bool(b and c and not a and not d)
