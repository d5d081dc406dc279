import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data_pipelines import sampling
from data_pipelines.errors import UserError


class FixedUniform:
    """Stands in for a generator whose next uniform number is known."""

    def __init__(self, u: float) -> None:
        self.u = u

    def random(self) -> float:
        return self.u


def linear_law(m: int) -> np.ndarray:
    return (2 * (m - np.arange(m)) - 1) / m**2


@pytest.mark.parametrize("m", [1, 2, 7, 50])
def test_decreasing_law_is_exact(m):
    # The measure of the u that give each d, found from where d steps as u passes F(k).
    edges = np.concatenate([[0.0], np.cumsum(linear_law(m))])
    inside = (edges[:-1] + edges[1:]) / 2
    just_after, just_before = edges[:-1] + 1e-9, edges[1:] - 1e-9
    for u_values in (inside, just_after, just_before):
        drawn = [sampling.sample_interval(FixedUniform(u), m, "decreasing") for u in u_values]
        assert drawn == list(range(m))


@given(st.integers(1, 400), st.floats(0, 1, exclude_max=True))
def test_decreasing_law_equals_closed_form(m, u):
    exact = m * (1 - math.sqrt(1 - u))
    drawn = sampling.sample_interval(FixedUniform(u), m, "decreasing")
    assert drawn in {min(m - 1, math.floor(exact + e)) for e in (-1e-6, 1e-6)}


@given(st.integers(1, 300), st.floats(0, 1, exclude_max=True), st.floats(0.05, 8.0))
def test_general_power_inverts_the_cdf(m, u, power):
    def cdf(k):
        return (power + 1) * k / (power * m) - k ** (power + 1) / (power * m ** (power + 1))

    d = sampling.sample_interval(FixedUniform(u), m, "decreasing", power)
    assert 0 <= d < m
    assert cdf(d) <= u + 1e-9
    assert u <= cdf(d + 1) + 1e-9


@pytest.mark.parametrize("law", ["decreasing", "uniform", "increasing"])
def test_laws_empirically(law):
    m, draws = 12, 20_000
    rng = np.random.default_rng(0)
    counts = np.bincount([sampling.sample_interval(rng, m, law) for _ in range(draws)], minlength=m)
    expected = {
        "decreasing": linear_law(m),
        "uniform": np.full(m, 1 / m),
        "increasing": linear_law(m)[::-1],
    }[law]
    assert stats.chisquare(counts, draws * expected).pvalue > 0.01


def test_mean_interval_of_a_ten_second_video():
    rng = np.random.default_rng(1)
    draws = [sampling.sample_interval(rng, 220, "decreasing") for _ in range(20_000)]
    assert np.mean(draws) == pytest.approx(72.8, abs=1.5)


def test_higher_power_gives_longer_intervals():
    def mean(power):
        rng = np.random.default_rng(2)
        return np.mean(
            [sampling.sample_interval(rng, 100, "decreasing", power) for _ in range(3000)]
        )

    assert mean(0.2) + 3 < mean(1.0) < mean(5.0) - 3


@given(
    st.integers(0, 999),
    st.integers(1, 300),
    st.integers(1, 32),
    st.integers(1, 4),
    st.sampled_from(sampling.LAWS),
)
def test_pair_is_in_range_and_wraps_only_when_it_must(seed, length, frames, stride, law):
    pair = sampling.sample_clip_pair(np.random.default_rng(seed), length, frames, stride, law)
    starts = length - (frames - 1) * stride
    limit = starts if starts > 0 else length
    assert all(0 <= s < limit for s in pair)
    if law == "same":
        assert pair[0] == pair[1]
    for s in pair:
        positions = sampling.clip_positions(s, frames, stride, length)
        assert positions.shape == (frames,)
        assert positions.dtype == np.int64
        if starts > 0:
            np.testing.assert_array_equal(positions, s + stride * np.arange(frames))
        else:
            assert ((positions - s) % length == stride * np.arange(frames) % length).all()


def test_pair_law():
    # length 14, 4 frames at stride 2: m = 8 starts; d by the law, the earlier uniform below m - d.
    m, draws = 8, 20_000
    rng = np.random.default_rng(3)
    pairs = np.array([sampling.sample_clip_pair(rng, 14, 4, 2) for _ in range(draws)])
    counts = np.zeros((m, m))
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    expected = np.zeros((m, m))
    for d, p in enumerate(linear_law(m)):
        for early in range(m - d):
            expected[early, early + d] += p / (m - d) / 2
            expected[early + d, early] += p / (m - d) / 2
    assert stats.chisquare(counts.ravel(), draws * expected.ravel()).pvalue > 0.01


def test_short_video_gives_independent_starts():
    length, draws = 5, 20_000
    rng = np.random.default_rng(4)
    pairs = np.array([sampling.sample_clip_pair(rng, length, 6, 1) for _ in range(draws)])
    counts = np.zeros((length, length))
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    assert stats.chisquare(counts.ravel()).pvalue > 0.01


def test_video_as_long_as_the_clip_has_one_start():
    rng = np.random.default_rng(0)
    assert sampling.sample_clip_pair(rng, 31, 16, 2) == (0, 0)  # m = 31 - 15 * 2 = 1
    assert {sampling.sample_clip(rng, 31, 16, 2) for _ in range(20)} == {0}
    assert len({sampling.sample_clip(rng, 30, 16, 2) for _ in range(400)}) == 30  # m = 0: wraps


def test_single_clip_is_uniform_over_valid_starts():
    rng = np.random.default_rng(5)
    counts = np.bincount([sampling.sample_clip(rng, 16, 4, 2) for _ in range(5000)])
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 0.01


def test_even_starts():
    np.testing.assert_array_equal(
        sampling.even_clip_starts(250, 32, 2, 10),
        [0, 20, 41, 62, 82, 103, 124, 144, 165, 186],
    )
    np.testing.assert_array_equal(sampling.even_clip_starts(10, 16, 2, 3), [0, 0, 0])
    np.testing.assert_array_equal(sampling.even_clip_starts(100, 16, 2, 1), [34])


def test_clip_wraps():
    np.testing.assert_array_equal(sampling.clip_positions(3, 5, 2, 6), [3, 5, 1, 3, 5])


def test_errors_name_the_fix():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="did you mean 'decreasing'"):
        sampling.sample_interval(rng, 5, "decresing")
    with pytest.raises(UserError, match="did you mean 'uniform'"):
        sampling.sample_clip_pair(rng, 50, 4, 2, law="uniforme")
    with pytest.raises(UserError, match="power"):
        sampling.sample_interval(rng, 5, "decreasing", power=0.0)
    with pytest.raises(UserError, match="intervals"):
        sampling.sample_interval(rng, 0, "uniform")
    for length, frames, stride in [(0, 4, 2), (9, 0, 2), (9, 4, 0)]:
        with pytest.raises(UserError, match="at least 1"):
            sampling.sample_clip(rng, length, frames, stride)
        with pytest.raises(UserError, match="at least 1"):
            sampling.sample_clip_pair(rng, length, frames, stride)
        with pytest.raises(UserError, match="at least 1"):
            sampling.clip_positions(0, frames, stride, length)
    with pytest.raises(UserError, match="at least 1"):
        sampling.even_clip_starts(9, 4, 2, 0)
    with pytest.raises(UserError, match="start"):
        sampling.clip_positions(9, 4, 2, 9)
