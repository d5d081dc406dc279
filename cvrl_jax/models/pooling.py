"""The spatial max-pool of residual networks, with two lowerings like `Conv3D`."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from cvrl_jax.models.conv3d import lowering_here, pads_for

_WINDOW, _STRIDES = (1, 3, 3), (1, 2, 2)


def max_pool(x_BxTxHxWxC: jax.Array, padding: str, lowering: str = "auto") -> jax.Array:
    """The greatest of 3 x 3 pixels, every second row and column: [B, T, H', W', C].

    Where several pixels are the greatest, the gradient goes to the first one by 'direct', to all of
    them in parts by 'split'. After a ReLU that happens at 0 alone, where its own gradient is 0.

    Args:
      x_BxTxHxWxC: activations, above -inf.
      padding: 'same' or 'symmetric', see `pads_for`.
      lowering: 'direct', 'joint' = one windowed reduction; 'split' = the greater of shifted maps,
        down and then across, whose gradient XLA's CPU backend computes four times faster; 'auto' =
        'split' where the call is traced for CPUs.
    """
    pads = [(0, 0), *pads_for(padding, x_BxTxHxWxC.shape[1:4], _WINDOW, _STRIDES), (0, 0)]
    if lowering_here(lowering) != "split":
        return jax.lax.reduce_window(
            x_BxTxHxWxC, -jnp.inf, jax.lax.max, (1, *_WINDOW, 1), (1, *_STRIDES, 1), pads
        )
    x = jnp.pad(x_BxTxHxWxC, pads, constant_values=-jnp.inf)
    for axis in (2, 3):
        size = (x.shape[axis] - 3) // 2 + 1
        taps = [jax.lax.slice_in_dim(x, first, first + 2 * size - 1, 2, axis) for first in range(3)]
        x = functools.reduce(jnp.maximum, taps)
    return x
