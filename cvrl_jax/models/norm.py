"""Batch normalisation that leaves unreadable examples out of its statistics."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cvrl_jax.models.product_norm import ProductNorm


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
        self,
        x_BxC: jax.Array,
        train: bool,
        valid_B: jax.Array | None = None,
        kernel_IxC: jax.Array | None = None,
    ) -> jax.Array:
        """Normalise by the batch when training, by the running statistics otherwise.

        Args:
          x_BxC: activations [B, ..., C].
          train: whether to use, and to record, the statistics of the batch.
          valid_B: bool; False = keep the example out of the statistics (it is normalised all the
            same). Where none is True all count, since a mean over nothing is NaN.
          kernel_IxC: of a product that is still to be done, in training alone: what is normalised
            is x W, with x [B, ..., I], in a way that never keeps it (`product_norm`).

        Returns:
          [B, ..., C] in `dtype`.
        """
        mask = None
        if train and valid_B is not None:
            counted_B = valid_B | ~valid_B.any()
            mask = counted_B.reshape(-1, *[1] * (x_BxC.ndim - 1))
        if kernel_IxC is not None:
            return ProductNorm(self.momentum, self.epsilon, name="bn")(x_BxC, kernel_IxC, mask)
        return nn.BatchNorm(
            momentum=self.momentum, epsilon=self.epsilon, dtype=self.dtype, name="bn"
        )(x_BxC, use_running_average=not train, mask=mask)
