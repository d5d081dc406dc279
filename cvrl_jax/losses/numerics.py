"""What every loss here shares: unit vectors, and the mean over the rows that count."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_EPSILON = 1e-12  # smallest squared norm divided by: a zero vector stays zero, with zero gradient


def l2_normalize(z_BxD: jax.Array) -> jax.Array:
    """Rows scaled to unit length, in float32 whatever the input's type.

    Args:
      z_BxD: [B, D], any floating type.

    Returns:
      float32 [B, D]; a row of zeros stays zero.
    """
    z_BxD = z_BxD.astype(jnp.float32)
    squared_Bx1 = jnp.sum(jnp.square(z_BxD), axis=-1, keepdims=True)
    return z_BxD * jax.lax.rsqrt(jnp.maximum(squared_Bx1, _EPSILON))


def zero_invalid_rows(z_BxD: jax.Array, valid_B: jax.Array) -> jax.Array:
    """Rows that do not count replaced by zeros, so that not even their NaNs reach a gradient.

    Args:
      z_BxD: [B, D].
      valid_B: bool [B].

    Returns:
      [B, D] of the same type.
    """
    return jnp.where(valid_B[:, None], z_BxD, jnp.zeros_like(z_BxD))


def all_valid(valid_B: jax.Array | None, batch_size: int) -> jax.Array:
    """`valid_B` as bool [B], all true when it is None."""
    if valid_B is None:
        return jnp.ones(batch_size, bool)
    return valid_B.astype(bool)


def mean_over_valid(values_B: jax.Array, valid_B: jax.Array) -> jax.Array:
    """Mean of the values that count; 0 (with zero gradient) when none does.

    Args:
      values_B: [B]; what stands in the rows that do not count is ignored, NaN included.
      valid_B: bool [B].

    Returns:
      A scalar of the type of `values_B`.
    """
    kept_B = jnp.where(valid_B, values_B, jnp.zeros_like(values_B))
    return jnp.sum(kept_B) / jnp.maximum(jnp.sum(valid_B), 1)
