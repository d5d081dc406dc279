"""NCE between two modalities, with several candidate partners of which some may be wrong."""

from __future__ import annotations

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from cvrl_jax.losses import numerics
from cvrl_jax.losses.negatives import Way, negatives_logsumexp, negatives_statistics
from cvrl_jax.losses.ring import MASKED
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

Form = Literal["paper", "released"]
NCE_FORMS: tuple[Form, ...] = get_args(Form)


def mil_nce(
    x_BxD: jax.Array,
    y_BxKxD: jax.Array,
    temperature: float = 0.07,
    x_valid_B: jax.Array | None = None,
    y_valid_BxK: jax.Array | None = None,
    form: Form = "paper",
    way: Way = "auto",
) -> jax.Array:
    """MIL-NCE (Miech et al., arXiv 1912.06430, eq. 1; VATT, arXiv 2104.11178, 3.4).

    Example i has one x and K candidate y, any of which may be the right one. With P the sum of
    exp(x_i . y_ik / temperature) over its own pairs, and N the same sum over the pairs of x_i with
    the y of other examples and of the x of other examples with its own y,

        loss_i = -log(P / (P + N))         'paper'
        loss_i = -log(P / (2 P + N))       'released': the code of MIL-NCE, MMV and VATT lays both
                                           directions side by side, so that P stands in both. Its
                                           floor is log 2, not 0.

    With K = 1 it is the NCE of video and audio. The other examples are those of the global batch,
    so value and gradient do not depend on the number of devices (of the mesh in use).

    Args:
      x_BxD: [B, D] embeddings of any length: L2-normalised here, in float32.
      y_BxKxD: [B, K, D] candidates, likewise.
      temperature: divides the cosine similarities, > 0.
      x_valid_B: bool [B]; a false x is in no pair. None means that all are there.
      y_valid_BxK: bool [B, K]; a false y is in no pair.
      form: see above.
      way: how the negatives of other devices are met, see `negatives.py`; the numbers are the same.

    Returns:
      A float32 scalar, averaged over the examples with an x and at least one y; 0, with no
      gradient, when there are none.

    Raises:
      UserError: `form` or `way` is unknown.
    """
    if form not in NCE_FORMS:
        raise UserError(f"mil_nce: form={form!r} is unknown; {nearest(form, NCE_FORMS)}")
    x_valid_B, y_valid_BxK, x_BxD, y_BxKxD = _unit(x_BxD, y_BxKxD, x_valid_B, y_valid_BxK)
    own_BxK = jnp.einsum("bd,bkd->bk", x_BxD, y_BxKxD, precision="highest") / temperature
    own_BxK = jnp.where(x_valid_B[:, None] & y_valid_BxK, own_BxK, MASKED)
    positive_B = jax.nn.logsumexp(own_BxK, axis=1)
    of_x_B, of_y_N = negatives_logsumexp(
        x_BxD,
        y_BxKxD.reshape(-1, x_BxD.shape[1]),
        x_valid_B,
        y_valid_BxK.reshape(-1),
        temperature,
        way,
    )
    of_y_B = jax.nn.logsumexp(of_y_N.reshape(y_valid_BxK.shape), axis=1)
    pairs_B = jnp.logaddexp(jnp.logaddexp(of_x_B, of_y_B), positive_B)
    if form == "released":
        pairs_B = jnp.logaddexp(pairs_B, positive_B)
    return numerics.mean_over_valid(pairs_B - positive_B, x_valid_B & y_valid_BxK.any(axis=1))


def matching_accuracy(
    x_BxD: jax.Array,
    y_BxKxD: jax.Array,
    x_valid_B: jax.Array | None = None,
    y_valid_BxK: jax.Array | None = None,
) -> jax.Array:
    """Share of x whose most similar y of the whole batch is one of their own.

    Args:
      x_BxD: as in `mil_nce`.
      y_BxKxD: as in `mil_nce`.
      x_valid_B: as in `mil_nce`.
      y_valid_BxK: as in `mil_nce`.

    Returns:
      A float32 scalar in [0, 1] without gradient, averaged as in `mil_nce`.
    """
    x_valid_B, y_valid_BxK, x_BxD, y_BxKxD = _unit(x_BxD, y_BxKxD, x_valid_B, y_valid_BxK)
    own_BxK = jnp.where(y_valid_BxK, jnp.einsum("bd,bkd->bk", x_BxD, y_BxKxD), MASKED)
    highest_B, _, _ = negatives_statistics(
        x_BxD, y_BxKxD.reshape(-1, x_BxD.shape[1]), x_valid_B, y_valid_BxK.reshape(-1), 1.0
    )
    found_B = own_BxK.max(axis=1) > highest_B
    counts_B = x_valid_B & y_valid_BxK.any(axis=1)
    return numerics.mean_over_valid(found_B.astype(jnp.float32), counts_B)


def _unit(
    x_BxD: jax.Array,
    y_BxKxD: jax.Array,
    x_valid_B: jax.Array | None,
    y_valid_BxK: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The masks, filled in, and the embeddings as unit vectors."""
    count, candidates, size = y_BxKxD.shape
    x_valid_B = numerics.all_valid(x_valid_B, count)
    y_valid_N = numerics.all_valid(
        None if y_valid_BxK is None else y_valid_BxK.reshape(-1), count * candidates
    )
    x = numerics.l2_normalize(numerics.zero_invalid_rows(x_BxD, x_valid_B))
    y = numerics.l2_normalize(numerics.zero_invalid_rows(y_BxKxD.reshape(-1, size), y_valid_N))
    return x_valid_B, y_valid_N.reshape(count, candidates), x, y.reshape(y_BxKxD.shape)
