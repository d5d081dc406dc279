"""Augmentation of waveforms: noise, and a little of another example's sound."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

MIXUP_BETA = (10.0, 2.0)  # of VATT's released code: a waveform keeps 10 / 12 of itself on average


@dataclasses.dataclass(frozen=True)
class AudioAugmentation:
    """What happens to the waveforms of a batch on the device.

    Attributes:
      noise: standard deviation of Gaussian noise as a fraction of a waveform's greatest absolute
        value; the released VATT code has 0.01, the paper none.
      mixup: mix each waveform with the next one of the batch, by a share drawn from
        Beta(10, 2) for its own (arXiv 1710.09412; off in VATT).
    """

    noise: float = 0.0
    mixup: bool = False

    def __call__(self, key: jax.Array, wave_NxS: jax.Array) -> jax.Array:
        """float32 [N, S] -> the same; values may leave [-1, 1] by the noise."""
        mix_key, noise_key = jax.random.split(key)
        if self.mixup:
            own_Nx1 = jax.random.beta(mix_key, *MIXUP_BETA, shape=(wave_NxS.shape[0], 1))
            wave_NxS = own_Nx1 * wave_NxS + (1 - own_Nx1) * jnp.roll(wave_NxS, 1, axis=0)
        if self.noise:
            loudest_Nx1 = jnp.abs(wave_NxS).max(axis=1, keepdims=True)
            noise_NxS = jax.random.normal(noise_key, wave_NxS.shape)
            wave_NxS = wave_NxS + self.noise * loudest_Nx1 * noise_NxS
        return wave_NxS
