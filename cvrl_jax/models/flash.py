"""Attention on TPUs that keeps its scores on the chip: JAX's own kernel, fitted to our sequences.

Dao et al., arXiv 2205.14135: rows of scores are computed tile by tile, forwards and backwards, and
never written to memory.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

SHORTEST = 512
"""Tokens from which on it is worth it: below, all scores of a head fit the chip's own memory."""

_TILE = 128
_LARGEST = 2048  # tokens whose keys and values are kept on the chip at once


def flash(
    q_NxSxHxd: jax.Array, k_NxSxHxd: jax.Array, v_NxSxHxd: jax.Array, scale: float
) -> jax.Array:
    """softmax(scale q k^T) v, of [N, S, H, d] each; every device takes its own rows and heads."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return _local(q_NxSxHxd, k_NxSxHxd, v_NxSxHxd, scale)
    sizes = dict(mesh.shape)
    rows = tuple(axis for axis in sizes if axis != "model")  # those of the batch, see parallel/mesh
    shards = math.prod(sizes[axis] for axis in rows)
    heads = "model" if q_NxSxHxd.shape[2] % sizes.get("model", 1) == 0 else None
    spec = PartitionSpec(
        rows if q_NxSxHxd.shape[0] % shards == 0 else None, None, heads if heads in sizes else None
    )
    local = jax.shard_map(
        lambda q, k, v: _local(q, k, v, scale),
        in_specs=(spec, spec, spec),
        out_specs=spec,
        check_vma=False,
    )
    return local(q_NxSxHxd, k_NxSxHxd, v_NxSxHxd)


def _local(q: jax.Array, k: jax.Array, v: jax.Array, scale: float) -> jax.Array:
    # Imported here: Pallas takes a while, and most runs never ask for it.
    from jax.experimental.pallas.ops.tpu.flash_attention import (
        BlockSizes,
        SegmentIds,
        flash_attention,
    )

    rows, tokens = q.shape[:2]
    padded = -(-tokens // _TILE) * _TILE
    q, k, v = (
        jnp.pad(x.transpose(0, 2, 1, 3), ((0, 0), (0, 0), (0, padded - tokens), (0, 0)))
        for x in (q, k, v)
    )
    segments = None
    if padded > tokens:  # tokens see those of their own segment, so none sees the padding
        real = jnp.broadcast_to((jnp.arange(padded) < tokens).astype(jnp.int32), (rows, padded))
        segments = SegmentIds(real, real)
    tiles = padded // _TILE
    whole = _TILE * max(n for n in range(1, _LARGEST // _TILE + 1) if tiles % n == 0)
    sizes = BlockSizes(
        block_q=_TILE,
        block_k_major=whole,
        block_k=whole,
        block_b=1,
        block_q_major_dkv=whole,
        block_k_major_dkv=_TILE,
        block_k_dkv=_TILE,
        block_q_dkv=_TILE,
        block_k_major_dq=whole,
        block_k_dq=_TILE,
        block_q_dq=_TILE,
    )
    out = flash_attention(q, k, v, segment_ids=segments, sm_scale=scale, block_sizes=sizes)
    return out[:, :, :tokens].transpose(0, 2, 1, 3)
