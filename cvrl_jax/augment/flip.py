"""Mirroring."""

from __future__ import annotations

import jax


def horizontal_flip(key: jax.Array, clip_TxHxWx3: jax.Array) -> jax.Array:
    """Left and right exchanged in every frame. `key` is not used: nothing is random here.

    Args:
      key: a typed PRNG key.
      clip_TxHxWx3: [T, H, W, 3].

    Returns:
      [T, H, W, 3].
    """
    del key
    return clip_TxHxWx3[:, :, ::-1]
