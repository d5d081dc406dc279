"""The gradient of batch normalisation, written out (Ioffe & Szegedy, arXiv 1502.03167, section 3).

Differentiation keeps x - mean for it, which XLA's CPU backend writes to memory and reads three
times; written out, it asks for x alone, which is there anyway.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cvrl_jax.models.norm import rows_counted, statistics


class BackwardTerms(NamedTuple):
    """dL/dx = factor g - (shift + slope (x - mean)) of batch normalisation; each float32 [C].

    What is in brackets comes by the statistics: it is 0 for what does not count in them.
    """

    factor: jax.Array
    shift: jax.Array
    slope: jax.Array
    scale_gradient: jax.Array


def backward_terms(
    g_C: jax.Array,
    met_C: jax.Array,
    scale_C: jax.Array,
    count: jax.Array,
    mean_C: jax.Array,
    inverse_C: jax.Array,
) -> BackwardTerms:
    """The terms of dL/dx, from sums over all that is normalised.

    Args:
      g_C: sum of the output's gradient g.
      met_C: sum of g x.
      scale_C: the parameter.
      count: how much counts in the statistics.
      mean_C: of x.
      inverse_C: 1 / sqrt(variance + epsilon).
    """
    scale_gradient_C = inverse_C * (met_C - mean_C * g_C)
    factor_C = scale_C * inverse_C
    slope_C = factor_C * inverse_C * scale_gradient_C / count
    return BackwardTerms(factor_C, factor_C * g_C / count, slope_C, scale_gradient_C)


@jax.custom_vjp
def batch_normalized(
    x_BxC: jax.Array,
    scale_C: jax.Array,
    bias_C: jax.Array,
    epsilon: float,
    mask: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, by the statistics of this x.

    Args:
      x_BxC: activations [B, ..., C].
      scale_C: float32.
      bias_C: float32.
      epsilon: added to the variance.
      mask: which examples count in the statistics, see `norm.counted`.

    Returns:
      ([B, ..., C] of the type of x; mean and variance, float32 [C], which carry no gradient).
    """
    return _forward(x_BxC, scale_C, bias_C, epsilon, mask)[0]


def _forward(
    x_BxC: jax.Array,
    scale_C: jax.Array,
    bias_C: jax.Array,
    epsilon: float,
    mask: jax.Array | None,
) -> tuple[Any, Any]:
    mean_C, variance_C = statistics(x_BxC, mask)
    inverse_C = jax.lax.rsqrt(variance_C + epsilon)
    factor_C = scale_C * inverse_C
    y_BxC = x_BxC.astype(jnp.float32) * factor_C + (bias_C - mean_C * factor_C)
    kept = x_BxC, scale_C, mask, rows_counted(x_BxC, mask), mean_C, inverse_C
    return (y_BxC.astype(x_BxC.dtype), mean_C, variance_C), kept


def _backward(kept: Any, gradients: Any) -> Any:
    x_BxC, scale_C, mask, count, mean_C, inverse_C = kept
    g_BxC, axes = gradients[0].astype(jnp.float32), tuple(range(x_BxC.ndim - 1))
    exact = x_BxC.astype(jnp.float32)
    g_C, met_C = g_BxC.sum(axes), (g_BxC * exact).sum(axes)
    terms = backward_terms(g_C, met_C, scale_C, count, mean_C, inverse_C)
    by_statistics = exact * terms.slope + (terms.shift - terms.slope * mean_C)
    if mask is not None:
        by_statistics = jnp.where(mask, by_statistics, 0.0)
    x_gradient = (g_BxC * terms.factor - by_statistics).astype(x_BxC.dtype)
    return x_gradient, terms.scale_gradient, g_C, None, None


batch_normalized.defvjp(_forward, _backward)
