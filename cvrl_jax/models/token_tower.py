"""What the token towers share: from pieces of an input to one feature."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cvrl_jax.models.attention import LOWERINGS
from cvrl_jax.models.fields import check_fields
from cvrl_jax.models.heads import dense_init
from cvrl_jax.models.positions import FORMS, RESIZES, Positions
from cvrl_jax.models.remat import REMATS
from cvrl_jax.models.transformer import (
    NORMS,
    RELATIVE_BIASES,
    Transformer,
    gelu,
    normalization,
)
from data_pipelines.errors import UserError

POOLINGS = ("agg", "mean", "mean_norm")


class TokenTower(nn.Module):
    """Pieces -> tokens -> transformer -> feature; a subclass says what the pieces are.

    1. `split` cuts the input into a grid of pieces, `embed` makes tokens of them.
    2. DropToken: in training a random share of the tokens is left out (VATT, 3.1.1). The pieces are
       left out before they are embedded, which is the same and cheaper.
    3. Positions are added, a learned AGG token is put in front. (A position of its own on AGG, as
       in VATT's eq. 2, would be a second learned vector added to the first.)
    4. The feature is what the transformer makes of AGG, or the mean over the tokens.

    Attributes (and those of `Transformer` but `last_norm`):
      grid: rows of the position tables by axis, see `Positions`; () = no positions.
      position_form: 'axes', 'joint' or 'sinusoid', see `Positions`.
      position_resize: how they fit other grids, see `resize_matrix`.
      position_norm: LayerNorm on the sum of positions, then dropout (the released VATT code).
      drop_token: share of tokens left out in training, in [0, 1).
      drop_token_shared: one draw for all examples of a batch (the released VATT code) instead of
        one for each.
      pooling: 'agg'; 'mean' or 'mean_norm' without an AGG token: the mean over normalised tokens,
        or the normalised mean over tokens (as VideoMAE is fine-tuned, arXiv 2203.12602).
      pre_projection: a Dense layer with GELU before the positions. VATT's modality-agnostic towers
        have it, and the next.
      post_projection: units of a Dense layer with GELU on the feature; 0 = none.
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
    relative_bias: str = ""
    dropout: float = 0.0
    attention_dropout: float = 0.0
    remat: str = "none"
    lowering: str = "auto"
    dtype: Any = jnp.float32
    grid: tuple[int, ...] = ()
    position_form: str = "axes"
    position_resize: str = "cubic"
    position_norm: bool = False
    drop_token: float = 0.0
    drop_token_shared: bool = False
    pooling: str = "agg"
    pre_projection: bool = False
    post_projection: int = 0

    @property
    def feature_size(self) -> int:
        """D, the length of a feature."""
        return self.post_projection or self.width

    @property
    def last_norm(self) -> bool:
        """Whether the transformer normalises its tokens, see `pooling`."""
        return self.pooling != "mean_norm"

    @property
    def stack(self) -> dict[str, Any]:
        """The fields of the transformer, the part `encoder`."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(Transformer)
            if field.name not in ("parent", "name")
        }

    def check(self) -> None:
        """Raises a UserError where a field's value cannot be."""
        choices = {
            "norm": NORMS,
            "lowering": LOWERINGS,
            "remat": REMATS,
            "relative_bias": RELATIVE_BIASES,
            "position_form": FORMS,
            "position_resize": RESIZES,
            "pooling": POOLINGS,
        }
        check_fields(self, choices, ("drop_token", "dropout", "attention_dropout"))

    def split(self, x: jax.Array) -> jax.Array:
        """Cuts inputs [N, ...] into pieces [N, *grid, P], without parameters."""
        raise NotImplementedError

    def embed(self, pieces_NxSxP: jax.Array) -> jax.Array:
        """Makes tokens [N, S, E] of pieces: here by a Dense layer."""
        return nn.Dense(self.width, kernel_init=dense_init, dtype=self.dtype, name="patch")(
            pieces_NxSxP
        )

    def visible(self, pieces_NxSxP: jax.Array) -> jax.Array | None:
        """Which pieces are there at all, bool [N, S]; None = all of them."""
        del pieces_NxSxP

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, valid: jax.Array | None = None) -> jax.Array:
        """Features of inputs.

        Args:
          x: [N, ...], see `split`.
          train: whether DropToken and dropout act; they need the RNG stream 'dropout'.
          valid: bool [N]; not used, since nothing here is measured over the batch.

        Returns:
          float32 [N, feature_size].
        """
        del valid
        pieces = self.split(x)
        count, grid = pieces.shape[0], pieces.shape[1:-1]
        if not math.prod(grid):
            raise UserError(
                f"{type(self).__name__}: an input of {x.shape[1:]} has no token, {grid} of them by "
                "axis; a token is one patch: make the input larger or config.model's patch smaller"
            )
        pieces = pieces.reshape(count, math.prod(grid), -1)
        kept = None
        if train and self.drop_token:
            kept = kept_tokens(
                self.make_rng("dropout"),
                1 if self.drop_token_shared else count,
                pieces.shape[1],
                self.drop_token,
            )
            pieces = jnp.take_along_axis(pieces, kept[..., None], axis=1)
        tokens = self.embed(pieces)
        if self.pre_projection:
            tokens = gelu(self._dense(self.width, "pre_projection")(tokens))
        if self.grid:
            positions = Positions(
                self.grid,
                self.width,
                self.position_resize,
                self.position_norm,
                self.position_form,
                self.epsilon,
                name="positions",
            )(grid)
            if self.position_norm:
                positions = nn.Dropout(self.dropout, deterministic=not train)(positions)
            tokens = tokens + (positions if kept is None else positions[kept]).astype(self.dtype)
        visible = self.visible(pieces)
        if self.pooling == "agg":
            agg = self.param("agg", nn.initializers.glorot_normal(), (1, self.width), jnp.float32)
            agg = jnp.broadcast_to(agg.astype(self.dtype), (count, 1, self.width))
            tokens = jnp.concatenate([agg, tokens], axis=1)
            if visible is not None:
                visible = jnp.pad(visible, ((0, 0), (1, 0)), constant_values=True)
        tokens = Transformer(**self.stack, name="encoder")(tokens, train, visible)
        feature = tokens[:, 0] if self.pooling == "agg" else _mean(tokens, visible)
        if not self.last_norm:
            feature = normalization(self.norm, self.epsilon, self.dtype, "norm")(feature)
        if self.post_projection:
            feature = gelu(self._dense(self.post_projection, "post_projection")(feature))
        return feature.astype(jnp.float32)

    def _dense(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(features, kernel_init=dense_init, dtype=self.dtype, name=name)


def kept_tokens(key: jax.Array, draws: int, tokens: int, drop: float) -> jax.Array:
    """Which tokens stay: int32 [draws, kept], ascending; each subset of that size equally likely.

    Args:
      key: a typed PRNG key.
      draws: independent draws.
      tokens: to choose from.
      drop: share to leave out, in [0, 1); at least one token stays.
    """
    kept = max(1, round(tokens * (1 - drop)))
    _, chosen = jax.lax.top_k(jax.random.uniform(key, (draws, tokens)), kept)
    return jnp.sort(chosen, axis=-1)


def _mean(tokens_NxSxD: jax.Array, visible_NxS: jax.Array | None) -> jax.Array:
    tokens = tokens_NxSxD.astype(jnp.float32)
    if visible_NxS is None:
        return tokens.mean(axis=1)
    total = jnp.where(visible_NxS[..., None], tokens, 0.0).sum(axis=1)
    return total / jnp.maximum(visible_NxS.sum(axis=1, keepdims=True), 1)
