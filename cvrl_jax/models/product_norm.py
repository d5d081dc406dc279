"""A matrix product and the batch normalisation of its result, without keeping the result.

The mean of x W is that of x, times W, and its covariance follows from that of x in the same way.
So the statistics are known before the product is, which can then be normalised, added to a shortcut
and cut off at 0 in the pass that computes it. Backwards likewise: all that the gradient asks of x W
follows from sums over x and the gradient. A bottleneck widens its channels fourfold by its last
product: neither writing nor reading that result is what saves memory and its traffic.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from cvrl_jax.models.norm import rows_counted
from cvrl_jax.models.norm_gradient import backward_terms

Moments = tuple[jax.Array, jax.Array, jax.Array]


def moments(x: jax.Array, mask: jax.Array | None) -> Moments:
    """How many rows count, their mean [I] and their covariance [I, I], in float32.

    Args:
      x: rows [..., I].
      mask: bool, of as many axes, 1 where it is broadcast; False = does not count. None = all do.
    """
    counted, rows = x, jnp.ones(x.shape[:-1], x.dtype)[..., None]
    count = rows_counted(x, mask)
    if mask is not None:
        counted = jnp.where(mask, x, 0)
    mean_I = _sums(rows, counted)[0] / count
    square_IxI = _sums(counted, counted) / count
    return count, mean_I, square_IxI - mean_I[:, None] * mean_I


def product_statistics(moments_of_x: Moments, kernel_IxO: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and variance [O] of the columns of x W."""
    _, mean_I, covariance_IxI = moments_of_x
    kernel_IxO = kernel_IxO.astype(jnp.float32)
    spread_IxO = jnp.matmul(covariance_IxI, kernel_IxO, precision="highest")
    variance_O = jnp.maximum((kernel_IxO * spread_IxO).sum(0), 0.0)
    return jnp.matmul(mean_I, kernel_IxO, precision="highest"), variance_O


@jax.custom_vjp
def normalized_product(
    x: jax.Array,
    kernel_IxO: jax.Array,
    scale_O: jax.Array,
    bias_O: jax.Array,
    epsilon: float,
    mask: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x W - mean) / sqrt(variance + epsilon) * scale + bias, by the statistics of this x W.

    Args:
      x: rows [..., I].
      kernel_IxO: W, of the type of x.
      scale_O: float32.
      bias_O: float32.
      epsilon: added to the variance.
      mask: which rows count in the statistics, see `moments`.

    Returns:
      ([..., O] of the type of x; mean and variance, float32 [O], which carry no gradient).
    """
    return _forward(x, kernel_IxO, scale_O, bias_O, epsilon, mask)[0]


def _forward(
    x: jax.Array,
    kernel_IxO: jax.Array,
    scale_O: jax.Array,
    bias_O: jax.Array,
    epsilon: float,
    mask: jax.Array | None,
) -> tuple[Any, Any]:
    found = moments(x, mask)
    mean_O, variance_O = product_statistics(found, kernel_IxO)
    inverse_O = jax.lax.rsqrt(variance_O + epsilon)
    factor_O = scale_O * inverse_O
    y = _product(x, kernel_IxO) * factor_O + (bias_O - mean_O * factor_O)
    kept = x, kernel_IxO, scale_O, mask, found, mean_O, inverse_O
    return (y.astype(x.dtype), mean_O, variance_O), kept


def _backward(kept: Any, gradients: Any) -> Any:
    """By `backward_terms` of y = x W, and nowhere y itself."""
    x, kernel_IxO, scale_O, mask, (count, mean_I, covariance_IxI), mean_O, inverse_O = kept
    g = gradients[0]
    weights_IxO = kernel_IxO.astype(jnp.float32)
    met_IxO = _sums(x, g)
    g_O = g.sum(tuple(range(g.ndim - 1)), dtype=jnp.float32)
    met_O = (weights_IxO * met_IxO).sum(0)
    terms = backward_terms(g_O, met_O, scale_O, count, mean_O, inverse_O)
    spread_IxO = jnp.matmul(covariance_IxI, weights_IxO, precision="highest")
    kernel_gradient_IxO = terms.factor * met_IxO - count * (
        mean_I[:, None] * terms.shift + spread_IxO * terms.slope
    )
    back_OxI = (weights_IxO * terms.factor).T
    sloped_IxI = jnp.matmul(weights_IxO * terms.slope, weights_IxO.T, precision="highest")
    offset_I = jnp.matmul(weights_IxO, terms.shift - terms.slope * mean_O, precision="highest")
    by_statistics = _product(x, sloped_IxI.astype(x.dtype)) + offset_I
    if mask is not None:
        by_statistics = jnp.where(mask, by_statistics, 0.0)
    by_statistics = jax.lax.optimization_barrier(by_statistics.astype(x.dtype))
    x_gradient = _product(g, back_OxI.astype(g.dtype)) - by_statistics
    return (
        x_gradient.astype(x.dtype),
        kernel_gradient_IxO.astype(kernel_IxO.dtype),
        terms.scale_gradient,
        g_O,
        None,
        None,
    )


normalized_product.defvjp(_forward, _backward)


def _product(x: jax.Array, kernel_IxO: jax.Array) -> jax.Array:
    """[..., I] -> float32 [..., O]; a convolution, whose layout the neighbouring ones share."""
    axes = "DHW"[: x.ndim - 2]
    return jax.lax.conv_general_dilated(
        x,
        kernel_IxO.reshape(*[1] * len(axes), *kernel_IxO.shape),
        [1] * len(axes),
        "VALID",
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        preferred_element_type=jnp.float32,
    )


def _sums(x: jax.Array, y: jax.Array) -> jax.Array:
    """[..., I], [..., O] -> sums of the products over all rows, float32 [I, O]."""
    axes = "DHW"[: x.ndim - 2]
    sums = jax.lax.conv_general_dilated(
        x,
        y,
        [1] * len(axes),
        "VALID",
        dimension_numbers=(f"C{axes}N", f"I{axes}O", f"N{axes}C"),
        preferred_element_type=jnp.float32,
    )
    return sums.reshape(x.shape[-1], y.shape[-1])
