"""Batch normalisation, ReLU and max-pool of a convolution's result, the pool first.

Where a channel's scale is positive, normalising and cutting off at 0 keep the order of numbers, so
the greatest of a window can be picked before. Where it is negative, the convolution's kernel takes
the sign. All that follows, and the sums that the gradient asks for, then go over a quarter of the
numbers; rounding keeps the order too, so the result is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cvrl_jax.models.norm import statistics


def pooled_norm(
    convolve: Callable[[jax.Array], jax.Array],
    pool: Callable[[jax.Array], jax.Array],
    kernel: jax.Array,
    scale_O: jax.Array,
    bias_O: jax.Array,
    epsilon: float,
    mask: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """pool(ReLU(scale (y - mean) / sqrt(variance + epsilon) + bias)) of y = convolve(kernel).

    Args:
      convolve: kernel [..., O] -> [B, ..., O], linear.
      pool: picks the greatest of each window of every channel.
      kernel: in the type of the arithmetic.
      scale_O: float32.
      bias_O: float32.
      epsilon: added to the variance.
      mask: bool [B, 1, ...]; False = keep the example out of the statistics. None = all count.

    Returns:
      (the result; mean and variance of y, float32 [O], without gradients).
    """
    sign_O = jax.lax.stop_gradient(jnp.where(scale_O < 0, -1.0, 1.0))
    y = convolve(kernel * sign_O.astype(kernel.dtype))
    mean_O, variance_O = statistics(y, mask)
    factor_O = jax.lax.rsqrt(variance_O + epsilon) * (sign_O * scale_O)
    normalized = (pool(y) - mean_O) * factor_O + bias_O
    out = jax.nn.relu(normalized.astype(y.dtype))
    return out, *jax.lax.stop_gradient((sign_O * mean_O, variance_O))
