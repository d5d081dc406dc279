"""What of a tower's blocks is kept for the backward pass, by name."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

REMATS = ("none", "dots", "block")


def rematted(block: Any, remat: str, static_argnums: tuple[int, ...] = ()) -> Any:
    """A block's class, with the memory that its backward pass needs chosen by name.

    Args:
      block: a Linen module class.
      remat: 'none' = all that XLA wants is kept; 'dots' = results of matrix products and
        convolutions are kept, the rest (normalisation, activations, softmax) is computed again;
        'block' = only the inputs of blocks are kept, for about a third more arithmetic.
      static_argnums: of `__call__`, counted from its `self`: arguments that are no arrays.
    """
    if remat == "none":
        return block
    policy = _keeps_products if remat == "dots" else None
    return nn.remat(block, policy=policy, static_argnums=static_argnums)


def _keeps_products(primitive: Any, *args: Any, **params: Any) -> bool:
    del args, params
    return primitive in (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p)
