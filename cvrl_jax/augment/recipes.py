"""Augmentation recipes: ordered ops with their probabilities and numbers, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cvrl_jax.augment import blur, color, flip
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest


class Step(NamedTuple):
    """One op of a recipe.

    Attributes:
      op: `op(key, clip_TxHxWx3, **numbers) -> clip_TxHxWx3`, float in [0, 1].
      probability: chance that a clip goes through it, in [0, 1].
      numbers: keyword arguments of `op`.
    """

    op: Callable[..., jax.Array]
    probability: float = 1.0
    numbers: Mapping[str, float] = {}


Recipe = tuple[Step, ...]

_FLIP = Step(flip.horizontal_flip, 0.5)
_JITTER = Step(
    color.color_jitter, 0.8, {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
)
_VATT_COLOURS = {"brightness": 32 / 255, "contrast": 0.4, "saturation": 0.4, "hue": 0.2}
_JITTERS = (color.color_jitter, color.additive_jitter)
_GREY = Step(color.greyscale, 0.2)
_COMMON: Recipe = (_FLIP, _JITTER, _GREY)


def _blur(probability: float) -> Step:
    return Step(blur.gaussian_blur, probability, {"sigma_min": 0.1, "sigma_max": 2.0})


def _alike(*steps: Step) -> tuple[Recipe, Recipe]:
    return steps, steps


RECIPES: Mapping[str, tuple[Recipe, Recipe]] = {
    # The published CVRL code (arXiv 2008.03800): as in BYOL (arXiv 2006.07733, table 6), the two
    # views differ.
    "cvrl": (
        (*_COMMON, _blur(1.0)),
        (*_COMMON, _blur(0.1), Step(color.solarise, 0.2)),
    ),
    # SimCLR (arXiv 2002.05709, appendix A): the two views are drawn alike.
    "simclr_symmetric": _alike(*_COMMON, _blur(0.5)),
    # VATT (arXiv 2104.11178, A.2.1), beside the random crop made on the host.
    "vatt": _alike(_FLIP, Step(color.additive_jitter, 0.8, _VATT_COLOURS)),
    # Training of a classifier on frozen features: the random crop, made on the host, and a flip.
    "linear": _alike(_FLIP),
    "none": _alike(),
}


def views(name: str) -> tuple[Recipe, Recipe]:
    """The recipes of the first and of the second clip of a video.

    Args:
      name: a key of `RECIPES`.

    Raises:
      UserError: no recipe has this name.
    """
    if name not in RECIPES:
        raise UserError(f"augmentation recipe {name!r} is unknown; {nearest(name, RECIPES)}")
    return RECIPES[name]


def scaled(recipe: Recipe, strength: float) -> Recipe:
    """The recipe with the ranges of its colour jitter times `strength` >= 0."""
    return tuple(
        step._replace(numbers={name: n * strength for name, n in step.numbers.items()})
        if step.op in _JITTERS
        else step
        for step in recipe
    )


def apply(
    recipe: Recipe,
    key: jax.Array,
    clips_BxTxHxWx3: jax.Array,
    per_frame: bool = False,
    dtype: Any = jnp.float32,
) -> jax.Array:
    """A recipe applied to a batch of clips.

    What happens to clip b depends on `key` and b alone: not on the batch size, nor on the devices
    that the batch is spread over.

    Args:
      recipe: the steps, in order.
      key: a typed PRNG key for the batch.
      clips_BxTxHxWx3: uint8 [B, T, H, W, 3].
      per_frame: draw anew for every frame. An ablation: it breaks the temporal consistency that
        CVRL (section 3.3) found essential.
      dtype: in which clips are handed from step to step, float32 or bfloat16.

    Returns:
      [B, T, H, W, 3] of this type in [0, 1].
    """

    def augment(clip_key: jax.Array, clip_TxHxWx3: jax.Array) -> jax.Array:
        if not per_frame:
            return _apply_to_clip(recipe, clip_key, clip_TxHxWx3)
        frames_Tx1xHxWx3 = clip_TxHxWx3[:, None]
        frame_keys = _fold_in_positions(clip_key, frames_Tx1xHxWx3.shape[0])
        one_frame = jax.vmap(lambda k, frame: _apply_to_clip(recipe, k, frame))
        return one_frame(frame_keys, frames_Tx1xHxWx3)[:, 0]

    clips_BxTxHxWx3 = (clips_BxTxHxWx3.astype(jnp.float32) / 255.0).astype(dtype)
    return jax.vmap(augment)(_fold_in_positions(key, clips_BxTxHxWx3.shape[0]), clips_BxTxHxWx3)


def _fold_in_positions(key: jax.Array, count: int) -> jax.Array:
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(count))


def _apply_to_clip(recipe: Recipe, key: jax.Array, clip_TxHxWx3: jax.Array) -> jax.Array:
    for position, step in enumerate(recipe):
        gate_key, op_key = jax.random.split(jax.random.fold_in(key, position))
        changed_TxHxWx3 = step.op(op_key, clip_TxHxWx3, **step.numbers).astype(clip_TxHxWx3.dtype)
        chosen = jax.random.bernoulli(gate_key, step.probability)
        clip_TxHxWx3 = jnp.where(chosen, changed_TxHxWx3, clip_TxHxWx3)
    return clip_TxHxWx3
