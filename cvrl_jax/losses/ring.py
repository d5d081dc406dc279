"""The logsumexp over negatives in memory that grows with the batch, not with its square.

The columns (y, and what has been summed for them) travel round the devices; each device meets them
with its own rows, tile by tile, and keeps a running logsumexp. The backward pass goes round once
more and computes the similarities again (as in ring attention, arXiv 2310.01889).
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

MASKED = -1e9  # finite: a row without any negative must still have a finite logsumexp

_TILE_BYTES = 16 << 20  # of similarities at a time

Axes = tuple[str, ...] | None


def similarity(x_BxD: jax.Array, y_NxD: jax.Array, temperature: float) -> jax.Array:
    """Inner products divided by the temperature, [B, N]."""
    # By default accelerators multiply float32 in fewer bits; the temperature would magnify that.
    product = jnp.matmul(x_BxD, y_NxD.T, precision=jax.lax.Precision.HIGHEST)
    return product / temperature


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def ring_logsumexp(
    x_bxD: jax.Array,
    y_nxD: jax.Array,
    x_valid_b: jax.Array,
    y_valid_n: jax.Array,
    temperature: float,
    axes: Axes,
) -> tuple[jax.Array, jax.Array]:
    """What `negatives.negatives_logsumexp` promises, for the rows and columns of this device.

    Args:
      x_bxD: this device's rows.
      y_nxD: its columns, the same number for each row.
      x_valid_b: which rows count.
      y_valid_n: which columns count.
      temperature: above 0.
      axes: the mesh axes of the ring, inside `shard_map`; None for one device.
    """
    return _forward(x_bxD, y_nxD, x_valid_b, y_valid_n, temperature, axes)[0]


def _forward(
    x: jax.Array,
    y: jax.Array,
    x_valid: jax.Array,
    y_valid: jax.Array,
    temperature: float,
    axes: Axes,
) -> tuple[Any, Any]:
    example_b, example_n = _examples(x, y, axes)
    none = jnp.full_like(x[:, 0], MASKED)

    def meet(of_x: jax.Array, columns: Any) -> tuple[jax.Array, Any]:
        y, y_valid, example, of_y = columns
        negative = (example_b[:, None] != example) & x_valid[:, None] & y_valid
        s = jnp.where(negative, similarity(x, y, temperature), MASKED)
        of_x = jnp.logaddexp(of_x, jax.nn.logsumexp(s, axis=1))
        of_y = jnp.logaddexp(of_y, jax.nn.logsumexp(s, axis=0))
        return of_x, (y, y_valid, example, of_y)

    columns = (y, y_valid, example_n, jnp.full_like(y[:, 0], MASKED))
    of_x, (*_, of_y) = _go_round(meet, none, columns, len(x), axes)
    return (of_x, of_y), (x, y, x_valid, y_valid, of_x, of_y)


def _backward(temperature: float, axes: Axes, saved: Any, gradients: Any) -> tuple:
    x, y, x_valid, y_valid, of_x, of_y = saved
    to_x, to_y = gradients
    example_b, example_n = _examples(x, y, axes)

    def meet(dx: jax.Array, columns: Any) -> tuple[jax.Array, Any]:
        y, y_valid, example, of_y, to_y, dy = columns
        negative = (example_b[:, None] != example) & x_valid[:, None] & y_valid
        s = similarity(x, y, temperature)
        weight = jnp.exp(s - of_x[:, None]) * to_x[:, None] + jnp.exp(s - of_y) * to_y
        weight = jnp.where(negative, weight, 0) / temperature
        dx += jnp.matmul(weight, y, precision=jax.lax.Precision.HIGHEST)
        dy += jnp.matmul(weight.T, x, precision=jax.lax.Precision.HIGHEST)
        return dx, (y, y_valid, example, of_y, to_y, dy)

    columns = (y, y_valid, example_n, of_y, to_y, jnp.zeros_like(y))
    dx, (*_, dy) = _go_round(meet, jnp.zeros_like(x), columns, len(x), axes)
    return dx, dy, None, None


ring_logsumexp.defvjp(_forward, _backward)


def ring_statistics(
    x: jax.Array,
    y: jax.Array,
    x_valid: jax.Array,
    y_valid: jax.Array,
    temperature: float,
    axes: Axes,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What the rows of this device see among the valid columns of other examples; no gradient.

    Returns:
      (greatest similarity, logsumexp of all, their mean under the softmax), each float32 [b].
    """
    example_b, example_n = _examples(x, y, axes)

    def meet(seen: Any, columns: Any) -> tuple[Any, Any]:
        highest, total, mean = seen
        y, y_valid, example = columns
        negative = (example_b[:, None] != example) & x_valid[:, None] & y_valid
        s = jnp.where(negative, similarity(x, y, temperature), MASKED)
        of_tile = jax.nn.logsumexp(s, axis=1)
        both = jnp.logaddexp(total, of_tile)
        tile_mean = (jnp.exp(s - of_tile[:, None]) * s).sum(axis=1)
        mean = mean * jnp.exp(total - both) + tile_mean * jnp.exp(of_tile - both)
        return (jnp.maximum(highest, s.max(axis=1)), both, mean), columns

    x, y = jax.lax.stop_gradient((x, y))
    none = jnp.full_like(x[:, 0], MASKED)
    return _go_round(meet, (none, none, none), (y, y_valid, example_n), len(x), axes)[0]


def _examples(x: jax.Array, y: jax.Array, axes: Axes) -> tuple[jax.Array, jax.Array]:
    """Which example each row and column belongs to."""
    first = 0 if axes is None else jax.lax.axis_index(axes) * len(x)
    return first + jnp.arange(len(x)), first + jnp.arange(len(y)) // (len(y) // len(x))


def _go_round(meet: Any, rows: Any, columns: Any, count: int, axes: Axes) -> tuple[Any, Any]:
    """Lets `meet(rows, tile of columns)` change both, for the columns of every device in turn."""
    length = len(columns[0])
    tile = _tile(length, count)

    def meet_tiles(rows: Any, columns: Any) -> tuple[Any, Any]:
        if tile == length:
            return meet(rows, columns)
        tiles = jax.tree.map(lambda c: c.reshape(length // tile, tile, *c.shape[1:]), columns)
        rows, tiles = jax.lax.scan(meet, rows, tiles)
        return rows, jax.tree.map(lambda c: c.reshape(length, *c.shape[2:]), tiles)

    if axes is None:
        return meet_tiles(rows, columns)
    devices = jax.lax.axis_size(axes)
    onward = [(place, (place + 1) % devices) for place in range(devices)]

    def step(state: Any, _: None) -> tuple[Any, None]:
        rows, columns = meet_tiles(*state)
        return (rows, jax.tree.map(lambda c: jax.lax.ppermute(c, axes, onward), columns)), None

    return jax.lax.scan(step, (rows, columns), length=devices)[0]


def _tile(columns: int, rows: int) -> int:
    """The largest divisor of the columns whose similarities with all rows stay within a tile."""
    most = max(1, _TILE_BYTES // (4 * rows))
    return next(size for size in range(min(columns, most), 0, -1) if columns % size == 0)
