"""The one policy of mixed precision.

Towers compute in their `dtype`, float32 or bfloat16, and clips are augmented in that of the tower
that sees them. Everything else is float32, always: parameters and what the optimizer keeps of them,
features, projections, logits, losses, and the statistics of BatchNorm, LayerNorm and softmax.
Float16 is not offered: its range would ask for loss scaling.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

COMPUTE = ("float32", "bfloat16")
"""What a tower may compute in."""

KEPT = jnp.float32
"""What parameters, statistics, logits and the optimizer's state are."""


def compute_dtype(dtype: Any) -> Any:
    """The type that a tower's field `dtype` names.

    Raises:
      UserError: it is none of `COMPUTE`.
    """
    name = dtype if isinstance(dtype, str) else jnp.dtype(dtype).name
    if name not in COMPUTE:
        raise UserError(f"model field dtype={name!r}; {nearest(name, COMPUTE)}")
    return jnp.dtype(name)


def check_kept(state: Any) -> None:
    """Raises a TypeError where a number of a training state is a float, but not float32.

    Args:
      state: a tree of arrays or shapes.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype != KEPT:
            raise TypeError(f"{jax.tree_util.keystr(path)} is {leaf.dtype}; keep it as float32")
