"""Heads: what stands between a tower's feature and a loss."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from cvrl_jax.models.norm import BatchNorm

# Keras' default for dense layers, as in the released CVRL heads; biases start at zero.
dense_init = nn.initializers.glorot_uniform()


class ProjectionHead(nn.Module):
    """`layers` times (Dense -> batch norm -> ReLU), then a Dense layer without normalisation.

    The defaults are CVRL's head; `layers=0` is a linear projection, and `layers=1, hidden=4096,
    out=256` is BYOL's projector and predictor (arXiv 2006.07733, Section 3.3).

    Attributes:
      hidden: width of the hidden layers.
      layers: how many of them.
      out: length of the embedding.
      bn_momentum: share of the old running statistics that an update keeps.
      bn_epsilon: added to the variance.
    """

    hidden: int = 2048
    layers: int = 3
    out: int = 128
    bn_momentum: float = 0.997
    bn_epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x_BxD: jax.Array, train: bool, valid: jax.Array | None = None) -> jax.Array:
        """Embeddings float32 [B, out], not normalised; `train` and `valid` as in the tower."""
        x = x_BxD.astype(jnp.float32)
        for i in range(self.layers):
            x = nn.Dense(self.hidden, kernel_init=dense_init, name=f"dense{i}")(x)
            x = BatchNorm(self.bn_momentum, self.bn_epsilon, name=f"norm{i}")(x, train, valid)
            x = nn.relu(x)
        return nn.Dense(self.out, kernel_init=dense_init, name="out")(x)


class LinearHead(nn.Module):
    """Linear classifier on a feature.

    Attributes:
      classes: number of classes.
      normalize: whether to divide the feature by its Euclidean norm first (CVRL's linear protocol).
      dropout: probability of zeroing an entry of the feature when training; needs the RNG stream
        'dropout' if above 0.
    """

    classes: int
    normalize: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x_BxD: jax.Array, train: bool) -> jax.Array:
        """Logits float32 [B, classes]."""
        x = x_BxD.astype(jnp.float32)
        if self.normalize:  # rsqrt with a floor: the gradient of a norm is undefined at zero
            x = x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-12))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.classes, kernel_init=dense_init, name="out")(x)
