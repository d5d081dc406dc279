import pathlib

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.crops import crops_of_frames, resize_crop
from data_pipelines.decode import open_video
from data_pipelines.decode.planes import PlaneCrops
from data_pipelines.video import Box
from tests.data_pipelines.decode.strategies import boxes

FORMATS = ["yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"]
BT709, FULL = 1, 2  # of AVColorSpace and AVColorRange


def filled(pix_fmt: str, height: int, width: int, *values: np.ndarray | int) -> av.VideoFrame:
    """A frame whose planes have these values; arrays are cut to a plane's size."""
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, value in zip(frame.planes, values, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        whole = np.broadcast_to(np.asarray(value, np.uint8), (height, width))
        rows[:, : plane.width] = whole[: plane.height, : plane.width]
    return frame


def cut(frame: av.VideoFrame, box: Box, size: int) -> np.ndarray:
    out = np.zeros((size, size, 3), np.uint8)
    cutter = PlaneCrops().cutter(frame)
    assert cutter is not None
    cutter(box, out)
    return out


def cut_from_rgb(frame: av.VideoFrame, box: Box, size: int) -> np.ndarray:
    out = np.zeros((size, size, 3), np.uint8)
    resize_crop(frame.to_ndarray(format="rgb24"), box, out)
    return out


def bilinear(picture_HxW: np.ndarray, size: int) -> np.ndarray:
    """Half-pixel centres, without antialiasing, in float64."""
    for _ in range(2):  # rows, then columns, which the transpose makes rows
        length = len(picture_HxW)
        at = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.minimum(at.astype(int), max(0, length - 2))
        share = (at - low)[:, None]
        high = picture_HxW[np.minimum(low + 1, length - 1)]
        picture_HxW = ((1 - share) * picture_HxW[low] + share * high).T
    return picture_HxW


@given(boxes(70), st.sampled_from(FORMATS), st.integers(1, 40), st.integers(0, 99))
def test_brightness_is_bilinear_for_any_box(size_and_box, pix_fmt, size, seed):
    height, width, box = size_and_box
    luma = np.random.default_rng(seed).integers(16, 236, (height, width), np.uint8)
    got = cut(filled(pix_fmt, height, width, luma, 128, 128), box, size)
    y, x, h, w = box
    expected = bilinear(luma[y : y + h, x : x + w].astype(np.float64), size)
    if "j" not in pix_fmt:
        expected = (expected - 16) * 255 / 219
    # OpenCV's weights have 11 bits, its result is rounded, and then so are the colours.
    np.testing.assert_allclose(got, np.repeat(expected[..., None], 3, 2), atol=2.0)


@given(boxes(70), st.sampled_from(FORMATS), st.integers(2, 40))
def test_colours_lie_where_brightness_does(size_and_box, pix_fmt, size):
    height, width, box = size_and_box
    down, across = np.mgrid[:height, :width]
    frame = filled(pix_fmt, height, width, 120, 100 + across, 100 + down)
    got, expected = cut(frame, box, size), cut_from_rgb(frame, box, size)
    # A ramp of one level a pixel of its plane, of which blue takes 2.0: half a pixel of the plane
    # where it is cut outwards, and half a pixel of the crop where its colours are halved.
    coarse = 2.1 * (0.5 + 0.5 * max(box[2:]) / size) + 2
    assert np.abs(got.astype(int) - expected).max() <= coarse


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize(("colorspace", "color_range"), [(2, 0), (BT709, 0), (5, 1), (9, FULL)])
def test_colours_are_those_that_the_frame_says(pix_fmt, colorspace, color_range):
    frame = filled(pix_fmt, 32, 48, 90, 70, 190)
    frame.colorspace, frame.color_range = colorspace, color_range
    (expected,) = np.unique(frame.to_ndarray(format="rgb24").reshape(-1, 3), axis=0)
    np.testing.assert_array_equal(cut(frame, (3, 5, 21, 30), 16), np.tile(expected, (16, 16, 1)))


def test_one_reader_cuts_frames_of_any_format_and_crops_of_any_size():
    crops = PlaneCrops()
    for pix_fmt, size in [("yuv420p", 8), ("yuv420p", 9), ("yuv444p", 9), ("yuv420p", 8)]:
        frame = filled(pix_fmt, 20, 30, 120, 90, 160)
        cutter, out = crops.cutter(frame), np.zeros((size, size, 3), np.uint8)
        assert cutter is not None
        cutter((2, 3, 15, 20), out)
        # FFmpeg rounds in other ways where a row is odd.
        expected = cut_from_rgb(frame, (2, 3, 15, 20), size)
        np.testing.assert_allclose(out, expected, atol=2)


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gray", "yuv420p10le", "nv12", "gbrp"])
def test_other_formats_are_not_taken(pix_fmt):
    assert PlaneCrops().cutter(av.VideoFrame(16, 16, pix_fmt)) is None


@pytest.mark.parametrize("box", [(0, 0, 17, 4), (-1, 0, 4, 4), (0, 30, 4, 3), (3, 3, 0, 3)])
def test_a_box_outside_the_frame_is_refused(box):
    with pytest.raises(ValueError, match="not inside a frame of 16 x 32"):
        cut(filled("yuv420p", 16, 32, 1, 2, 3), box, 8)


def test_real_clips_look_as_cut_from_whole_frames(real_data: pathlib.Path) -> None:
    for path in sorted((real_data / "jhmdb").glob("*/*.avi"))[::40]:
        with open_video(str(path)) as video:
            places = [(index, (11, 7, 200, 231)) for index in (0, 9, 14)]
            got, expected = video.crops(places, 112), crops_of_frames(video, places, 112)
        off = np.abs(got.astype(int) - expected)
        assert off.mean() < 3
        assert np.percentile(off, 90) <= 8
        # Brightness is the same; what differs are colours, which the crop has at half its size.
        luma = np.abs((got.astype(float) - expected) @ [0.299, 0.587, 0.114])
        assert luma.mean() < 1
        assert np.percentile(luma, 99) < 4
