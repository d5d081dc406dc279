import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.temporal_tasks import SPEEDS, TASK_CLASSES, required_length, temporal_clips

settings = {
    "frames": st.integers(2, 10),
    "stride": st.integers(1, 4),
    "extra": st.integers(0, 40),
    "seed": st.integers(0, 1000),
}


def draw(task, length, seed, frames=4, stride=2):
    return temporal_clips(length, np.random.default_rng(seed), frames, stride, task)


@pytest.mark.parametrize("task", TASK_CLASSES)
@given(**settings)
def test_every_class_once_and_no_clip_leaves_the_video(task, frames, stride, extra, seed):
    length = required_length(frames, stride, task) + extra
    examples = draw(task, length, seed, frames, stride)
    assert [example.label for example in examples] == list(range(TASK_CLASSES[task]))
    for example in examples:
        assert len(example.clips) == (2 if task == "moment" else 1)
        for clip in example.clips:
            assert clip.shape == (frames,)
            assert clip.dtype == np.int64
            assert clip.min() >= 0
            assert clip.max() < length
            assert len(set(clip.tolist())) == frames


@pytest.mark.parametrize("task", TASK_CLASSES)
@given(frames=settings["frames"], stride=settings["stride"])
def test_a_video_too_short_by_one_gives_nothing(task, frames, stride):
    length = required_length(frames, stride, task)
    assert draw(task, length, 0, frames, stride)
    assert draw(task, length - 1, 0, frames, stride) == []


@given(**settings)
def test_speeds_share_their_centre(frames, stride, extra, seed):
    examples = draw("speed", (frames - 1) * stride * 4 + 1 + extra, seed, frames, stride)
    centres = []
    for example, speed in zip(examples, SPEEDS):
        (clip,) = example.clips
        assert np.all(np.diff(clip) == stride * speed)
        centres.append((clip[0] + clip[-1]) / 2)
    assert np.ptp(centres) <= 0.5


@given(**settings)
def test_direction_and_order_show_the_same_frames(frames, stride, extra, seed):
    length = required_length(frames, stride, "order") + extra
    forward, backward = (e.clips[0] for e in draw("direction", length, seed, frames, stride))
    assert np.all(np.diff(forward) == stride)
    np.testing.assert_array_equal(backward, forward[::-1])
    ordered, shuffled = (e.clips[0] for e in draw("order", length, seed, frames, stride))
    assert np.all(np.diff(ordered) == stride)
    assert not np.array_equal(ordered, shuffled)
    np.testing.assert_array_equal(np.sort(shuffled), ordered)


@given(**settings)
def test_moments_are_apart_or_the_same(frames, stride, extra, seed):
    length = required_length(frames, stride, "moment") + extra
    apart, same = draw("moment", length, seed, frames, stride)
    assert abs(apart.clips[0][0] - apart.clips[1][0]) >= ((frames - 1) * stride + 1) / 2
    assert abs(same.clips[0][0] - same.clips[1][0]) <= 1
    for clip in apart.clips + same.clips:
        assert np.all(np.diff(clip) == stride)


def test_the_position_of_a_clip_does_not_tell_whether_its_partner_is_near():
    starts = {0: [], 1: []}
    for seed in range(2000):
        for example in draw("moment", 31, seed):
            starts[example.label].append(example.clips[0][0])
    # 25 starts; two samples of 2000 of one law differ by about 1/sqrt(2000) in their cdf.
    cdf = [np.cumsum(np.bincount(starts[c], minlength=25)) / 2000 for c in (0, 1)]
    assert np.abs(cdf[0] - cdf[1]).max() < 0.05


def test_every_start_is_used():
    speed = {int(draw("speed", 30, seed)[2].clips[0][0]) for seed in range(100)}
    assert speed == set(range(30 - 24))
    direction = {int(draw("direction", 11, seed)[0].clips[0][0]) for seed in range(100)}
    assert direction == set(range(11 - 6))
    moment = {
        tuple(int(clip[0]) for clip in draw("moment", 13, seed)[0].clips) for seed in range(300)
    }
    assert moment == {(a, b) for a in range(7) for b in range(7) if abs(a - b) >= 4}


def test_the_draw_is_a_function_of_the_generator():
    first, again = (draw("order", 60, 3)[1].clips[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({tuple(draw("order", 60, seed)[1].clips[0]) for seed in range(20)}) > 10


@pytest.mark.parametrize(
    ("task", "frames", "stride"), [("colour", 4, 2), ("speed", 1, 2), ("order", 4, 0)]
)
def test_impossible_requests_are_refused(task, frames, stride):
    with pytest.raises(ValueError, match="temporal_clips"):
        draw(task, 100, 0, frames, stride)
