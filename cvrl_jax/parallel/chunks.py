"""A batch in chunks: memory for one chunk at a time, gradients of the whole.

Gradient caching (Gao et al., arXiv 2101.06983) is forward in chunks without a graph, the loss over
the whole batch, backward in chunks. Here it is a loop over chunks whose body is computed again in
the backward pass, so that the loss behind it sees all embeddings and automatic differentiation does
the rest.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from cvrl_jax.parallel.mesh import BATCH_AXES, batch_shards

_CHUNKS = contextvars.ContextVar("chunks", default=1)


@contextlib.contextmanager
def in_chunks(count: int) -> Iterator[None]:
    """What is traced within goes through towers in that many chunks; see `map_chunks`."""
    token = _CHUNKS.set(count)
    try:
        yield
    finally:
        _CHUNKS.reset(token)


def map_chunks(
    function: Callable[[Any, jax.Array], tuple[Any, Any]], batch: Any, key: jax.Array
) -> tuple[Any, Any]:
    """`function` of a batch, or of chunk after chunk of it where `in_chunks` says so.

    Args:
      function: (part of the batch, key) -> (outputs with an axis of examples, averages over it).
      batch: a tree of arrays [N, ...]; N is divisible by devices times chunks.
      key: a typed PRNG key; each of several chunks has one of its own.

    Returns:
      (outputs of all examples in order, the averages' mean over the chunks).
    """
    count = _CHUNKS.get()
    if count == 1:
        return function(batch, key)
    chunks = jax.tree.map(lambda x: split_rows(x, count), batch)
    keys = jax.random.split(key, count)
    # Nothing in a loop's body is computed once for both passes: no need to prevent that.
    body = jax.checkpoint(lambda chunk: function(*chunk), prevent_cse=False)
    outputs, averages = jax.lax.map(body, (chunks, keys))
    return jax.tree.map(join_rows, outputs), jax.tree.map(lambda x: x.mean(axis=0), averages)


def split_rows(x: jax.Array, count: int) -> jax.Array:
    """[N, ...] -> [count, N / count, ...]: of every device's rows an equal part in each chunk."""
    shards = batch_shards()
    x = x.reshape(shards, count, -1, *x.shape[1:]).swapaxes(0, 1)
    return _on_mesh(x.reshape(count, -1, *x.shape[3:]), None, BATCH_AXES)


def join_rows(x: jax.Array) -> jax.Array:
    """The inverse of `split_rows`."""
    shards = batch_shards()
    x = x.reshape(x.shape[0], shards, -1, *x.shape[2:]).swapaxes(0, 1)
    return _on_mesh(x.reshape(-1, *x.shape[3:]), BATCH_AXES)


def _on_mesh(x: jax.Array, *axes: Any) -> jax.Array:
    if batch_shards() == 1:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*axes))


def weighted_mean(values: Any, weights_K: jax.Array) -> Any:
    """The mean over the first axis of every array of a tree, by weights that need not sum to 1."""
    share_K = weights_K / jnp.maximum(weights_K.sum(), 1)
    return jax.tree.map(lambda x: jnp.tensordot(share_K, x.astype(jnp.float32), 1), values)
