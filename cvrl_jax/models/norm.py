"""Batch normalisation that leaves unreadable examples out of its statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Joint = Callable[[jax.Array, jax.Array, jax.Array | None], tuple[jax.Array, jax.Array, jax.Array]]


def counted(valid_B: jax.Array | None, axes: int) -> jax.Array | None:
    """Which examples count in statistics, as bool [B, 1, ...] of so many axes; None = all do."""
    if valid_B is None:
        return None
    return (valid_B | ~valid_B.any()).reshape(-1, *[1] * (axes - 1))


def rows_counted(x_BxC: jax.Array, mask: jax.Array | None) -> jax.Array:
    """How many rows of [..., C] count in statistics, as float32; `mask` is from `counted`."""
    rows = x_BxC.size // x_BxC.shape[-1]
    if mask is None:
        return jnp.float32(rows)
    return mask.sum(dtype=jnp.float32) * (rows // mask.size)


def statistics(x_BxC: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of the rows of [..., C] that count, float32 [C]."""
    exact, axes = x_BxC.astype(jnp.float32), tuple(range(x_BxC.ndim - 1))
    mean_C = exact.mean(axes, where=mask)
    square_C = (exact * exact).mean(axes, where=mask)
    return mean_C, jnp.maximum(square_C - mean_C * mean_C, 0.0)


class BatchNorm(nn.Module):
    """Batch normalisation over every axis but the last (Ioffe & Szegedy, arXiv 1502.03167).

    Parameters `scale` (1 at the start) and `bias`, and the running `mean` and `var`, are float32
    whatever `dtype` is. Running value = momentum * old + (1 - momentum) * batch. Under `jax.jit`
    over a batch sharded on an Auto mesh the statistics are those of the global batch.

    Attributes:
      momentum: share of the old running value that an update keeps.
      epsilon: added to the variance.
      dtype: type of the output; statistics are reduced in float32.
    """

    momentum: float
    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x_BxC: jax.Array, train: bool, valid_B: jax.Array | None = None
    ) -> jax.Array:
        """Normalise by the batch when training, by the running statistics otherwise.

        Args:
          x_BxC: activations [B, ..., C].
          train: whether to use, and to record, the statistics of the batch.
          valid_B: bool; False = keep the example out of the statistics (it is normalised all the
            same). Where none is True all count, since a mean over nothing is NaN.

        Returns:
          [B, ..., C] in `dtype`.
        """
        mask = counted(valid_B, x_BxC.ndim) if train else None
        return nn.BatchNorm(
            momentum=self.momentum, epsilon=self.epsilon, dtype=self.dtype, name="bn"
        )(x_BxC, use_running_average=not train, mask=mask)


class JointNorm(nn.Module):
    """The variables of a `BatchNorm` in training, for arithmetic that does more than normalise.

    Attributes:
      momentum: as in `BatchNorm`.
    """

    momentum: float

    @nn.compact
    def __call__(self, joint: Joint, features: int, mask: jax.Array | None) -> jax.Array:
        """What `joint` puts out; records the statistics that it found.

        Args:
          joint: (scale, bias, mask) -> (output, mean, variance), float32 [features] but the output.
          features: length of the variables.
          mask: which examples count, see `counted`.
        """
        return _JointVariables(self.momentum, name="bn")(joint, features, mask)


class _JointVariables(nn.Module):
    """Named as Linen's BatchNorm has them."""

    momentum: float

    @nn.compact
    def __call__(self, joint: Joint, features: int, mask: jax.Array | None) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        old_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,), jnp.float32)
        old_variance = self.variable("batch_stats", "var", jnp.ones, (features,), jnp.float32)
        y, mean, variance = joint(scale, bias, mask)
        if not self.is_initializing():
            new = 1 - self.momentum
            old_mean.value = self.momentum * old_mean.value + new * mean
            old_variance.value = self.momentum * old_variance.value + new * variance
        return y
