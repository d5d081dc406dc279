"""Learning rates that fall from layer to layer, from the top of a network to its bottom.

As BEiT (arXiv 2106.08254, appendix H) and VideoMAE (arXiv 2203.12602, appendix) fine-tune: what a
tower has learned near the pixels is moved the least.
"""

from __future__ import annotations

import re
from typing import Any

import jax
import optax

_BLOCK = re.compile(r"(?:stage(\d+)_)?block(\d+)")  # of the residual towers and of the transformer
_TOP_OF_TOWER = ("encoder/norm", "post_projection")
_BELOW, _BLOCKS, _ABOVE, _HEAD = range(4)


def scale_by_layer(decay: float) -> optax.GradientTransformation:
    """Multiplies updates by decay^k, k layers below the head; behind any optimizer."""

    def update(updates: Any, params: Any) -> Any:
        del params
        scales = layer_scales(updates, decay)
        return jax.tree.map(lambda update, scale: update * scale, updates, scales)

    return optax.stateless(update)


def layer_scales(params: Any, decay: float) -> Any:
    """The factor of each parameter's learning rate, in a tree of the same structure.

    Layers, from the bottom: all that comes before a tower's blocks (stem, patches, positions), each
    block, what comes behind them in the tower, and the heads, whose factor is 1.

    Args:
      params: of a method, by part: `tower`, `head` and the like.
      decay: factor from a layer to the one below it, in (0, 1].
    """
    places = jax.tree_util.tree_map_with_path(lambda path, _: _place(path), params)
    is_place = {"is_leaf": lambda node: isinstance(node, tuple)}
    ordered = sorted(set(jax.tree.leaves(places, **is_place)))
    top = len(ordered) - 1
    return jax.tree.map(lambda place: decay ** (top - ordered.index(place)), places, **is_place)


def in_towers(params: Any) -> Any:
    """Which parameters belong to a tower and not to a head: booleans in the same structure."""
    return jax.tree_util.tree_map_with_path(lambda path, _: _place(path) != (_HEAD,), params)


def _place(path: tuple[Any, ...]) -> tuple[int, ...]:
    """Where a parameter stands; sorts from the bottom of a network to its top."""
    part, *rest = (str(getattr(key, "key", key)) for key in path)
    if part != "encoder" and not part.endswith("tower"):
        return (_HEAD,)
    block = next((found for name in rest if (found := _BLOCK.fullmatch(name))), None)
    if block:
        return _BLOCKS, int(block[1] or 0), int(block[2])
    inside = "/".join([part] * (part == "encoder") + rest)
    return (_ABOVE,) if inside.startswith(_TOP_OF_TOWER) else (_BELOW,)
