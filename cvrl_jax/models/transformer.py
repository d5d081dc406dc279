"""The transformer stack that all token towers share."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cvrl_jax.models.attention import Attention, RelativeBias
from cvrl_jax.models.heads import dense_init
from cvrl_jax.models.remat import rematted

NORMS = ("layer", "rms")
RELATIVE_BIASES = ("", "first", "all")


def normalization(kind: str, epsilon: float, dtype: Any, name: str) -> nn.Module:
    """LayerNorm, or RMS norm (no mean, no bias); statistics in float32."""
    norm = nn.LayerNorm if kind == "layer" else nn.RMSNorm
    return norm(epsilon=epsilon, dtype=dtype, name=name)


def gelu(x: jax.Array) -> jax.Array:
    """Exact GELU, x times the normal distribution function (arXiv 1606.08415).

    By erf: the erfc of `jax.nn.gelu` keeps more digits far below 0, which nothing here needs, and
    takes a multiple of the time on a CPU.
    """
    return 0.5 * x * (1.0 + jax.lax.erf(x * 0.5**0.5))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): the pre-LN block of ViT (arXiv 2010.11929).

    Attributes: as in `Transformer`, and
      train: whether dropout acts.
    """

    width: int
    mlp: int
    heads: int
    head_size: int
    biases: bool
    scaled: bool
    norm: str
    epsilon: float
    dropout: float
    attention_dropout: float
    lowering: str
    dtype: Any
    train: bool

    @nn.compact
    def __call__(
        self, x: jax.Array, bias: jax.Array | None, visible: jax.Array | None
    ) -> jax.Array:
        drop = nn.Dropout(self.dropout, deterministic=not self.train)
        attention = Attention(
            self.width,
            self.heads,
            self.head_size,
            self.biases,
            self.scaled,
            self.attention_dropout,
            self.lowering,
            self.dtype,
            name="attention",
        )
        y = normalization(self.norm, self.epsilon, self.dtype, "attention_norm")(x)
        x = x + drop(attention(y, self.train, bias, visible))
        y = normalization("layer", self.epsilon, self.dtype, "mlp_norm")(x)
        y = self._dense(self.mlp, "up")(y)
        y = drop(gelu(y))
        return x + drop(self._dense(self.width, "down")(y))

    def _dense(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(
            features, use_bias=self.biases, kernel_init=dense_init, dtype=self.dtype, name=name
        )


class Transformer(nn.Module):
    """`layers` blocks, and by default a last normalisation.

    The defaults are the encoder of ViT and VATT (arXiv 2104.11178, Table 7, Base). T5's encoder as
    VATT has it is biases False, scaled False, norm 'rms', relative_bias 'first' or 'all'.

    Attributes:
      layers: number of blocks.
      width: length of a token, D.
      mlp: hidden units of the MLPs; their activation is the exact GELU.
      heads: attention heads.
      head_size: length of a query, a key or a value of one head.
      biases: whether dense layers have biases.
      scaled: whether attention divides by sqrt(head_size).
      norm: 'layer' or 'rms' before attention and at the end; before MLPs it is LayerNorm always.
      epsilon: added to the variances that these norms divide by.
      last_norm: whether there is the one at the end.
      relative_bias: T5's learned bias on attention logits by distance: '' = none, 'first' = in the
        first block (the paper), 'all' = that same bias in every block (the released code, T5).
      dropout: probability for block outputs, MLP activations and the output of the stack.
      attention_dropout: probability for attention weights; 0 lets fused attention kernels run.
      remat: what blocks keep for the backward pass, see `rematted`.
      lowering: how attention is computed, see `attend`.
      dtype: of the arithmetic; parameters are float32.
    """

    layers: int = 12
    width: int = 768
    mlp: int = 3072
    heads: int = 12
    head_size: int = 64
    biases: bool = True
    scaled: bool = True
    norm: str = "layer"
    epsilon: float = 1e-6
    last_norm: bool = True
    relative_bias: str = ""
    dropout: float = 0.0
    attention_dropout: float = 0.0
    remat: str = "none"
    lowering: str = "auto"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x_NxSxD: jax.Array, train: bool, visible_NxS: jax.Array | None = None
    ) -> jax.Array:
        """[N, S, D] -> [N, S, D].

        Args:
          x_NxSxD: tokens.
          train: whether dropout acts; needs the RNG stream 'dropout' where a rate is above 0.
          visible_NxS: bool; False = padding, attended to by none. None = no padding.
        """
        x = x_NxSxD.astype(self.dtype)
        bias = None
        if self.relative_bias:
            bias = RelativeBias(self.heads, name="relative_bias")(x.shape[1])
        block = rematted(Block, self.remat)
        for layer in range(self.layers):
            x = block(
                width=self.width,
                mlp=self.mlp,
                heads=self.heads,
                head_size=self.head_size,
                biases=self.biases,
                scaled=self.scaled,
                norm=self.norm,
                epsilon=self.epsilon,
                dropout=self.dropout,
                attention_dropout=self.attention_dropout,
                lowering=self.lowering,
                dtype=self.dtype,
                train=train,
                name=f"block{layer}",
            )(x, bias if layer == 0 or self.relative_bias == "all" else None, visible_NxS)
        if self.last_norm:
            x = normalization(self.norm, self.epsilon, self.dtype, "norm")(x)
        return nn.Dropout(self.dropout, deterministic=not train)(x)
