"""Examples mixed with others of their batch, and targets with them.

mixup: Zhang et al. 2018, arXiv 1710.09412. CutMix: Yun et al. 2019, arXiv 1905.04899; on video one
box for all frames of a clip (VideoMix, Yun et al. 2020, arXiv 2012.03457).
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class Mixing:
    """What is mixed, and how much.

    An example's partner is the one in its place in the reversed batch, which is shuffled anyway.

    Attributes:
      mixup: alpha of Beta(alpha, alpha), from which the share of an example in its mixture is
        drawn; 0 = no mixup.
      cutmix: likewise of CutMix. With both, each example draws which of them, evenly.

    Raises:
      UserError: an alpha is negative.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for field in ("mixup", "cutmix"):
            if not getattr(self, field) >= 0:
                raise UserError(f"config.method.{field} = {getattr(self, field)}: not negative")

    def __call__(
        self, key: jax.Array, clips_BxTxHxWx3: jax.Array, counts_B: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Mixes a batch.

        Args:
          key: a typed PRNG key.
          clips_BxTxHxWx3: float.
          counts_B: bool; an example that does not count is mixed with none.

        Returns:
          (mixed clips, the share of the example itself in each, float32 [B] in [0, 1]).
        """
        count, _, height, width, _ = clips_BxTxHxWx3.shape
        if not (self.mixup or self.cutmix):
            return clips_BxTxHxWx3, jnp.ones(count)
        choose_key, mixup_key, cutmix_key, place_key = jax.random.split(key, 4)
        cut_B = jnp.full(count, not self.mixup)
        if self.mixup and self.cutmix:
            cut_B = jax.random.bernoulli(choose_key, 0.5, (count,))
        both_B = counts_B & counts_B[::-1]
        share_B, window_BxHxW = jnp.ones(count), jnp.zeros((count, height, width))
        if self.mixup:
            share_B = jax.random.beta(mixup_key, self.mixup, self.mixup, (count,))
        if self.cutmix:
            wanted_B = jax.random.beta(cutmix_key, self.cutmix, self.cutmix, (count,))
            boxes_BxHxW = _boxes(place_key, wanted_B, height, width)
            window_BxHxW = jnp.where(cut_B[:, None, None], boxes_BxHxW, 0.0)
            # What the box, cut off at the border, really leaves.
            share_B = jnp.where(cut_B, 1.0 - boxes_BxHxW.mean(axis=(1, 2)), share_B)
        share_B = jnp.where(both_B, share_B, 1.0)
        # The weight of the partner at each pixel: the box, or the same everywhere.
        weight_BxHxW = jnp.where(cut_B[:, None, None], window_BxHxW, 1.0 - share_B[:, None, None])
        weight = jnp.where(both_B[:, None, None], weight_BxHxW, 0.0)[:, None, :, :, None]
        mixed = clips_BxTxHxWx3 * (1.0 - weight) + clips_BxTxHxWx3[::-1] * weight
        return mixed.astype(clips_BxTxHxWx3.dtype), share_B

    def targets(self, targets_BxC: jax.Array, share_B: jax.Array) -> jax.Array:
        """The targets of a mixed batch, by the shares that mixing it gave."""
        if not (self.mixup or self.cutmix):
            return targets_BxC
        share_Bx1 = share_B[:, None]
        return share_Bx1 * targets_BxC + (1.0 - share_Bx1) * targets_BxC[::-1]


def _boxes(key: jax.Array, share_B: jax.Array, height: int, width: int) -> jax.Array:
    """1 inside a box of area 1 - share around a random centre, float32 [B, H, W]."""
    side_B = jnp.sqrt(1.0 - share_B)
    inside = []
    for axis_key, length in zip(jax.random.split(key), (height, width)):
        centre_B = jax.random.uniform(axis_key, share_B.shape, maxval=length)
        half_B = 0.5 * side_B * length
        place_L = jnp.arange(length) + 0.5
        inside.append(jnp.abs(place_L - centre_B[:, None]) < half_B[:, None])
    return (inside[0][:, :, None] & inside[1][:, None, :]).astype(jnp.float32)
