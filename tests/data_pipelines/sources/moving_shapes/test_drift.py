import numpy as np

from data_pipelines.sources.moving_shapes import drift


def values(change: float, seed: int = 0, seconds: float = 6.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fresh = rng.standard_normal((drift.count_knots(seconds), 2, 3))
    return drift.draw_drift(rng, fresh, change).at(np.linspace(0, seconds, 500))


def test_never_changes_without_drift():
    still = values(0.0)
    assert still.shape == (500, 2, 3)
    np.testing.assert_allclose(still, np.broadcast_to(still[0], still.shape), atol=1e-12)


def test_is_smooth_and_passes_through_its_values():
    moving = values(1.0)
    assert np.ptp(moving, axis=0).min() > 0.1
    assert np.abs(np.diff(moving, axis=0)).max() < 0.3  # 500 steps over 6 s, 40 to a knot
    d = drift.Drift(np.array([1.0, 3.0, -2.0]), 0.5)
    times = np.array([0.0, 0.5, 1.0]) * drift.KNOT_SECONDS
    np.testing.assert_allclose(d.at(times), [2.0, 3.0, 0.5], atol=1e-12)


def test_near_moments_agree_and_far_ones_do_not():
    def correlation(lag: int, change: float) -> float:
        many = np.stack([values(change, seed)[:, 0, 0] for seed in range(400)])
        return float(np.corrcoef(many[:, 100], many[:, 100 + lag])[0, 1])

    quarter_second = round(500 / 6 / 4)
    assert 0.3 < correlation(quarter_second, 1.0) < 0.9
    assert correlation(quarter_second, 1.0) < correlation(quarter_second, 0.5)
    assert abs(correlation(6 * quarter_second, 1.0)) < 0.15
