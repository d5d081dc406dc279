"""InfoNCE over two views of each video, with every other clip of the global batch as a negative."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from cvrl_jax.losses import numerics
from data_pipelines.errors import UserError

_MASKED = -1e9  # finite: a row with every candidate masked must still have a finite logsumexp


def info_nce(
    z1_BxD: jax.Array,
    z2_BxD: jax.Array,
    temperature: float = 0.1,
    valid_B: jax.Array | None = None,
    reduction: Literal["sum", "mean"] = "sum",
) -> jax.Array:
    """The contrastive loss of CVRL (arXiv 2008.03800, eq. 1).

    Clip i of one view is the anchor, clip i of the other view its positive; the 2B - 2 clips of the
    other videos, of both views, are its negatives. Each view serves as anchor in turn. Under `jit`
    with the batch sharded, the formula reads the global batch, so its value and its gradient do not
    depend on the number of devices. Logits are float32 for every input type.

    Args:
      z1_BxD: [B, D] embeddings of the first clips, of any length: they are L2-normalised here.
      z2_BxD: [B, D] embeddings of the second clips.
      temperature: divides the cosine similarities, > 0.
      valid_B: bool [B]; a false row is neither anchor nor candidate and gets no gradient. None
        means that all rows count.
      reduction: how the two anchor directions combine. 'sum' is the published CVRL code, 'mean' is
        SimCLR (arXiv 2002.05709, algorithm 1): half of it.

    Returns:
      A float32 scalar, averaged over the valid rows; 0 when there are none.

    Raises:
      UserError: `reduction` is neither 'sum' nor 'mean'.
    """
    if reduction not in ("sum", "mean"):
        raise UserError(f"info_nce: reduction={reduction!r} is unknown; use 'sum' or 'mean'")
    valid_B = numerics.all_valid(valid_B, z1_BxD.shape[0])
    a_BxD, b_BxD = _unit_rows(z1_BxD, valid_B), _unit_rows(z2_BxD, valid_B)
    ab_BxB = _logits(a_BxD, b_BxD, temperature)
    negative_BxB = valid_B[None, :] & ~jnp.eye(valid_B.size, dtype=bool)
    aa_BxB = jnp.where(negative_BxB, _logits(a_BxD, a_BxD, temperature), _MASKED)
    bb_BxB = jnp.where(negative_BxB, _logits(b_BxD, b_BxD, temperature), _MASKED)
    both = _one_direction(ab_BxB, aa_BxB, valid_B) + _one_direction(ab_BxB.T, bb_BxB, valid_B)
    return both if reduction == "sum" else both / 2


def contrast_metrics(
    z1_BxD: jax.Array,
    z2_BxD: jax.Array,
    temperature: float = 0.1,
    valid_B: jax.Array | None = None,
) -> dict[str, jax.Array]:
    """What the published code logs beside the loss: how well a clip finds its partner.

    Only the B second clips are candidates, and only the first clips are anchors.

    Args:
      z1_BxD: [B, D] embeddings of the first clips.
      z2_BxD: [B, D] embeddings of the second clips.
      temperature: as in `info_nce`.
      valid_B: as in `info_nce`.

    Returns:
      Two float32 scalars, averaged over the valid rows, 0 when there are none:
      'contrast_accuracy': share of anchors whose most similar candidate is their partner, in
        [0, 1]; chance is 1 / (number of valid rows).
      'contrast_entropy': entropy of the softmax over the candidates, in nats, between 0 and
        log(number of valid rows); stuck at the upper end, the embeddings do not separate.
    """
    valid_B = numerics.all_valid(valid_B, z1_BxD.shape[0])
    ab_BxB = _logits(_unit_rows(z1_BxD, valid_B), _unit_rows(z2_BxD, valid_B), temperature)
    ab_BxB = jax.lax.stop_gradient(jnp.where(valid_B[None, :], ab_BxB, _MASKED))
    found_B = jnp.argmax(ab_BxB, axis=-1) == jnp.arange(valid_B.size)
    log_p_BxB = jax.nn.log_softmax(ab_BxB, axis=-1)
    entropy_B = -jnp.sum(jnp.exp(log_p_BxB) * log_p_BxB, axis=-1)
    return {
        "contrast_accuracy": numerics.mean_over_valid(found_B.astype(jnp.float32), valid_B),
        "contrast_entropy": numerics.mean_over_valid(entropy_B, valid_B),
    }


def _unit_rows(z_BxD: jax.Array, valid_B: jax.Array) -> jax.Array:
    return numerics.l2_normalize(numerics.zero_invalid_rows(z_BxD, valid_B))


def _logits(x_BxD: jax.Array, y_BxD: jax.Array, temperature: float) -> jax.Array:
    # By default accelerators multiply float32 in fewer bits; the temperature would magnify that.
    return jnp.matmul(x_BxD, y_BxD.T, precision=jax.lax.Precision.HIGHEST) / temperature


def _one_direction(cross_BxB: jax.Array, same_BxB: jax.Array, valid_B: jax.Array) -> jax.Array:
    """Mean cross-entropy of the diagonal of `cross_BxB` among both blocks of candidates."""
    positive_B = jnp.diagonal(cross_BxB)
    cross_BxB = jnp.where(valid_B[None, :], cross_BxB, _MASKED)
    candidates_Bx2B = jnp.concatenate([cross_BxB, same_BxB], axis=1)
    loss_B = jax.nn.logsumexp(candidates_Bx2B, axis=1) - positive_B
    return numerics.mean_over_valid(loss_B, valid_B)
