"""Crops resized plane by plane: of a frame only what a crop shows becomes RGB, at the crop's size.

What a decoder gives is a plane of brightness and two of colour, these mostly at half the
resolution. To resize them first costs half of turning a whole frame to RGB and resizing that, and
a crop then has the colour resolution that a picture of its size in the same format has. Colours
beyond RGB's range are cut off after they are resized, where whole frames' would be before.
"""

from __future__ import annotations

import functools

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from data_pipelines.crops import Cutter, check_inside
from data_pipelines.decode.colours import converted
from data_pipelines.video import Box

_FORMATS = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}


class PlaneCrops:
    """Cuts crops out of the frames of one video; keeps between them what it resizes into."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._small = av.VideoFrame(1, 1, "gray")
        self._small_planes: list[np.ndarray] = []

    def cutter(self, frame: av.VideoFrame) -> Cutter | None:
        """Returns what cuts crops out of a frame; None where it is not stored as planes of bytes.

        The planes are cut at whole pixels of their own, outwards: where they have half as many,
        colours may lie by half a pixel of theirs beside brightness. What is returned raises
        ValueError for a box outside the frame, Unreadable for colours that cannot become RGB.
        """
        planes = frame.planes
        if frame.format.name not in _FORMATS or any(plane.line_size < 0 for plane in planes):
            return None
        return functools.partial(self._cut, frame, [_array(plane) for plane in planes])

    def _cut(
        self, frame: av.VideoFrame, planes: list[np.ndarray], box: Box, out_SxSx3: np.ndarray
    ) -> None:
        height, width = planes[0].shape
        check_inside(box, height, width)
        size, (y, x, h, w), small = len(out_SxSx3), box, self._small
        if small.width != size or small.format.name != frame.format.name:
            small = self._small = av.VideoFrame(size, size, frame.format.name)
            self._small_planes = [_array(plane) for plane in small.planes]
        for plane, resized in zip(planes, self._small_planes):
            down, across = -(-height // plane.shape[0]), -(-width // plane.shape[1])
            rows = slice(y // down, -(-(y + h) // down))
            columns = slice(x // across, -(-(x + w) // across))
            cv2.resize(plane[rows, columns], resized.shape[::-1], resized)
        small.colorspace, small.color_range = frame.colorspace, frame.color_range
        out_SxSx3[:] = converted(self._reformatter, small, "rgb24").to_ndarray()


def _array(plane: VideoPlane) -> np.ndarray:
    """A plane as uint8 [height, width], in place."""
    return np.ndarray(
        (plane.height, plane.width), np.uint8, memoryview(plane), 0, (plane.line_size, 1)
    )
