"""Multi-head self-attention, with T5's relative bias where a tower wants it."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.models.heads import dense_init


def attend(
    q_NxSxHxd: jax.Array,
    k_NxSxHxd: jax.Array,
    v_NxSxHxd: jax.Array,
    scale: float,
    bias_1xHxSxS: jax.Array | None = None,
    visible_NxS: jax.Array | None = None,
    dropout: nn.Module | None = None,
) -> jax.Array:
    """softmax(scale q k^T + bias) v, the softmax in float32.

    Args:
      q_NxSxHxd: queries of N sequences of S tokens, H heads of size d.
      k_NxSxHxd: keys.
      v_NxSxHxd: values.
      scale: multiplies the dot products.
      bias_1xHxSxS: added to the logits.
      visible_NxS: bool; tokens that are False are attended to by none.
      dropout: drops attention weights. Fused kernels cannot do that, so with it the weights of all
        tokens on all tokens are kept in memory.

    Returns:
      [N, S, H, d] of the type of the values.
    """
    mask = None if visible_NxS is None else visible_NxS[:, None, None, :]
    if dropout is None:
        return jax.nn.dot_product_attention(
            q_NxSxHxd, k_NxSxHxd, v_NxSxHxd, bias=bias_1xHxSxS, mask=mask, scale=scale
        )
    logits = jnp.einsum("nqhd,nkhd->nhqk", q_NxSxHxd, k_NxSxHxd).astype(jnp.float32) * scale
    if bias_1xHxSxS is not None:
        logits = logits + bias_1xHxSxS
    if mask is not None:
        logits = jnp.where(mask, logits, -1e9)
    weights = dropout(jax.nn.softmax(logits, axis=-1))
    return jnp.einsum("nhqk,nkhd->nqhd", weights.astype(v_NxSxHxd.dtype), v_NxSxHxd)


class Attention(nn.Module):
    """Queries, keys and values by dense layers, `attend`, and a dense layer on the joined heads.

    Attributes:
      width: length of a token.
      heads: H.
      head_size: d.
      biases: whether the dense layers have them.
      scaled: divide logits by sqrt(d). T5 (arXiv 1910.10683) does not, and starts with queries that
        much smaller instead.
      dropout: probability of dropping an attention weight in training.
      dtype: of the arithmetic.
    """

    width: int
    heads: int
    head_size: int
    biases: bool = True
    scaled: bool = True
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x_NxSxD: jax.Array,
        train: bool,
        bias_1xHxSxS: jax.Array | None = None,
        visible_NxS: jax.Array | None = None,
    ) -> jax.Array:
        """[N, S, D] -> [N, S, D]; bias and visible as in `attend`."""

        def dense(features: int, name: str, init: Any = dense_init) -> nn.Dense:
            return nn.Dense(
                features, use_bias=self.biases, kernel_init=init, dtype=self.dtype, name=name
            )

        query_init = dense_init if self.scaled else _shrunk(self.head_size**-0.5)
        inner = self.heads * self.head_size
        q, k, v = (
            dense(inner, name, query_init if name == "query" else dense_init)(x_NxSxD).reshape(
                *x_NxSxD.shape[:2], self.heads, self.head_size
            )
            for name in ("query", "key", "value")
        )
        scale = self.head_size**-0.5 if self.scaled else 1.0
        dropout = nn.Dropout(self.dropout, deterministic=False) if train and self.dropout else None
        joined = attend(q, k, v, scale, bias_1xHxSxS, visible_NxS, dropout)
        return dense(self.width, "out")(joined.reshape(*x_NxSxD.shape[:2], inner))


def _shrunk(factor: float) -> Any:
    return lambda *args: dense_init(*args) * factor


class RelativeBias(nn.Module):
    """A learned number for each head and each bucket of distances (T5, arXiv 1910.10683, 2.1).

    Attributes:
      heads: H.
      buckets: half for either direction; half of those for exact distances, the others grow
        geometrically up to `max_distance`.
      max_distance: tokens; all beyond share the last bucket.
    """

    heads: int
    buckets: int = 32
    max_distance: int = 64

    @nn.compact
    def __call__(self, size: int) -> jax.Array:
        """The bias float32 [1, H, size, size], query before key."""
        init = nn.initializers.normal(stddev=1.0 / np.sqrt(self.buckets))
        table = self.param("table", init, (self.buckets, self.heads), jnp.float32)
        bucket_SxS = distance_buckets(size, self.buckets, self.max_distance)
        return table[bucket_SxS].transpose(2, 0, 1)[None]


def distance_buckets(size: int, buckets: int, max_distance: int) -> np.ndarray:
    """The bucket of (query i, key j), by j - i as in `RelativeBias`: int [size, size]."""
    distance_SxS = np.arange(size)[None, :] - np.arange(size)[:, None]
    half = buckets // 2
    exact = half // 2
    apart_SxS = np.abs(distance_SxS)
    growth = np.log(np.maximum(apart_SxS, 1) / exact) / np.log(max_distance / exact)
    far_SxS = np.minimum(exact + (growth * (half - exact)).astype(int), half - 1)
    return np.where(apart_SxS < exact, apart_SxS, far_SxS) + half * (distance_SxS > 0)
