import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines import crops
from data_pipelines.errors import UserError


def ramp(height: int, width: int, frames: int = 2) -> list[np.ndarray]:
    """Frames that hold y, x and t in the three channels."""
    y, x = np.mgrid[:height, :width]
    return [np.stack([y, x, np.full_like(x, t)], -1).astype(np.uint8) for t in range(frames)]


@given(st.integers(0, 999), st.integers(1, 500), st.integers(1, 500))
def test_box_is_inside_and_keeps_its_bounds(seed, height, width):
    y, x, h, w = crops.random_resized_crop_box(np.random.default_rng(seed), height, width)
    assert 0 <= y < y + h <= height
    assert 0 <= x < x + w <= width
    assert 0.3 <= h * w / (height * width) <= 1.0
    if (h, w) != (height, width):
        assert 0.5 * h - 0.5 <= w <= 2.0 * h + 0.5


def test_box_law():
    rng = np.random.default_rng(0)
    boxes = np.array([crops.random_resized_crop_box(rng, 240, 320) for _ in range(4000)])
    y, x, h, w = boxes.T
    ratio = w / h
    # Uniform aspect over (0.5, 2): all of it is feasible in a 4:3 frame.
    quartiles = np.quantile(ratio, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [0.875, 1.25, 1.625], atol=0.04)
    # Given the aspect, the height is uniform from the least area to the frame's edge.
    low = np.sqrt(0.3 * 240 * 320 / ratio)
    high = np.minimum(240, 320 / ratio)
    place = (h - low) / (high - low)
    np.testing.assert_allclose(np.quantile(place, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.04)
    for offset, free in ((y, 240 - h), (x, 320 - w)):
        assert np.mean(offset[free > 20] / free[free > 20]) == pytest.approx(0.5, abs=0.03)
        assert (offset == free).any()
        assert (offset == 0).any()


def test_box_falls_back_to_the_whole_frame():
    # A frame of 10 x 1000 has no crop of aspect <= 2 with 30% of its area.
    assert crops.random_resized_crop_box(np.random.default_rng(0), 10, 1000) == (0, 0, 10, 1000)


def test_fixed_ranges_give_a_fixed_size():
    box = crops.random_resized_crop_box(np.random.default_rng(0), 60, 60, (1.0, 1.0), (1.0, 1.0))
    assert box == (0, 0, 60, 60)


@given(st.integers(0, 999), st.integers(1, 500), st.integers(1, 500))
def test_scale_jittered_box_is_inside_and_spans_a_side(seed, height, width):
    y, x, h, w = crops.scale_jittered_crop_box(np.random.default_rng(seed), height, width)
    assert 0 <= y < y + h <= height
    assert 0 <= x < x + w <= width
    assert h == height or w == width
    assert 0.8 / 1.2 * h - 1 <= w <= 1.2 / 0.8 * h + 1


def test_scale_jittered_law():
    rng = np.random.default_rng(0)
    boxes = [crops.scale_jittered_crop_box(rng, 2400, 7200) for _ in range(4000)]
    _, x, h, w = np.array(boxes).T
    assert (h == 2400).all()  # no stretch makes the width the shorter side
    plain = w == 2400
    assert plain.mean() == pytest.approx(0.2, abs=0.02)
    # w / h is the quotient of two uniform variables: half of them are below 1, and P(q < 0.9) is
    # the area of a < 0.9 b in the square.
    ratio = w[~plain] / 2400
    assert np.mean(ratio < 1) == pytest.approx(0.5, abs=0.025)
    assert np.mean(ratio < 0.9) == pytest.approx((1.08 - 0.8) ** 2 / 0.9 / 2 / 0.16, abs=0.025)
    assert np.mean(x / (7200 - w)) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("area", [(0.0, 1.0), (0.5, 0.4), (0.3, 1.1)])
def test_bad_area(area):
    with pytest.raises(UserError, match="area"):
        crops.random_resized_crop_box(np.random.default_rng(0), 50, 50, area=area)


def test_bad_aspect_and_frame():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="aspect"):
        crops.random_resized_crop_box(rng, 50, 50, aspect=(0.0, 1.0))
    with pytest.raises(UserError, match="pixels"):
        crops.random_resized_crop_box(rng, 0, 50)


def resized(frame: np.ndarray, box: crops.Box, size: int) -> np.ndarray:
    out = np.full((size, size, 3), 77, np.uint8)
    crops.resize_crop(frame, box, out)
    return out


def test_crop_without_resizing_is_a_slice():
    frames = ramp(20, 30)
    cut = resized(frames[0], (3, 5, 8, 8), 8)
    np.testing.assert_array_equal(cut, frames[0][3:11, 5:13])


def test_resize_is_bilinear_with_half_pixel_centres():
    clip = [resized(frame, (0, 0, 40, 40), 10) for frame in ramp(40, 60)]
    # Output pixel i samples source coordinate (i + 0.5) * 4 - 0.5, without antialiasing.
    expected = (np.arange(10) + 0.5) * 4 - 0.5
    np.testing.assert_allclose(clip[0][:, 0, 0], expected, atol=0.51)
    np.testing.assert_allclose(clip[1][0, :, 1], expected, atol=0.51)
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::4] = 255  # falls between all samples of a fourfold reduction
    assert resized(stripes, (0, 0, 8, 8), 2).max() == 0


def test_bad_boxes_and_frames():
    with pytest.raises(ValueError, match="inside"):
        resized(ramp(20, 20)[0], (10, 0, 11, 20), 8)
    with pytest.raises(ValueError, match="one size"):
        crops.evaluation_crops([*ramp(20, 20), *ramp(20, 21)], 8, 1)


def test_centre_crop():
    frames = ramp(20, 33)
    views = crops.evaluation_crops(frames, 12, 1, resize_short=20)
    assert views.shape == (1, 2, 12, 12, 3)
    np.testing.assert_array_equal(views[0], np.stack(frames)[:, 4:16, 10:22])


@pytest.mark.parametrize("upright", [False, True])
def test_three_crops_lie_along_the_long_side(upright):
    frames = [f.transpose(1, 0, 2).copy() if upright else f for f in ramp(20, 40)]
    views = crops.evaluation_crops(frames, 20, 3)
    clip = np.stack(frames)
    for view, start in zip(views, (0, 10, 20)):
        across, along = slice(0, 20), slice(start, start + 20)
        box = (along, across) if upright else (across, along)
        np.testing.assert_array_equal(view, clip[:, *box])


def test_three_crops_are_central_on_the_short_side():
    frames = ramp(20, 40)
    views = crops.evaluation_crops(frames, 10, 3, resize_short=20)
    for view, start in zip(views, (0, 15, 30)):
        np.testing.assert_array_equal(view, np.stack(frames)[:, 5:15, start : start + 10])


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 3]), st.integers(0, 8))
def test_any_frame_size_gives_full_crops(height, width, count, more):
    frames = ramp(height, width)
    views = crops.evaluation_crops(frames, 16, count, resize_short=16 + more)
    assert views.shape == (count, 2, 16, 16, 3)
    assert (views[:, 0, ..., 2] == 0).all()
    assert (views[:, 1, ..., 2] == 1).all()


def test_evaluation_errors():
    with pytest.raises(UserError, match="1 or 3"):
        crops.evaluation_crops(ramp(20, 20), 10, 2)
    with pytest.raises(UserError, match="resize_short"):
        crops.evaluation_crops(ramp(20, 20), 10, 1, resize_short=8)
