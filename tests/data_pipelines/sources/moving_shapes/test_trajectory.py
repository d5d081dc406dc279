import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.sources.moving_shapes import trajectory

SECONDS = 5.0


def poses(motion: int, seed: int, times: np.ndarray, drift: float = 0.75) -> np.ndarray:
    """float [N, 4]: x, y, log size, angle."""
    rng = np.random.default_rng(seed)
    pose = trajectory.draw_trajectory(rng, motion, SECONDS, drift).at(times)
    return np.stack([pose.x, pose.y, np.log(pose.size), pose.angle], -1)


@pytest.mark.parametrize("motion", range(4))
def test_a_motion_moves_one_coordinate_periodically(motion):
    rng = np.random.default_rng(0)
    path = trajectory.draw_trajectory(rng, motion, SECONDS, 0.0)
    times = np.linspace(0, 2, 200)
    here, later = path.at(times), path.at(times + path.period)
    for c, (a, b) in enumerate(zip(here, later)):
        np.testing.assert_allclose(a, b, atol=1e-9)
        assert (np.ptp(a) > 0.2) == (c == motion)


def test_one_moment_says_nothing_of_the_motion_but_eight_frames_do():
    rng = np.random.default_rng(0)
    motion = np.arange(800) % 4
    spans = {"one": [0.0], "eight": 0.08 * np.arange(8)}  # 8 frames, stride 2, 25 per second
    scores = {}
    for name, span in spans.items():
        x = np.stack(
            [poses(m, i, rng.uniform(0, 4) + np.array(span)) for i, m in enumerate(motion)]
        )
        x = x[:, 0] if name == "one" else x.std(axis=1)
        x = (x - x.mean(0)) / x.std(0)
        distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
        np.fill_diagonal(distance, np.inf)
        scores[name] = np.mean(motion[distance.argmin(1)] == motion)
    assert scores["one"] == pytest.approx(0.25, abs=0.05)
    assert scores["eight"] > 0.9


def test_mean_pose_is_the_same_for_all_motions():
    rng = np.random.default_rng(1)
    x = np.stack(
        [[poses(m, 4 * i + m, rng.uniform(0, 4, 1))[0] for i in range(400)] for m in range(4)]
    )
    tolerance = 4 * x.std(axis=(0, 1)) / np.sqrt(400)
    assert (np.abs(x.mean(1) - x.mean((0, 1))) < tolerance).all()
    np.testing.assert_allclose(x.std(1) / x.std((0, 1)), 1, atol=0.15)


@given(st.integers(0, 10_000))
def test_clip_shows_the_motion(seed):
    period = trajectory.draw_trajectory(np.random.default_rng(seed), 0, SECONDS, 0.5).period
    low, high = trajectory.PERIOD_SECONDS
    assert low <= period <= high
    assert period <= 15 * 2 / 25  # 16 frames at stride 2 see a whole period
    assert 0.45 * period <= 7 * 2 / 25  # 8 frames at stride 2, about half
    assert period / (4 / 25) > 3  # stride 4 has more than three frames to a period


def test_bouncing_falls_freely():
    path = trajectory.draw_trajectory(np.random.default_rng(3), 1, SECONDS, 0.0)
    y = path.at(np.linspace(0, path.period, 1001)).y
    acceleration = np.diff(y, 2)
    falling = acceleration > 0  # y points down; the bounce itself is the one step that is not
    assert (~falling).sum() <= 2
    np.testing.assert_allclose(acceleration[falling], np.median(acceleration), rtol=1e-3)


@given(st.integers(0, 10_000), st.integers(0, 3))
def test_centre_stays_in_the_frame(seed, motion):
    x, y, log_size, _ = poses(motion, seed, np.linspace(0, 4.99, 200), 1.0).T
    for centre in (x, y):
        assert 0.2 < centre.min() <= centre.max() < 0.8
    assert 0.14 < np.exp(log_size).min() <= np.exp(log_size).max() < 0.56
