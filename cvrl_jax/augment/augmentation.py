"""The augmentation of a whole batch: each view of a video by its own recipe."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from cvrl_jax.augment.recipes import apply, scaled, views


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What happens to the clips of a batch on the device.

    Attributes:
      recipe: a key of `recipes.RECIPES`.
      strength: scale of the colour jitter's ranges; 1 = the recipe's numbers (SimCLR,
        arXiv 2002.05709, appendix A, calls it s).
      per_frame: draw anew for every frame; an ablation.
      dtype: of what is put out and of what is kept between two steps, float32 or bfloat16.
    """

    recipe: str
    strength: float = 1.0
    per_frame: bool = False
    dtype: Any = jnp.float32

    def __call__(self, key: jax.Array, video_BxVxTxHxWx3: jax.Array) -> jax.Array:
        """uint8 [B, V, T, H, W, 3] -> `dtype` of the same shape in [0, 1].

        View v is treated by the recipe's part v, in turn where there are more views than parts.
        """
        parts = [scaled(part, self.strength) for part in views(self.recipe)]
        augmented = [
            apply(
                parts[view % len(parts)],
                jax.random.fold_in(key, view),
                video_BxVxTxHxWx3[:, view],
                self.per_frame,
                self.dtype,
            )
            for view in range(video_BxVxTxHxWx3.shape[1])
        ]
        return jnp.stack(augmented, axis=1)
