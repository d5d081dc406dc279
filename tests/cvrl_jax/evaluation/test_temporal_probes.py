import dataclasses
import types

import numpy as np
import pytest

from cvrl_jax.evaluation import temporal_probes as module
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings
from cvrl_jax.evaluation.temporal_probes import TemporalProbeSettings, temporal_probes
from data_pipelines.crops import crops_of_frames
from data_pipelines.errors import BadVideo
from data_pipelines.video import VideoInfo

SETTINGS = TemporalProbeSettings(
    frames=4, stride=1, size=6, batch_size=32, probe=LinearProbeSettings(epochs=60, batch_size=32)
)


class Ramp:
    """A video whose picture is one grey, brighter by 4 from frame to frame."""

    def __init__(self, length, log, fps=25.0):
        self.times = np.arange(length) / fps
        self.log = log

    def frames(self, indices):
        self.log.append(list(indices))
        return [np.full((10, 12, 3), 4 * i % 256, np.uint8) for i in indices]

    size = (10, 12)

    def crops(self, places, size, out=None):
        return crops_of_frames(self, places, size, out)

    def audio(self, start: float, samples: int, rate: int) -> None:
        return None

    def close(self):
        self.log.append("closed")


@dataclasses.dataclass
class Ramps:
    lengths: tuple[int, ...]
    bad: tuple[int, ...] = ()
    bad_frames: tuple[int, ...] = ()
    fps: float = 25.0
    name = "ramps"
    classes = ()
    factors = {}  # noqa: RUF012
    missing = ()

    def __post_init__(self):
        self.logs = {i: [] for i in range(len(self.lengths))}

    def __len__(self):
        return len(self.lengths)

    def info(self, index):
        return VideoInfo(id=str(index), path="")

    def open(self, index):
        if index in self.bad:
            raise BadVideo(str(index), "cut short")
        video = Ramp(self.lengths[index], self.logs[index], self.fps)
        if index in self.bad_frames:
            video.frames = self.fail
        return video

    def fail(self, indices):
        raise BadVideo("x", "cannot be decoded")


@pytest.fixture
def untrained(monkeypatch):
    """Spares the training of classifiers where only the clips matter."""
    answer = types.SimpleNamespace(top1=0.0)
    monkeypatch.setattr(module, "linear_probe", lambda *args: answer)


def grey(clips):
    return clips.mean(axis=(2, 3, 4))


def sees_time(clips):
    """Greys relative to the first frame, and their mean: all that the four questions ask for."""
    values = grey(clips)
    ones = np.full((len(values), 1), 10.0)
    return np.concatenate([np.diff(values, axis=1), ones], axis=1)


def sees_moment(clips):
    angle = grey(clips).mean(axis=1)[:, None] / 255 * np.pi
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def blind_to_order(clips):
    return np.sort(grey(clips), axis=1) + 1.0


def probes(embed, train=None, test=None, **changes):
    train = train or Ramps((60,) * 40)
    test = test or Ramps((60,) * 20)
    return temporal_probes(embed, train, test, dataclasses.replace(SETTINGS, **changes), seed=0)


def test_a_feature_of_motion_solves_speed_direction_and_order():
    result = probes(sees_time)
    assert [result[f"probe_{task}_top1"] for task in ("speed", "direction", "order")] == [1, 1, 1]
    assert result["probe_moment_top1"] < 0.7
    assert result["probe_speed_chance"] == pytest.approx(1 / 3)
    assert result["probe_direction_chance"] == 0.5
    assert result["probe_speed_examples"] == 60
    assert result["probe_moment_examples"] == 40
    assert result["probe_left_out"] == result["probe_speed_left_out"] == 0


def test_a_feature_blind_to_order_stays_exactly_at_chance():
    result = probes(blind_to_order)
    assert result["probe_direction_top1"] == 0.5
    assert result["probe_order_top1"] == 0.5


def test_the_mean_picture_does_not_tell_the_speed_but_tells_the_moment():
    result = probes(sees_moment, Ramps((60,) * 100), Ramps((60,) * 60))
    assert abs(result["probe_speed_top1"] - 1 / 3) < 0.1
    assert result["probe_moment_top1"] > 0.8


@pytest.mark.usefixtures("untrained")
def test_each_video_is_decoded_once_and_closed():
    train = Ramps((60,) * 6)
    probes(sees_time, train)
    for wanted, closed in train.logs.values():
        assert len(wanted) == len(set(wanted))
        assert closed == "closed"


def test_the_encoder_always_sees_whole_batches_and_padding_changes_nothing():
    shapes = []

    def embed(clips):
        shapes.append((clips.shape, clips.dtype))
        return sees_time(clips)

    # 11 clips a video: 440 and 220 of them.
    result = probes(embed, batch_size=50)
    assert set(shapes) == {((50, 4, 6, 6, 3), np.dtype(np.uint8))}
    assert len(shapes) == 9 + 5
    assert result == probes(sees_time, batch_size=7)


@pytest.mark.usefixtures("untrained")
def test_short_and_unreadable_videos_are_left_out_and_counted():
    # Frames needed: speed 13, moment 6, direction and order 4.
    train = Ramps((60,) * 10 + (12, 5, 3), bad=(0,), bad_frames=(4,))
    test = Ramps((60,) * 4 + (1,), bad=(1,))
    result = probes(sees_time, train, test)
    assert result["probe_left_out"] == 3
    assert result["probe_speed_left_out"] == 4
    assert result["probe_moment_left_out"] == 3
    assert result["probe_order_left_out"] == 2
    assert result["probe_order_examples"] == 6
    assert train.logs[4] == ["closed"]


def test_a_task_without_any_video_has_no_accuracy():
    result = probes(sees_time, test=Ramps((8,) * 5))
    assert "probe_speed_top1" not in result
    assert result["probe_speed_examples"] == 0
    assert result["probe_direction_top1"] == 1.0


@pytest.mark.usefixtures("untrained")
def test_max_videos_spreads_over_the_source():
    train = Ramps((60,) * 41)
    probes(sees_time, train, max_videos=5)
    assert [i for i, log in train.logs.items() if log] == [0, 10, 20, 30, 40]


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(("fps", "stride"), [(25.0, 3), (10.0, 1), (100.0, 12)])
def test_a_stride_in_seconds_is_that_of_frames_at_the_rate_of_the_video(fps, stride):
    logs = []
    for settings in ({"stride": stride}, {"stride": 0.12, "stride_unit": "seconds"}):
        source = Ramps((200,) * 3, fps=fps)
        probes(sees_time, source, **settings)
        logs.append(source.logs)
    assert logs[0] == logs[1]


@pytest.mark.usefixtures("untrained")
def test_is_a_function_of_the_seed():
    drawn = []
    for seed in (0, 0, 1):
        train = Ramps((60,) * 8)
        temporal_probes(sees_time, train, Ramps((60,) * 2), SETTINGS, seed)
        drawn.append(train.logs)
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.usefixtures("untrained")
def test_both_clips_of_a_moment_are_cropped_by_themselves():
    # A picture that shows its own columns: crops of one box and flip would be equal.
    class Columns(Ramp):
        def frames(self, indices):
            row = np.arange(24, dtype=np.uint8) * 10
            return [np.broadcast_to(row[None, :, None], (10, 24, 3)) for _ in indices]

    class Source(Ramps):
        def open(self, index):
            return Columns(60, self.logs[index])

    seen = []

    def embed(clips):
        seen.append(clips)
        return sees_time(clips)

    probes(embed, Source((60,) * 3), Source((60,)), batch_size=11)
    clips = seen[0]  # of one video: 3 speeds, 2 directions, 2 orders, 2 moments of 2 clips
    for one_box in (clips[0:3], clips[3:5], clips[5:7]):
        assert np.all(one_box == one_box[:1])
    moments = clips[7:11]
    assert all(np.any(moments[i] != moments[j]) for i in range(4) for j in range(i))
    flips = {bool(clip[0, 0, 0, 0] > clip[0, 0, -1, 0]) for batch in seen for clip in batch}
    assert flips == {True, False}
