"""InfoNCE over two views of each video, with every other clip of the global batch as a negative."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from cvrl_jax.losses import numerics
from cvrl_jax.losses.negatives import Way, negatives_logsumexp, negatives_statistics
from data_pipelines.errors import UserError


def info_nce(
    z1_BxD: jax.Array,
    z2_BxD: jax.Array,
    temperature: float = 0.1,
    valid_B: jax.Array | None = None,
    reduction: Literal["sum", "mean"] = "sum",
    way: Way = "auto",
) -> jax.Array:
    """The contrastive loss of CVRL (arXiv 2008.03800, eq. 1).

    Clip i of one view is the anchor, clip i of the other view its positive; the 2B - 2 clips of the
    other videos, of both views, are its negatives. Each view serves as anchor in turn. The other
    videos are those of the global batch, so value and gradient do not depend on the number of
    devices (of the mesh in use). Logits are float32 for every input type.

    Args:
      z1_BxD: [B, D] embeddings of the first clips, of any length: they are L2-normalised here.
      z2_BxD: [B, D] embeddings of the second clips.
      temperature: divides the cosine similarities, > 0.
      valid_B: bool [B]; a false row is neither anchor nor candidate and gets no gradient. None
        means that all rows count.
      reduction: how the two anchor directions combine. 'sum' is the published CVRL code, 'mean' is
        SimCLR (arXiv 2002.05709, algorithm 1): half of it.
      way: how the negatives of other devices are met, see `negatives.py`; the numbers are the same.

    Returns:
      A float32 scalar, averaged over the valid rows; 0 when there are none.

    Raises:
      UserError: `reduction` is neither 'sum' nor 'mean', or there is no such `way`.
    """
    if reduction not in ("sum", "mean"):
        raise UserError(f"info_nce: reduction={reduction!r} is unknown; use 'sum' or 'mean'")
    valid_B = numerics.all_valid(valid_B, z1_BxD.shape[0])
    a_BxD, b_BxD = _unit_rows(z1_BxD, valid_B), _unit_rows(z2_BxD, valid_B)
    positive_B = jnp.sum(a_BxD * b_BxD, axis=1) / temperature

    def negatives(x_BxD: jax.Array, y_BxD: jax.Array) -> tuple[jax.Array, jax.Array]:
        return negatives_logsumexp(x_BxD, y_BxD, valid_B, valid_B, temperature, way)

    from_a_B, from_b_B = negatives(a_BxD, b_BxD)
    within_a_B, within_b_B = negatives(a_BxD, a_BxD)[0], negatives(b_BxD, b_BxD)[0]
    both_B = -2 * positive_B
    for across_B, within_B in ((from_a_B, within_a_B), (from_b_B, within_b_B)):
        both_B += jnp.logaddexp(jnp.logaddexp(across_B, within_B), positive_B)
    both = numerics.mean_over_valid(both_B, valid_B)
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
    a_BxD, b_BxD = _unit_rows(z1_BxD, valid_B), _unit_rows(z2_BxD, valid_B)
    positive_B = jax.lax.stop_gradient(jnp.sum(a_BxD * b_BxD, axis=1) / temperature)
    highest_B, others_B, mean_B = negatives_statistics(a_BxD, b_BxD, valid_B, valid_B, temperature)
    found_B = positive_B > highest_B
    all_B = jnp.logaddexp(others_B, positive_B)
    # The entropy of a softmax is its log-sum-exp less the mean logit.
    own_B, other_B = jnp.exp(positive_B - all_B), jnp.exp(others_B - all_B)
    entropy_B = all_B - own_B * positive_B - other_B * mean_B
    return {
        "contrast_accuracy": numerics.mean_over_valid(found_B.astype(jnp.float32), valid_B),
        "contrast_entropy": numerics.mean_over_valid(entropy_B, valid_B),
    }


def _unit_rows(z_BxD: jax.Array, valid_B: jax.Array) -> jax.Array:
    return numerics.l2_normalize(numerics.zero_invalid_rows(z_BxD, valid_B))
