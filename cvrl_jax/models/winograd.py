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

    Wherever the algorithm multiplies what one pair of neighbours and the next differ by, products
    of pairs are subtracted instead: there are often fewer channels after than before.

    Args:
      conv: (x, kernel) -> y, where kernels have one entry on that axis.
      axis: of x and y, [B, ..., I] and [B, ..., O]; of a kernel [..., I, O] it is the one before.

    Returns:
      (x, kernel) -> y, whose axis is as long as that of x: there is a zero before and after it.
    """

    def along(x: jax.Array, kernel: jax.Array) -> jax.Array:
        entries = x.shape[axis]

        def padded(x: jax.Array, before: int, after: int) -> jax.Array:
            pads = [(0, 0)] * x.ndim
            pads[axis] = (before, after)
            return jnp.pad(x, pads)

        def part(x: jax.Array, start: int, end: int | None, stride: int = 1) -> jax.Array:
            return jax.lax.slice_in_dim(x, start, end, stride, axis)

        x = padded(x, 0, entries % 2)  # the last one's partner is thrown away
        x1, x2 = part(x, 0, None, 2), part(x, 1, None, 2)
        first, middle, last = (
            jax.lax.slice_in_dim(kernel, i, i + 1, axis=axis - 1) for i in range(3)
        )
        ends = first + last
        y0, y1 = conv(x2, first), conv(x1 + x2, (ends + middle) / 2)
        y2, y3 = conv(x2 - x1, (ends - middle) / 2), conv(x1, last)
        # x0 is the x2 of the pair before, x3 the x1 of the next.
        before, after = padded(part(y0, 0, -1), 1, 0), padded(part(y3, 1, None), 0, 1)
        y = jnp.stack([before - y0 + y1 + y2, y1 - y2 - y3 + after], axis=axis + 1)
        y = y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])
        return part(y, 0, entries)

    return along
