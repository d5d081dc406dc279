"""How much the negatives of every example weigh: the one costly part of a contrastive loss.

Three ways to the same numbers. On one device, or where the batch is sharded over no mesh, all
pairs are one matrix. `gathered` holds the rows of its device against the columns of all of them.
`ring` (see `ring.py`) streams the columns round the devices and through tiles, so that memory grows
with the batch and not with its square; it computes each similarity twice, once for the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from cvrl_jax.losses.ring import MASKED, ring_logsumexp, ring_statistics, similarity
from cvrl_jax.parallel.mesh import BATCH_AXES, batch_shards
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

Way = Literal["auto", "gathered", "ring"]

RING_FROM_BYTES = 256 << 20  # of float32 similarities on a device: from here on `auto` is `ring`


def negatives_logsumexp(
    x_BxD: jax.Array,
    y_NxD: jax.Array,
    x_valid_B: jax.Array,
    y_valid_N: jax.Array,
    temperature: float,
    way: Way = "auto",
) -> tuple[jax.Array, jax.Array]:
    """Log of the sum of exp(x_i . y_j / temperature) over the pairs of different examples.

    Args:
      x_BxD: float32 [B, D], the x of example i in row i.
      y_NxD: float32 [N, D] with N = K B: the K y of example i in rows i K to i K + K - 1.
      x_valid_B: bool [B]; an x that does not count is in no pair.
      y_valid_N: bool [N], likewise.
      temperature: above 0.
      way: see above; 'auto' takes 'ring' where a device would otherwise hold over 256 MB.

    Returns:
      (float32 [B], for every x over the y of other examples;
       float32 [N], for every y over the x of other examples). About -1e9 where there is no pair.

    Raises:
      UserError: there is no such way.
    """
    if way not in get_args(Way):
        raise UserError(
            f"way={way!r} of counting negatives is unknown; {nearest(way, get_args(Way))}"
        )
    shards = batch_shards()
    if way == "auto":
        held = 4 * len(x_BxD) * len(y_NxD) // shards
        way = "ring" if held > RING_FROM_BYTES else "gathered"
    axes = BATCH_AXES if shards > 1 else None
    per_example = len(y_NxD) // len(x_BxD)

    def on_device(
        x: jax.Array, y: jax.Array, x_valid: jax.Array, y_valid: jax.Array
    ) -> tuple[jax.Array, ...]:
        if way == "ring":
            return ring_logsumexp(x, y, x_valid, y_valid, temperature, axes)
        return _gathered(x, y, x_valid, y_valid, temperature, per_example, axes)

    of_x_B, of_y_N = _over_mesh(on_device, x_BxD, y_NxD, x_valid_B, y_valid_N)
    return of_x_B, of_y_N


def negatives_statistics(
    x_BxD: jax.Array,
    y_NxD: jax.Array,
    x_valid_B: jax.Array,
    y_valid_N: jax.Array,
    temperature: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What every x sees among the y of other examples, without gradient and in little memory.

    Args:
      x_BxD: as in `negatives_logsumexp`, like all arguments.
      y_NxD: likewise.
      x_valid_B: likewise.
      y_valid_N: likewise.
      temperature: likewise.

    Returns:
      (greatest similarity, logsumexp of all, their mean under the softmax), each float32 [B].
    """
    axes = BATCH_AXES if batch_shards() > 1 else None

    def on_device(
        x: jax.Array, y: jax.Array, x_valid: jax.Array, y_valid: jax.Array
    ) -> tuple[jax.Array, ...]:
        return ring_statistics(x, y, x_valid, y_valid, temperature, axes)

    highest_B, total_B, mean_B = _over_mesh(on_device, x_BxD, y_NxD, x_valid_B, y_valid_N)
    return highest_B, total_B, mean_B


def _over_mesh(
    on_device: Callable[..., tuple[jax.Array, ...]], *batches: jax.Array
) -> tuple[jax.Array, ...]:
    """Applies a function of each device's share of batches; its results are shares likewise."""
    if batch_shards() == 1:
        return on_device(*batches)
    rows = PartitionSpec(BATCH_AXES)
    return jax.shard_map(on_device, in_specs=rows, out_specs=rows)(*batches)


def _gathered(
    x_bxD: jax.Array,
    y_nxD: jax.Array,
    x_valid_b: jax.Array,
    y_valid_n: jax.Array,
    temperature: float,
    per_example: int,
    axes: tuple[str, ...] | None,
) -> tuple[jax.Array, jax.Array]:
    """The rows of this device against all columns; its own columns come out of a reduction."""
    own, first_row, first_column = len(y_nxD), 0, 0
    if axes is not None:
        place = jax.lax.axis_index(axes)
        first_row, first_column = place * len(x_bxD), place * own
        y_nxD = jax.lax.all_gather(y_nxD, axes, tiled=True)
        y_valid_n = jax.lax.all_gather(y_valid_n, axes, tiled=True)
    rows = first_row + jnp.arange(len(x_bxD))
    columns = jnp.arange(len(y_nxD)) // per_example
    negative = (rows[:, None] != columns) & x_valid_b[:, None] & y_valid_n
    s_bxN = jnp.where(negative, similarity(x_bxD, y_nxD, temperature), MASKED)
    of_x_b = jax.nn.logsumexp(s_bxN, axis=1)
    if axes is None:
        return of_x_b, jax.nn.logsumexp(s_bxN, axis=0)
    highest_N = jax.lax.pmax(jax.lax.stop_gradient(s_bxN.max(axis=0)), axes)
    sum_n = jax.lax.psum_scatter(jnp.exp(s_bxN - highest_N).sum(axis=0), axes, tiled=True)
    highest_n = jax.lax.dynamic_slice_in_dim(highest_N, first_column, own)
    return of_x_b, jnp.log(sum_n) + highest_n
