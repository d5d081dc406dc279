"""Cross-entropy over classes, and how often the class was right."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cvrl_jax.losses import numerics


def softmax_cross_entropy(
    logits_BxC: jax.Array,
    labels_B: jax.Array,
    valid_B: jax.Array | None = None,
    label_smoothing: float = 0.0,
) -> jax.Array:
    """Mean cross-entropy in nats.

    Args:
      logits_BxC: [B, C], any floating type; the arithmetic is float32.
      labels_B: int [B] in 0..C-1; -1 means unlabelled and does not count.
      valid_B: bool [B]; false rows do not count. None means that all do.
      label_smoothing: share e in [0, 1) of the target spread evenly over the C classes
        (arXiv 1512.00567, section 7).

    Returns:
      A float32 scalar, averaged over the rows that count; 0 when there are none.
    """
    target_BxC = jax.nn.one_hot(labels_B, logits_BxC.shape[-1])
    counts_B = _counts(labels_B, valid_B)
    return dense_cross_entropy(logits_BxC, target_BxC, counts_B, label_smoothing)


def dense_cross_entropy(
    logits_BxC: jax.Array,
    targets_BxC: jax.Array,
    valid_B: jax.Array | None = None,
    label_smoothing: float = 0.0,
) -> jax.Array:
    """As `softmax_cross_entropy`, towards any distribution over the classes.

    Args:
      logits_BxC: [B, C], any floating type.
      targets_BxC: at least 0, each row adding up to 1.
      valid_B: bool [B]; false rows do not count. None means that all do.
      label_smoothing: see `softmax_cross_entropy`.
    """
    counts_B = numerics.all_valid(valid_B, logits_BxC.shape[0])
    logits_BxC = numerics.zero_invalid_rows(logits_BxC.astype(jnp.float32), counts_B)
    log_p_BxC = jax.nn.log_softmax(logits_BxC, axis=-1)
    target_BxC = (1 - label_smoothing) * targets_BxC + label_smoothing / logits_BxC.shape[-1]
    return numerics.mean_over_valid(-jnp.sum(target_BxC * log_p_BxC, axis=-1), counts_B)


def sigmoid_cross_entropy(
    logits_BxC: jax.Array,
    targets_BxC: jax.Array,
    valid_B: jax.Array | None = None,
    label_smoothing: float = 0.0,
) -> jax.Array:
    """Mean over rows of the sum over classes of the binary cross-entropy, in nats.

    For examples that may have several classes (VATT, arXiv 2104.11178, A.3).

    Args:
      logits_BxC: [B, C], any floating type; the arithmetic is float32.
      targets_BxC: in [0, 1].
      valid_B: bool [B]; false rows do not count. None means that all do.
      label_smoothing: share e in [0, 1): targets become (1 - e) t + e / 2.
    """
    counts_B = numerics.all_valid(valid_B, logits_BxC.shape[0])
    logits_BxC = numerics.zero_invalid_rows(logits_BxC.astype(jnp.float32), counts_B)
    target_BxC = (1 - label_smoothing) * targets_BxC + label_smoothing / 2
    losses_BxC = jax.nn.softplus(logits_BxC) - target_BxC * logits_BxC
    return numerics.mean_over_valid(losses_BxC.sum(axis=-1), counts_B)


def accuracy(
    logits_BxC: jax.Array,
    labels_B: jax.Array,
    valid_B: jax.Array | None = None,
    k: int = 1,
) -> jax.Array:
    """Share of rows whose label is among the k highest logits.

    Args:
      logits_BxC: [B, C].
      labels_B: int [B] in 0..C-1; -1 means unlabelled and does not count.
      valid_B: bool [B]; false rows do not count. None means that all do.
      k: how many guesses a row has; C when larger than C.

    Returns:
      A float32 scalar in [0, 1]; 0 when no row counts.
    """
    _, guesses_BxK = jax.lax.top_k(logits_BxC, min(k, logits_BxC.shape[-1]))
    right_B = jnp.any(guesses_BxK == labels_B[:, None], axis=-1)
    return numerics.mean_over_valid(right_B.astype(jnp.float32), _counts(labels_B, valid_B))


def _counts(labels_B: jax.Array, valid_B: jax.Array | None) -> jax.Array:
    return numerics.all_valid(valid_B, labels_B.shape[0]) & (labels_B >= 0)
