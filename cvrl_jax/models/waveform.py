"""The transformer of raw waveforms (VATT, arXiv 2104.11178, 3.1)."""

from __future__ import annotations

import jax

from cvrl_jax.models.token_tower import TokenTower


class WaveformTransformer(TokenTower):
    """Each `patch` samples of a waveform become a token.

    Attributes (and those of `TokenTower`):
      patch: samples; what is left over at the end is cut off.
      grid: rows of the position table: 1200 for 153,600 samples.
    """

    patch: int = 128
    grid: tuple[int] = (1200,)

    def split(self, x: jax.Array) -> jax.Array:
        """Waveforms [N, S] in [-1, 1] -> [N, S // patch, patch]."""
        tokens = x.shape[1] // self.patch
        x = x[:, : tokens * self.patch].astype(self.dtype)
        return x.reshape(x.shape[0], tokens, self.patch)
