"""A method with its variables as evaluations see it: a frozen network."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from cvrl_jax.evaluation.features import Network
from cvrl_jax.methods import Batch, Method, Variables
from cvrl_jax.models.transformer import Transformer
from cvrl_jax.parallel.mesh import BATCH_AXES, batch_sharding, local_rows, put_batch, share
from cvrl_jax.state import MODALITIES, make_embed

HostBatch = dict[str, np.ndarray]

_OF_VIDEOS = ("text",)  # what a video has once; everything else it has once per view


def make_network(method: Method, mesh: Mesh, clips: int = 64) -> Callable[[Variables], Network]:
    """Builds variables -> frozen network, compiled once for all variables.

    Args:
      method: of the network.
      mesh: the devices; any number of them serves any batch.
      clips: most views (or sentences' videos) in one forward pass over all devices, so that memory
        does not grow with the views of a video.
    """
    own_share = share(mesh)
    parts = own_share[1]
    devices = math.prod(mesh.shape[axis] for axis in BATCH_AXES) // parts
    in_pieces = functools.partial(run_in_pieces, most=max(1, clips // parts), devices=devices)
    embed = make_embed(method, mesh)

    def tokens(variables: Variables, batch: Batch, modality: str) -> jax.Array | None:
        return transformer_tokens(method, variables, batch, modality)

    jitted = jax.jit(
        tokens,
        static_argnums=2,
        in_shardings=(None, batch_sharding(mesh)),
        out_shardings=batch_sharding(mesh),
    )

    def embed_views(variables: Variables, batch: HostBatch) -> HostBatch:
        outputs: HostBatch = {}
        for seen in _by_kind(batch):
            outputs |= in_pieces(lambda piece: embed(variables, piece), seen)
        return outputs

    def tokens_of(variables: Variables, batch: HostBatch, modality: str) -> np.ndarray | None:
        def run(piece: HostBatch) -> HostBatch:
            found = jitted(variables, put_batch(piece, mesh), modality)
            return {} if found is None else {modality: local_rows(found)}

        seen = {k: v for part in _by_kind(batch) for k, v in part.items() if k.startswith(modality)}
        return in_pieces(run, seen).get(modality)

    return lambda variables: Network(
        inputs=method.inputs,
        embed=lambda batch: embed_views(variables, batch),
        tokens=lambda batch, modality: tokens_of(variables, batch, modality),
        share=own_share,
    )


def _by_kind(batch: HostBatch) -> list[HostBatch]:
    """What a network sees of a batch: what videos have by view, and what they have once."""
    seen = {key: batch[key] for key in MODALITIES if key in batch}
    once = {key: value for key, value in seen.items() if key in _OF_VIDEOS}
    by_view = {key: value for key, value in seen.items() if key not in once}
    return [part for part in (by_view, once) if part]


def run_in_pieces(
    run: Callable[[HostBatch], HostBatch], batch: HostBatch, *, most: int, devices: int
) -> HostBatch:
    """Runs `run` on a batch a few views at a time.

    The pieces are equally large; what is missing in the last one is filled up with zeros, the
    outputs of which are dropped.

    Args:
      run: arrays [n, 1, ...] -> arrays [n, 1, ...] (texts [n, K, L] -> [n, K, ...]); n is the same
        for batches of one shape, and `devices` divides it.
      batch: arrays [B, V, ...] of the same B and V, or texts [B, K, L] alone.
      most: rows n of a piece, rounded up to a multiple of `devices`.
      devices: of this process.

    Returns:
      Arrays [B, V, ...], or [B, K, ...] of texts.
    """
    videos, views = next(iter(batch.values())).shape[:2]
    split = not set(batch) <= set(_OF_VIDEOS)
    if split:
        batch = {k: v.reshape(videos * views, 1, *v.shape[2:]) for k, v in batch.items()}
    total = len(next(iter(batch.values())))
    size = -(-total // (-(-total // most) * devices)) * devices
    found: dict[str, list[np.ndarray]] = {}
    for begin in range(0, total, size):
        rows = {key: value[begin : begin + size] for key, value in batch.items()}
        count = min(size, total - begin)
        for name, value in run({k: _filled_up(v, size) for k, v in rows.items()}).items():
            found.setdefault(name, []).append(np.asarray(value)[:count])
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    if not split:
        return joined
    return {name: v.reshape(videos, views, *v.shape[2:]) for name, v in joined.items()}


def _filled_up(rows: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(rows)
    return np.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1)) if missing else rows


def transformer_tokens(
    method: Method, variables: Variables, batch: Batch, modality: str
) -> jax.Array | None:
    """What the last layer of a method's transformer says of every token of a modality.

    Args:
      method: any; it is asked to embed this modality alone.
      variables: of the method.
      batch: with `modality` [B, V, ...] and nothing of others.
      modality: "video", "audio" or "text".

    Returns:
      float16 [B, V, L, D], normalised as the transformer leaves them, AGG token included; None of a
      network that is no transformer.
    """
    found: list[jax.Array] = []

    def listen(call: Callable, args: Any, kwargs: Any, context: nn.module.InterceptorContext):
        output = call(*args, **kwargs)
        if isinstance(context.module, Transformer) and context.method_name == "__call__":
            found.append(output)
        return output

    with nn.intercept_methods(listen):
        method.embed(variables, batch)
    if not found:
        return None
    (tokens_NxLxD,) = found
    return tokens_NxLxD.astype(jnp.float16).reshape(
        *batch[modality].shape[:2], *tokens_NxLxD.shape[1:]
    )
