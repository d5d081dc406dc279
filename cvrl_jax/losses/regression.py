"""Regression of a target embedding, the loss of BYOL and its relatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cvrl_jax.losses import numerics


def normalized_regression(
    prediction_BxD: jax.Array,
    target_BxD: jax.Array,
    valid_B: jax.Array | None = None,
) -> jax.Array:
    """Squared distance of two unit vectors, 2 - 2 cos (BYOL, arXiv 2006.07733, eq. 2).

    Args:
      prediction_BxD: [B, D] of any length: L2-normalised here, in float32.
      target_BxD: [B, D], likewise. No gradient flows to it.
      valid_B: bool [B]; false rows do not count. None means that all do.

    Returns:
      A float32 scalar in [0, 4], averaged over the valid rows; 0 when there are none.
    """
    valid_B = numerics.all_valid(valid_B, prediction_BxD.shape[0])
    target_BxD = jax.lax.stop_gradient(target_BxD)
    p_BxD = numerics.l2_normalize(numerics.zero_invalid_rows(prediction_BxD, valid_B))
    z_BxD = numerics.l2_normalize(numerics.zero_invalid_rows(target_BxD, valid_B))
    return numerics.mean_over_valid(2 - 2 * jnp.sum(p_BxD * z_BxD, axis=-1), valid_B)
