import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.examples import clip_plan, load_example, read_clips
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.spec import AudioSpec, InputSpec

RNG = np.random.default_rng


def spec(**changes) -> InputSpec:
    fields = {"clips": 2, "frames": 4, "stride": 2, "size": 8, "crop": "center"}
    return InputSpec(**fields | changes)


def shown(clips_VxTxHxWx3: np.ndarray) -> np.ndarray:
    """The frame indices that a clip of a FakeVideo shows, [V, T]."""
    assert (clips_VxTxHxWx3 == clips_VxTxHxWx3[..., :1, :1, :1]).all()
    return clips_VxTxHxWx3[..., 0, 0, 0]


def test_frames_are_those_of_the_source_at_the_planned_positions() -> None:
    source = MovingShapes(3, seed=0, size=16, frames=30)
    wanted = spec(size=16, resize_short=16)  # of the size of the videos: nothing is resampled
    example = load_example(source, wanted, 1, RNG(5))
    video = source.open(1)
    plan = clip_plan(video.times, wanted, RNG(5))
    expected = np.stack([np.stack(video.frames(row.tolist())) for row in plan])
    np.testing.assert_array_equal(example["video"], expected)
    np.testing.assert_allclose(example["start"], video.times[plan[:, 0]])
    assert example["video"].dtype == np.uint8
    assert example["start"].dtype == np.float32
    assert (example["index"], example["label"], example["valid"], example["error"]) == (1, 1, 1, "")


@given(
    length=st.integers(1, 40),
    frames=st.integers(1, 8),
    stride=st.integers(1, 5),
    seed=st.integers(0, 99),
    sampling=st.sampled_from(["decreasing", "uniform", "increasing", "same", "random", "even"]),
)
def test_stride_in_frames(length, frames, stride, seed, sampling) -> None:
    wanted = spec(frames=frames, stride=stride, sampling=sampling)
    plan = clip_plan(np.arange(length) / 25, wanted, RNG(seed))
    assert plan.shape == (2, frames)
    assert plan.min() >= 0
    assert plan.max() < length
    assert (np.diff(plan, axis=1) % length == stride % length).all()  # short videos wrap
    if length > (frames - 1) * stride:
        assert (np.diff(plan, axis=1) == stride).all()


@given(
    length=st.integers(1, 60),
    stride=st.integers(1, 4),
    sound=st.integers(1, 40),
    seed=st.integers(0, 99),
    sampling=st.sampled_from(["decreasing", "same", "random", "even"]),
    seconds=st.booleans(),
)
def test_the_sound_of_a_clip_lies_within_the_video_or_begins_with_it(
    length, stride, sound, seed, sampling, seconds
) -> None:
    audio = AudioSpec(rate=100, samples=4 * sound)  # `sound` frames of 0.04 s
    unit = {"stride": 0.04 * stride, "stride_unit": "seconds"} if seconds else {"stride": stride}
    wanted = spec(audio=audio, sampling=sampling, **unit)
    times = np.arange(length) / 25
    plan = clip_plan(times, wanted, RNG(seed))
    needed = max(3 * stride, (-(-sound // stride) - 1) * stride)  # frames after a clip's first
    if length > needed:
        assert plan[:, 0].max() + needed < length
        assert plan[:, 0].max() + sound <= length + stride
        assert (np.diff(plan, axis=1) == stride).all()
    else:
        assert (plan[:, 0] == 0).all()


gaps = st.lists(st.floats(0.005, 0.2), min_size=1, max_size=40)


@given(gaps, st.integers(2, 6), st.floats(0.01, 0.3), st.integers(0, 99))
def test_stride_in_seconds_at_any_frame_rate(gaps, frames, stride, seed) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    duration = times[-1] + np.median(gaps)
    wanted = spec(frames=frames, stride=stride, stride_unit="seconds")
    plan = clip_plan(times, wanted, RNG(seed))
    assert plan.shape == (2, frames)
    assert plan.min() >= 0
    assert plan.max() < len(times)
    if duration > (frames - 1) * stride:  # else it wraps
        # Some start explains all frames i: times[i] <= start + k stride + tolerance < times[i+1].
        until = np.append(times, np.inf)[1:]
        offset = stride * np.arange(frames)
        assert (
            np.max(times[plan] - offset, axis=1) < np.min(until[plan] - offset, axis=1) + 1e-3
        ).all()
        assert (np.diff(plan, axis=1) >= 0).all()


@pytest.mark.parametrize("fps", [24, 24000 / 1001, 25, 30, 30000 / 1001, 50, 60])
@pytest.mark.parametrize("digits", [3, 9])  # some containers round times to milliseconds
def test_a_stride_of_one_frame_in_seconds_steps_by_one_frame(fps, digits) -> None:
    times = np.round(np.arange(200) / fps, digits)
    for seed in range(20):
        wanted = spec(frames=64, stride=1 / fps, stride_unit="seconds", clips=1, sampling="even")
        assert (np.diff(clip_plan(times, wanted, RNG(seed))) == 1).all()


def test_seconds_skip_and_hold() -> None:
    times = np.asarray([0, 1, 2, 3, 10, 10.5, 11, 11.5, 12, 13.0])
    wanted = spec(clips=1, sampling="even", frames=14, stride=1, stride_unit="seconds")
    assert clip_plan(times, wanted, RNG(0)).tolist() == [
        [0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 6, 8, 9],
    ]


def test_short_videos_wrap_and_one_frame_is_enough(fake_video) -> None:
    clips, _ = read_clips(fake_video([0, 0.1, 0.2]), spec(clips=1, sampling="even"), RNG(0))
    assert shown(clips).tolist() == [[0, 2, 1, 0]]
    for unit, stride in (("frames", 2), ("seconds", 0.1)):
        for sampling in ("decreasing", "even"):
            wanted = spec(stride=stride, stride_unit=unit, sampling=sampling)
            clips, starts = read_clips(fake_video([0.0]), wanted, RNG(0))
            assert shown(clips).tolist() == [[0] * 4] * 2
            assert starts.tolist() == [0, 0]


@pytest.mark.parametrize("sampling", ["even", "uniform"])
def test_clips_go_where_they_are_wanted(fake_video, sampling: str) -> None:
    wanted = spec(sampling=sampling, crop="center" if sampling == "even" else "random")
    expected, _ = read_clips(fake_video(np.arange(30) / 10), wanted, RNG(0))
    out = np.zeros_like(expected)
    clips, _ = read_clips(fake_video(np.arange(30) / 10), wanted, RNG(0), out)
    assert np.shares_memory(clips, out)
    np.testing.assert_array_equal(out, expected)


def test_all_clips_are_decoded_in_one_pass(fake_video) -> None:
    video = fake_video(np.arange(30) / 10)
    clips, starts = read_clips(video, spec(clips=5, sampling="even"), RNG(0))
    (asked,) = video.asked
    assert asked == sorted(set(asked)) == sorted(set(shown(clips).ravel().tolist()))
    np.testing.assert_allclose(starts, shown(clips)[:, 0] / 10, rtol=1e-6)


def test_thirds_give_three_views_per_clip(fake_video) -> None:
    wanted = spec(clips=2, sampling="even", crop="thirds")
    clips, starts = read_clips(fake_video(np.arange(30) / 10), wanted, RNG(0))
    assert clips.shape == (6, 4, 8, 8, 3) == (wanted.views, 4, 8, 8, 3)
    np.testing.assert_allclose(starts, np.repeat([0, 2.2], 3), rtol=1e-6)
    np.testing.assert_array_equal(shown(clips)[0:3], [[0, 2, 4, 6]] * 3)
    np.testing.assert_array_equal(shown(clips)[3:6], [[22, 24, 26, 28]] * 3)


def test_random_crops_are_drawn_for_each_clip() -> None:
    source = MovingShapes(1, seed=0, size=32)
    wanted = spec(sampling="same", crop="random")
    example = load_example(source, wanted, 0, RNG(0))
    assert example["start"][0] == example["start"][1]
    assert (example["video"][0] != example["video"][1]).any()
    again = load_example(source, wanted, 0, RNG(0))
    np.testing.assert_array_equal(again["video"], example["video"])


@pytest.mark.parametrize("where", ["open", "frames"])
def test_what_cannot_be_read_is_black_and_says_why(where, fake_source, fake_video) -> None:
    times = np.arange(30) / 10
    broken = None if where == "open" else fake_video(times, bad=True)
    source = fake_source([broken, fake_video(times)], labels=[3, 4])
    example = load_example(source, spec(), 0, RNG(0))
    assert (example["index"], example["label"], example["valid"]) == (0, 3, 0)
    assert str(example["error"]) == ("reason 0" if where == "open" else "breaks off")
    assert not example["video"].any()
    assert not example["start"].any()
    if broken:
        assert broken.closed == 1
    following = load_example(source, spec(), 1, RNG(0))
    assert (following["index"], following["valid"], following["error"]) == (1, 1, "")
    for key, value in following.items():
        assert np.shape(value) == np.shape(example[key])
        assert key == "error" or value.dtype == example[key].dtype
