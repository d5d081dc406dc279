"""The transformer of log-mel spectrograms (VATT, arXiv 2104.11178, Table 10)."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.models.token_tower import TokenTower

LOG_GAIN = 10_000.0  # of the released code: log(1 + gain * mel)


class SpectrogramTransformer(TokenTower):
    """A waveform becomes a log-mel spectrogram in [0, 1], each time x frequency tile of it a token.

    The defaults, those of the released code, make 149 x 80 of 153,600 samples and of these 9 x 16
    tokens.

    Attributes (and those of `TokenTower`):
      patch: steps of time, mel bands.
      grid: rows of the position tables of time and frequency.
      rate: samples per second.
      window: samples under one Fourier transform.
      step: samples between transforms.
      bands: mel bands.
      band_range: lowest and highest frequency, Hz.
    """

    patch: tuple[int, int] = (16, 5)
    grid: tuple[int, int] = (9, 16)
    rate: int = 48_000
    window: int = 2048
    step: int = 1024
    bands: int = 80
    band_range: tuple[float, float] = (80.0, 7600.0)

    def split(self, x: jax.Array) -> jax.Array:
        """Waveforms [N, S] in [-1, 1] -> tiles [N, time, frequency, P]."""
        (pt, pf), count = self.patch, x.shape[0]
        if x.shape[1] < self.window + (pt - 1) * self.step:
            return jnp.zeros((count, 0, self.bands // pf, pt * pf), self.dtype)
        filters = mel_filters(self.rate, self.window, self.bands, self.band_range)
        image = log_mel(x, jnp.asarray(filters), self.window, self.step)
        lowest = image.min(axis=(1, 2), keepdims=True)
        span = image.max(axis=(1, 2), keepdims=True) - lowest
        image = (image - lowest) / jnp.maximum(span, 1e-6)  # silence becomes 0
        gt, gf = image.shape[1] // pt, image.shape[2] // pf
        image = image[:, : gt * pt, : gf * pf].reshape(count, gt, pt, gf, pf)
        return image.transpose(0, 1, 3, 2, 4).reshape(count, gt, gf, pt * pf).astype(self.dtype)


def log_mel(wave_NxS: jax.Array, filters_FxM: jax.Array, window: int, step: int) -> jax.Array:
    """log(1 + 10^4 mel) of the magnitudes under a Hann window, float32 [N, T, M].

    Args:
      wave_NxS: waveforms in [-1, 1].
      filters_FxM: see `mel_filters`, F = window // 2 + 1.
      window: samples per transform.
      step: samples between transforms; T = (S - window) // step + 1.
    """
    wave = wave_NxS.astype(jnp.float32)
    starts = np.arange(0, wave.shape[1] - window + 1, step)
    frames = wave[:, starts[:, None] + np.arange(window)]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    magnitude = jnp.abs(jnp.fft.rfft(frames * hann.astype(np.float32), axis=-1))
    return jnp.log1p(LOG_GAIN * (magnitude @ filters_FxM))


@functools.cache
def mel_filters(rate: int, window: int, bands: int, band_range: tuple[float, float]) -> np.ndarray:
    """Triangles, evenly spaced in mel = 1127 ln(1 + Hz / 700): float32 [window // 2 + 1, bands]."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    bins = mel(np.linspace(0.0, rate / 2, window // 2 + 1))[:, None]
    edges = np.linspace(mel(band_range[0]), mel(band_range[1]), bands + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
