"""What is heard is what is seen, at the same time."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.sources.moving_shapes.drift import Drift
from data_pipelines.sources.moving_shapes.source import RenderedVideo
from data_pipelines.sources.moving_shapes.voice import Voice

RATE = 16000


def voices(**fields: float) -> list[Voice]:
    source = MovingShapes(32, seed=1, constant_colour=True, **fields)  # pyright: ignore
    opened = [source.open(index) for index in range(32)]
    return [video.voice for video in opened if isinstance(video, RenderedVideo)]


VOICES = voices()


def wave(voice: Voice, start: float = 0.0, seconds: float = 5.0, rate: int = RATE) -> np.ndarray:
    got = voice.wave(start, round(seconds * rate), rate)
    assert got is not None
    return got


def spectrum(part_S: np.ndarray, rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and magnitudes of a short stretch."""
    padded = np.fft.rfft(part_S * np.hanning(len(part_S)), 1 << 16)
    return np.fft.rfftfreq(1 << 16, 1 / rate), np.abs(padded)


@given(
    st.sampled_from(VOICES),
    st.integers(-RATE, 5 * RATE),
    st.integers(1, 4000),
    st.integers(-500, 500),
)
def test_a_stretch_is_a_part_of_one_and_the_same_sound(voice, first, samples, shift) -> None:
    one = voice.wave(first / RATE, samples, RATE)
    other = voice.wave((first + shift) / RATE, samples, RATE)
    if one is None or other is None or abs(shift) >= samples:
        return
    low, high = max(0, shift), min(samples, samples + shift)
    np.testing.assert_allclose(one[low:high], other[low - shift : high - shift], atol=2e-4)


def test_range_kind_and_ends() -> None:
    for voice in VOICES:
        whole = wave(voice)
        assert whole.dtype == np.float32
        assert np.abs(whole).max() <= 1.0
        assert whole.std() > 0.05
    voice = VOICES[0]
    assert voice.wave(5.0, 10, RATE) is None
    assert voice.wave(-1.0, RATE, RATE) is None
    before = wave(voice, -0.5, 1.0)
    assert not before[: RATE // 2].any()
    assert before[RATE // 2 :].any()
    after = wave(voice, 4.5, 1.0)
    assert after[: RATE // 2].any()
    assert not after[RATE // 2 :].any()


def test_a_low_rate_hears_the_same() -> None:
    """What a rate cannot hold is left out rather than folded back."""
    for voice in VOICES[:8]:
        high, low = wave(voice, 1.0, 1.0, 48000), wave(voice, 1.0, 1.0, 4000)
        error = np.abs(high[::12] - low)
        assert np.quantile(error, 0.95) < 1e-3  # all but the knocks


def test_pitch_follows_height() -> None:
    for voice in VOICES[:16]:
        for start in (0.5, 1.7, 3.1):
            part = wave(voice, start, 0.08)
            y = voice.trajectory.at(np.array([start + 0.04])).y[0]
            frequency, size = spectrum(part)
            near = (frequency > 60) & (frequency < 330)  # below the steady notes
            heard = frequency[near][np.argmax(size[near])]
            expected = 200 * 2.0 ** (4 * (0.5 - y))
            if expected < 300:
                assert heard == pytest.approx(expected, abs=12)


def test_loudness_follows_size() -> None:
    still = Drift(np.zeros((20, 4)), 0.0)
    voice = VOICES[0]
    pulsing = dataclasses.replace(
        voice.trajectory, motion=2, middle=np.array([0.5, 0.5, np.log(0.32), 0.0]),
        phase=np.array([0.25, 0.1464, 0.0, 0.25]), wander=still, period=1.0,
    )  # fmt: skip
    voice = dataclasses.replace(voice, trajectory=pulsing)
    loudness = []
    for start in (0.96, 1.46):  # at its largest, at its smallest
        frequency, size = spectrum(wave(voice, start, 0.08))
        loudness.append(size[np.argmin(np.abs(frequency - 200))])
    assert loudness[0] / loudness[1] == pytest.approx(np.exp(0.8), rel=0.15)


def test_right_and_left_are_two_notes() -> None:
    sliding = [voice for voice in VOICES if voice.trajectory.motion == 0]
    for voice in sliding:
        note = 350 * 2 ** (voice.colour / 6)
        times = np.arange(0.1, 4.9, 0.02)
        x = voice.trajectory.at(times).x
        shares = []
        for t in (times[np.argmin(x)], times[np.argmax(x)]):
            frequency, size = spectrum(wave(voice, t - 0.06, 0.12))
            lower, upper = (size[np.argmin(np.abs(frequency - f))] for f in (note, 1.5 * note))
            shares.append(upper / (lower + upper))
        assert shares[1] > shares[0] + 0.2


def test_knocks_keep_the_rhythm() -> None:
    for voice in VOICES[:16]:
        whole = wave(voice)
        silent = dataclasses.replace(voice, trajectory=dataclasses.replace(voice.trajectory))
        knocks = silent._knocks(np.arange(len(whole)) / RATE)
        onsets = np.flatnonzero(np.diff(np.abs(knocks) > 0.2) == 1) / RATE
        gaps = np.diff(onsets[np.diff(onsets, prepend=-1) > 0.2])
        np.testing.assert_allclose(gaps, voice.trajectory.period, atol=0.002)


def test_colour_and_shape_can_be_heard() -> None:
    voice = VOICES[5]
    for colour in range(8):
        frequency, size = spectrum(wave(dataclasses.replace(voice, colour=colour), 1.0, 1.0))
        peaks = [size[np.abs(frequency - 350 * 2 ** (c / 6)).argmin()] for c in range(8)]
        others = [size[np.abs(frequency - 525 * 2 ** (c / 6)).argmin()] for c in range(8)]
        assert np.argmax(np.array(peaks) + np.array(others)) == colour
    waves = [wave(dataclasses.replace(voice, shape=s), 1.0, 0.5) for s in ("square", "bar", "arc")]
    for i, one in enumerate(waves):
        for other in waves[:i]:
            assert np.corrcoef(one, other)[0, 1] < 0.98


def test_misalignment_shifts_the_sound() -> None:
    shifted = voices(misalignment=0.4)
    delays = np.array([voice.delay for voice in shifted])
    assert np.abs(delays).max() <= 0.4
    assert delays.std() > 0.1
    for voice, clean in zip(shifted[:6], VOICES):
        moved = wave(voice, 2.0, 0.5)
        np.testing.assert_allclose(
            moved[1:-1],
            np.interp(
                2.0 - voice.delay + np.arange(1, len(moved) - 1) / RATE,
                np.arange(5 * RATE) / RATE,
                wave(clean),
            ),
            atol=0.12,  # of the interpolation, at the knocks
        )


def test_noise_is_white_and_of_the_size_asked_for() -> None:
    noisy = voices(sound_noise=0.1)
    for voice, clean in zip(noisy[:4], VOICES):
        added = wave(voice) - wave(clean)
        assert added.std() == pytest.approx(0.1, rel=0.05)
        assert abs(np.corrcoef(added[1:], added[:-1])[0, 1]) < 0.02
        part = wave(voice, 1.0, 1.0)
        np.testing.assert_allclose(part, wave(voice)[RATE : 2 * RATE], atol=1e-4)
