import itertools

import numpy as np
import pytest

from data_pipelines.sources.moving_shapes import render
from data_pipelines.sources.moving_shapes.trajectory import Pose


def mask(shape: str, x=0.5, y=0.5, size=0.3, angle=0.0, pixels=64) -> np.ndarray:
    image = np.zeros((pixels, pixels, 3), np.uint8)
    pose = Pose(*(np.array([v]) for v in (x, y, size, angle)))
    render.draw_shape(image, shape, pose, 0, (255.0, 255.0, 255.0))
    return image[..., 0] / 255.0


@pytest.mark.parametrize("shape", render.SHAPES)
def test_shape_has_the_pose_it_is_given(shape):
    picture = mask(shape, x=0.41, y=0.62, size=0.3, angle=0.7)
    centres = (np.arange(64) + 0.5) / 64
    assert picture.sum(0) @ centres / picture.sum() == pytest.approx(0.41, abs=0.01)
    assert picture.sum(1) @ centres / picture.sum() == pytest.approx(0.62, abs=0.01)
    # The smooth edge reaches up to a pixel beyond the outline.
    assert 0.3 < np.sqrt(picture.sum()) / 64 < 0.3 + 2 / 64


@pytest.mark.parametrize("shape", render.SHAPES)
def test_turning_is_visible(shape):
    still, turned = mask(shape), mask(shape, angle=0.7)
    overlap = np.minimum(still, turned).sum() / np.maximum(still, turned).sum()
    assert overlap < 0.86


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(render.SHAPES, 2)))
def test_shapes_differ_however_they_are_turned(one, other):
    fixed = mask(one)
    best = 0.0
    for angle in np.linspace(0, 2 * np.pi, 48, endpoint=False):
        turned = mask(other, angle=angle)
        best = max(best, np.minimum(fixed, turned).sum() / np.maximum(fixed, turned).sum())
    assert best < 0.8


@pytest.mark.parametrize("pixels", [32, 112])
def test_frames(pixels):
    times = np.linspace(0, 2, 9)
    look = render.draw_look(np.random.default_rng(0), 2.5, 0.75)
    pose = Pose(*(np.full(9, v) for v in (0.5, 0.5, 0.3, 0.0)))
    frames = render.render("cross", pose, look, times, pixels)
    assert len(frames) == 9
    for frame in frames:
        assert frame.shape == (pixels, pixels, 3)
        assert frame.dtype == np.uint8
        middle, corner = frame[pixels // 2, pixels // 2], frame[0, 0]
        assert middle.mean() > corner.mean() + 25  # visible in greyscale too


def test_looks_recur_between_videos():
    knots = [
        tuple(value)
        for seed in range(40)
        for value in render.draw_look(np.random.default_rng(seed), 5.0, 1.0).foreground.values
    ]
    assert len(set(knots)) == 8
