import pickle

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.sources.moving_shapes.render import _FOREGROUNDS
from data_pipelines.sources.moving_shapes.source import RenderedVideo
from data_pipelines.video import Video


def clip(source: MovingShapes, index: int, indices=(0, 10, 20)) -> np.ndarray:
    return np.stack(source.open(index).frames(indices))


def test_videos_are_what_the_protocol_says():
    source = MovingShapes(videos=20, seed=0, frames=30, size=48)
    video = source.open(3)
    assert isinstance(video, Video)
    assert video.times.shape == (30,)
    assert video.times.dtype == np.float64
    np.testing.assert_allclose(np.diff(video.times), 0.04)
    assert video.times[0] == 0.0
    frames = video.frames([29, 0, 29])
    assert len(frames) == 3
    assert all(f.shape == (48, 48, 3) and f.dtype == np.uint8 for f in frames)
    np.testing.assert_array_equal(frames[0], frames[2])
    assert (frames[0] != frames[1]).any()
    video.close()
    video.close()


def test_a_frame_does_not_depend_on_the_others_asked_for():
    video = MovingShapes(videos=5, seed=0).open(4)
    np.testing.assert_array_equal(video.frames(range(20))[13], video.frames([13])[0])


def test_same_seed_same_video_and_it_survives_pickling():
    source = MovingShapes(videos=20, seed=7)
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301
    assert copy == source
    assert copy.info(11) == source.info(11)
    np.testing.assert_array_equal(clip(copy, 11), clip(source, 11))
    more = MovingShapes(videos=500, seed=7)
    np.testing.assert_array_equal(clip(more, 11), clip(source, 11))


def test_seeds_splits_and_videos_differ():
    clips = [
        clip(MovingShapes(40, seed, split), index)
        for seed in (0, 1)
        for split in ("train", "test")
        for index in (0, 16, 32)
    ]
    for i, one in enumerate(clips):
        for other in clips[:i]:
            assert (one != other).mean() > 0.5


def test_labels_are_balanced_and_factored():
    source = MovingShapes(videos=64, seed=0)
    infos = [source.info(i) for i in range(len(source))]
    assert np.bincount([info.label for info in infos]).tolist() == [4] * 16
    assert len({info.id for info in infos}) == 64
    assert len(set(source.classes)) == 16
    for name, shape, motion in zip(source.classes, *source.factors.values()):
        assert (
            name
            == f"{source.classes[4 * shape].split('-')[0]}-{source.classes[motion].split('-')[1]}"
        )
    assert list(source.factors) == ["shape", "motion"]


def colours(source: MovingShapes) -> np.ndarray:
    """Mean colour of each video at 1 s and at 4 s: float [2, videos, 3]."""
    pairs = [clip(source, i, (25, 100)).mean((1, 2)) for i in range(len(source))]
    return np.stack(pairs, 1)


def test_looks_give_a_video_away_only_without_drift():
    def found(drift: float) -> float:
        early, late = colours(MovingShapes(96, 0, size=16, appearance_drift=drift))
        distance = np.linalg.norm(early[:, None] - late[None], axis=-1)
        return float(np.mean(distance.argmin(1) == np.arange(96)))

    assert found(0.0) > 0.2
    assert found(1.0) < 0.08


def test_a_shape_may_keep_its_colour_and_nothing_else_changes():
    changing, constant = (MovingShapes(48, 0, size=32, constant_colour=c) for c in (False, True))
    foreground = _FOREGROUNDS / 255
    for index in range(48):
        one, other = changing.open(index), constant.open(index)
        assert isinstance(one, RenderedVideo)
        assert isinstance(other, RenderedVideo)
        times = np.arange(0, 5, 0.3)
        np.testing.assert_array_equal(one.trajectory.at(times), other.trajectory.at(times))
        np.testing.assert_array_equal(
            one.look.background.at(times), other.look.background.at(times)
        )
        colours = other.look.foreground.at(times) / 255
        np.testing.assert_allclose(colours, colours[:1].repeat(len(times), 0))
        assert np.abs(foreground - colours[0]).sum(1).min() < 1e-6
        assert np.ptp(one.look.foreground.at(times), axis=0).max() > 1


def test_errors():
    for wrong in (
        {"videos": 0},
        {"seed": -1},
        {"frames": 0},
        {"size": 8},
        {"split": "trian"},
        {"fps": 0.0},
        {"appearance_drift": 1.5},
        {"caption_noise": -0.1},
        {"sound_noise": -1.0},
        {"misalignment": float("nan")},
    ):
        with pytest.raises(UserError, match=next(iter(wrong))):
            MovingShapes(**{"videos": 4, "seed": 0, **wrong})
    with pytest.raises(IndexError):
        MovingShapes(4, 0).open(4)
    with pytest.raises(IndexError):
        MovingShapes(4, 0).info(-1)
