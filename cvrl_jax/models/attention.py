"""Multi-head self-attention with two lowerings, and T5's relative bias.

Accelerators have fused kernels. XLA's CPU backend does best with one head at a time, whose square
of weights stays in the cache and is computed again in the backward pass.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.models.backend import traced_for
from cvrl_jax.models.flash import SHORTEST, flash
from cvrl_jax.models.heads import dense_init

LOWERINGS = ("auto", "fused", "heads", "flash")

_MASKED = -1e9


def attend(
    q_NxSxHxd: jax.Array,
    k_NxSxHxd: jax.Array,
    v_NxSxHxd: jax.Array,
    scale: float,
    bias_HxSxS: jax.Array | None = None,
    visible_NxS: jax.Array | None = None,
    dropout: tuple[jax.Array, float] | None = None,
    lowering: str = "auto",
) -> jax.Array:
    """softmax(scale q k^T + bias) v, the softmax in float32.

    Args:
      q_NxSxHxd: queries of N sequences of S tokens, H heads of size d.
      k_NxSxHxd: keys.
      v_NxSxHxd: values.
      scale: multiplies the dot products.
      bias_HxSxS: added to the logits, query before key.
      visible_NxS: bool; tokens that are False are attended to by none.
      dropout: (key, probability) of dropping an attention weight. Fused kernels cannot do that: the
        weights of all tokens on all tokens are then kept in memory.
      lowering: 'fused' = `jax.nn.dot_product_attention`, 'heads' = one head after the other,
        'flash' = `flash` where nothing but the scale is asked for and else as 'fused', 'auto' =
        'heads' where the call is traced for CPUs, 'flash' where it is for TPUs.

    Returns:
      [N, S, H, d] of the type of the values.
    """
    plain = bias_HxSxS is None and visible_NxS is None and dropout is None
    long = q_NxSxHxd.shape[1] >= SHORTEST and traced_for() == "tpu"
    if plain and (lowering == "flash" or (lowering == "auto" and long)):
        return flash(q_NxSxHxd, k_NxSxHxd, v_NxSxHxd, scale)
    one_by_one = lowering == "heads" or (lowering == "auto" and traced_for() == "cpu")
    if not one_by_one and dropout is None:
        bias = None if bias_HxSxS is None else bias_HxSxS[None]
        mask = None if visible_NxS is None else visible_NxS[:, None, None, :]
        return jax.nn.dot_product_attention(
            q_NxSxHxd, k_NxSxHxd, v_NxSxHxd, bias=bias, mask=mask, scale=scale
        )
    heads = q_NxSxHxd.shape[2]
    keys = None if dropout is None else jax.random.split(dropout[0], heads)

    def one_head(inputs: Any) -> jax.Array:
        q_NxSxd, k_NxSxd, v_NxSxd, bias_SxS, key = inputs
        logits_NxSxS = jnp.einsum(
            "nqd,nkd->nqk", q_NxSxd * scale, k_NxSxd, preferred_element_type=jnp.float32
        )
        if bias_SxS is not None:
            logits_NxSxS += bias_SxS
        if visible_NxS is not None:
            logits_NxSxS = jnp.where(visible_NxS[:, None], logits_NxSxS, _MASKED)
        weights_NxSxS = jax.nn.softmax(logits_NxSxS)
        if dropout is not None:
            kept = jax.random.bernoulli(key, 1 - dropout[1], weights_NxSxS.shape)
            weights_NxSxS = jnp.where(kept, weights_NxSxS / (1 - dropout[1]), 0.0)
        return jnp.einsum("nqk,nkd->nqd", weights_NxSxS.astype(v_NxSxd.dtype), v_NxSxd)

    q, k, v = (x.transpose(2, 0, 1, 3) for x in (q_NxSxHxd, k_NxSxHxd, v_NxSxHxd))
    inputs = q, k, v, bias_HxSxS, keys
    if one_by_one:
        out_HxNxSxd = jax.lax.map(jax.checkpoint(one_head), inputs)
    else:
        out_HxNxSxd = jax.vmap(one_head)(inputs)
    return out_HxNxSxd.transpose(1, 2, 0, 3)


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
      lowering: see `attend`.
      dtype: of the arithmetic.
    """

    width: int
    heads: int
    head_size: int
    biases: bool = True
    scaled: bool = True
    dropout: float = 0.0
    lowering: str = "auto"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x_NxSxD: jax.Array,
        train: bool,
        bias_HxSxS: jax.Array | None = None,
        visible_NxS: jax.Array | None = None,
    ) -> jax.Array:
        """[N, S, D] -> [N, S, D]; bias and visible as in `attend`."""
        inner = self.heads * self.head_size

        def dense(features: int, name: str, init: Any = dense_init) -> nn.Dense:
            return nn.Dense(
                features, use_bias=self.biases, kernel_init=init, dtype=self.dtype, name=name
            )

        def shrunk_init(*args: Any) -> jax.Array:
            return dense_init(*args) * self.head_size**-0.5

        q, k, v = (
            dense(inner, name, init)(x_NxSxD).reshape(
                *x_NxSxD.shape[:2], self.heads, self.head_size
            )
            for name, init in (
                ("query", dense_init if self.scaled else shrunk_init),
                ("key", dense_init),
                ("value", dense_init),
            )
        )
        scale = self.head_size**-0.5 if self.scaled else 1.0
        dropout = (self.make_rng("dropout"), self.dropout) if train and self.dropout else None
        joined = attend(q, k, v, scale, bias_HxSxS, visible_NxS, dropout, self.lowering)
        return dense(self.width, "out")(joined.reshape(*x_NxSxD.shape[:2], inner))


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
        """The bias float32 [H, size, size], query before key."""
        init = nn.initializers.normal(stddev=self.buckets**-0.5)
        table = self.param("table", init, (self.buckets, self.heads), jnp.float32)
        return table[distance_buckets(size, self.buckets, self.max_distance)].transpose(2, 0, 1)


def distance_buckets(size: int, buckets: int, max_distance: int) -> np.ndarray:
    """The bucket of (query i, key j), by j - i as in `RelativeBias`: int [size, size]."""
    distance_SxS = np.arange(size)[None, :] - np.arange(size)[:, None]
    half = buckets // 2
    exact = half // 2
    apart_SxS = np.abs(distance_SxS)
    growth = np.log(np.maximum(apart_SxS, 1) / exact) / np.log(max_distance / exact)
    far_SxS = np.minimum(exact + (growth * (half - exact)).astype(int), half - 1)
    return np.where(apart_SxS < exact, apart_SxS, far_SxS) + half * (distance_SxS > 0)
