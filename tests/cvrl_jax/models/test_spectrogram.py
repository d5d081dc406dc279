"""Log-mel spectrograms against numpy, and the tower on them."""

import jax.numpy as jnp
import numpy as np

from cvrl_jax.models import create_model
from cvrl_jax.models.spectrogram import log_mel, mel_filters

RATE, WINDOW, STEP = 8000, 256, 128


def test_log_mel_equals_numpy():
    wave = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    filters = mel_filters(RATE, WINDOW, 20, (80.0, 3600.0))
    got = log_mel(wave, jnp.asarray(filters), WINDOW, STEP)
    hann = np.hanning(WINDOW + 1)[:-1]
    expected = [
        [np.abs(np.fft.rfft(row[t : t + WINDOW] * hann)) for t in range(0, 1000 - WINDOW + 1, STEP)]
        for row in wave.astype(np.float64)
    ]
    expected = np.log(1 + 10_000 * (np.array(expected) @ filters))
    assert got.shape == expected.shape == (2, 6, 20)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_a_tone_is_loudest_in_its_band():
    filters = mel_filters(RATE, WINDOW, 20, (80.0, 3600.0))
    time = np.arange(1000) / RATE
    centres = 700 * np.expm1(np.linspace(np.log1p(80 / 700), np.log1p(3600 / 700), 22)[1:-1])
    for band in (8, 12, 17):
        tone = np.sin(2 * np.pi * centres[band] * time)[None].astype(np.float32)
        image = np.asarray(log_mel(tone, jnp.asarray(filters), WINDOW, STEP))
        assert (image[0].argmax(axis=1) == band).all()


def test_the_default_tower_sees_9_by_16_tiles_in_0_to_1_and_silence_is_finite():
    tower = create_model("spt_base")
    assert not tower.biases
    rng = np.random.default_rng(0)
    wave = np.stack([np.zeros(153_600), rng.normal(size=153_600) * 0.1]).astype(np.float32)
    pieces = np.asarray(tower.split(wave))
    assert pieces.shape == (2, 9, 16, 80)
    assert (pieces[0] == 0).all()
    assert pieces[1].min() >= 0
    assert pieces[1].max() <= 1
    assert pieces[1].std() > 0.05


def test_a_tile_is_16_steps_of_5_bands():
    tower = create_model("spt_base", rate=RATE, window=WINDOW, step=STEP, band_range=(80.0, 3600.0))
    wave = np.random.default_rng(0).normal(size=(1, 128 * 40)).astype(np.float32)
    filters = jnp.asarray(mel_filters(RATE, WINDOW, 80, (80.0, 3600.0)))
    image = np.asarray(log_mel(wave, filters, WINDOW, STEP))[0]
    image = (image - image.min()) / (image.max() - image.min())
    pieces = np.asarray(tower.split(wave))
    assert pieces.shape == (1, 2, 16, 80)
    np.testing.assert_allclose(
        pieces[0, 1, 3].reshape(16, 5), image[16:32, 15:20], rtol=1e-4, atol=1e-5
    )
