"""The gradient of a method's loss over a batch, whole or piece by piece."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from cvrl_jax.methods.base import Aux, Batch, Method, Variables
from cvrl_jax.parallel.chunks import in_chunks, join_rows, split_rows, weighted_mean

Gradients = tuple[tuple[jax.Array, Aux], Any]


def loss_and_gradients(
    method: Method,
    variables: Variables,
    batch: Batch,
    key: jax.Array,
    *,
    chunks: int = 1,
    accumulate: int = 1,
) -> Gradients:
    """((loss, Aux), gradients of the parameters), those of the whole batch.

    Args:
      method: whose loss.
      variables: all collections of the method.
      batch: the global batch.
      key: of the step.
      chunks: towers see that many chunks one after the other, and again in the backward pass; the
        loss sees the whole batch. Equal to the whole batch but for what the towers themselves
        measure over a batch (BatchNorm: over a chunk) and draw for it (dropout).
      accumulate: the loss sees that many batches one after the other, BatchNorm too, and gradients
        are averaged by their valid examples. Only for losses that do not compare examples.
    """
    if accumulate == 1:
        return _at_once(method, variables, batch, key, chunks)
    micro_batches = {name: split_rows(x, accumulate) for name, x in batch.items()}
    shapes = jax.eval_shape(lambda b: _at_once(method, variables, b, key, chunks), batch)
    total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[1])

    def add(carry: Any, inputs: Any) -> tuple[Any, Any]:
        collections, total = carry
        micro_batch, micro_key = inputs
        (loss, aux), gradients = _at_once(
            method, variables | collections, micro_batch, micro_key, chunks
        )
        weight = micro_batch["valid"].sum().astype(jnp.float32)
        total = jax.tree.map(lambda t, g: t + weight * g, total, gradients)
        return (aux.collections, total), (loss, aux.metrics, aux.features, weight)

    collections = {name: variables[name] for name in shapes[0][1].collections}
    (collections, total), (losses, metrics, features, weights) = jax.lax.scan(
        add, (collections, total), (micro_batches, jax.random.split(key, accumulate))
    )
    loss, metrics = weighted_mean((losses, metrics), weights)
    gradients = jax.tree.map(lambda t: t / jnp.maximum(weights.sum(), 1), total)
    return (loss, Aux(metrics, collections, join_rows(features))), gradients


def _at_once(
    method: Method, variables: Variables, batch: Batch, key: jax.Array, chunks: int
) -> Gradients:
    def loss(params: Any) -> tuple[jax.Array, Aux]:
        with in_chunks(chunks):
            return method.loss(variables | {"params": params}, batch, key)

    return jax.value_and_grad(loss, has_aux=True)(variables["params"])
