"""Convolutions of windows of three by Winograd's F(2, 3), along one axis at a time.

Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.1: two neighbours
of the output by four products instead of six. What one axis leaves is a convolution along the
others, so axes can be taken one after the other. The gradients, by differentiation, save as much.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

Conv = Callable[[jax.Array, jax.Array], jax.Array]


def two_at_once(conv: Conv, axis: int) -> Conv:
    """A convolution along one more axis: its window there has three entries, its stride is 1.

    Args:
      conv: (x, kernel) -> y, where kernels have one entry on that axis.
      axis: of x and y, [B, ..., I] and [B, ..., O]; of a kernel [..., I, O] it is the one before.

    Returns:
      (x, kernel) -> y, whose axis is shorter by two than that of x: its zeros are part of it.
    """

    def along(x: jax.Array, kernel: jax.Array) -> jax.Array:
        outputs = x.shape[axis] - 2
        odd = [(0, 0)] * x.ndim
        odd[axis] = (0, outputs % 2)  # the last one's partner is thrown away
        x = jnp.pad(x, odd)
        end = x.shape[axis] - 3
        x0, x1, x2, x3 = (jax.lax.slice_in_dim(x, i, end + i, 2, axis) for i in range(4))
        first, middle, last = (
            jax.lax.slice_in_dim(kernel, i, i + 1, axis=axis - 1) for i in range(3)
        )
        ends = first + last
        y0, y1 = conv(x0 - x2, first), conv(x1 + x2, (ends + middle) / 2)
        y2, y3 = conv(x2 - x1, (ends - middle) / 2), conv(x1 - x3, last)
        y = jnp.stack([y0 + y1 + y2, y1 - y2 - y3], axis=axis + 1)
        y = y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])
        return jax.lax.slice_in_dim(y, 0, outputs, axis=axis)

    return along
