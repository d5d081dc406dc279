"""What a classifier's logits cost, for one label a video and for several."""

from __future__ import annotations

import jax
import optax


def cross_entropies(logits_BxC: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the cross-entropy of each row [B], in nats.

    Args:
      logits_BxC: of C classes.
      labels: int [B]: softmax; or float [B, C] in [0, 1]: a sigmoid for each class, whose
        cross-entropies are added.
    """
    if labels.ndim == 2:
        return optax.sigmoid_binary_cross_entropy(logits_BxC, labels).sum(axis=-1)
    return optax.softmax_cross_entropy_with_integer_labels(logits_BxC, labels)
