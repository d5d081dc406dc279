"""Optimizers and their learning-rate schedule."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from cvrl_jax.layerwise import in_towers, scale_by_layer
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest


def create_optimizer(
    config: Any, total_steps: int, batch_size: int
) -> tuple[optax.GradientTransformationExtraArgs, Partial]:
    """The optimizer that a config section asks for.

    Weights are decayed only where `decay_mask` says, that is, never in biases and BatchNorm.

    Args:
      config: a ConfigDict section with the fields
        `name`: 'sgd', 'lars' (arXiv 1708.03888), 'adam' (arXiv 1412.6980) or 'adamw'
          (arXiv 1711.05101).
        `learning_rate`: the peak; None means `base_learning_rate` * batch_size / 256
          (arXiv 1706.02677, section 2.1).
        `schedule`: the shape of its fall, a key of `CURVES`.
        `warmup_steps`: >= 0 and < total_steps.
        `weight_decay`: >= 0. 'sgd' and 'lars' add weight_decay * w to the gradient before momentum,
          as if the loss held weight_decay / 2 * |w|^2; 'adamw' decouples it; 'adam' wants 0.
        `momentum`, `nesterov`: of 'sgd' and 'lars'.
        `betas`, `epsilon`: of 'adam' and 'adamw'.
        `clip_norm`: >= 0; a longer gradient is scaled down to this Euclidean length, before all
          else, weight decay too (arXiv 1211.5063, section 3.2). 0 leaves all as they are.
        `clip_part`: 'all': length of the whole gradient; 'towers': of that of towers, and heads
          stay as they are.
        `layer_decay`: in (0, 1]; below 1, lower layers learn more slowly (see `layerwise`).
      total_steps: length of the run, in updates.
      batch_size: examples in one update, over all devices.

    Returns:
      (optimizer, schedule): `schedule(step)` is the learning rate of that update. The optimizer
        does not hold it: `optimizer.update(gradients, state, params, schedule=schedule)`.

    Raises:
      UserError: a name is unknown, warm-up fills the whole run, or 'adam' is to decay weights.
    """
    if config.name not in _OPTIMIZERS:
        near = nearest(str(config.name), _OPTIMIZERS)
        raise UserError(f"optimizer {config.name!r} is unknown; {near}")
    peak = config.learning_rate
    if peak is None:
        peak = config.base_learning_rate * batch_size / 256
    schedule = warmup_cosine(peak, config.warmup_steps, total_steps, config.schedule)

    def update(updates: Any, state: Any, params: Any = None, **arguments: Any) -> Any:
        return _with_schedule(config, arguments["schedule"]).update(updates, state, params)

    init = _with_schedule(config, schedule).init
    return optax.GradientTransformationExtraArgs(init, update), schedule


def _with_schedule(config: Any, schedule: Partial) -> optax.GradientTransformation:
    optimizer = _OPTIMIZERS[config.name](config, schedule)
    if config.clip_norm:
        optimizer = optax.chain(_clip(config), optimizer)
    if config.layer_decay != 1:
        optimizer = optax.chain(optimizer, scale_by_layer(config.layer_decay))
    return optimizer


def _clip(config: Any) -> optax.GradientTransformation:
    clip = optax.clip_by_global_norm(config.clip_norm)
    return clip if config.clip_part == "all" else optax.masked(clip, in_towers)


def _half_cosine(t: jax.Array) -> jax.Array:
    return (1 + jnp.cos(jnp.pi * t)) / 2


CURVES: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "cosine": _half_cosine,  # 1 to 0
    "quarter_cosine": lambda t: (1 + jnp.cos(jnp.pi / 2 * t)) / 2,  # 1 to 1/2, fastest at the end
    "cosine_to_half": lambda t: (1 + _half_cosine(t)) / 2,  # 1 to 1/2, level at the end
}
"""What becomes of a learning rate of 1 in a run of length 1. VATT (arXiv 2104.11178, A.2.4) has a
quarter of a cosine's period from 1e-4 to 5e-5; its released code, half a period."""


def warmup_cosine(
    peak: float, warmup_steps: int, total_steps: int, curve: str = "cosine"
) -> Partial:
    """A cosine from `peak` at step 0 to its end at `total_steps`, its start replaced by a ramp.

    The ramp runs linearly from 0 at step 0 to where the cosine is at `warmup_steps`, a little below
    `peak`. This is the schedule of the published CVRL code; in `optax.warmup_cosine_decay_schedule`
    the cosine starts only after the warm-up.

    Args:
      peak: height of the cosine.
      warmup_steps: length of the ramp, >= 0 and < total_steps.
      total_steps: length of the run.
      curve: a key of `CURVES`; 'cosine' ends at 0.

    Returns:
      A function of the step, for integers and traced integers. It is a pytree with its three
        numbers as leaves: a program that takes it as an argument is compiled once for all of them.

    Raises:
      UserError: the curve is unknown, or warm-up fills the whole run.
    """
    if not 0 <= warmup_steps < total_steps:
        raise UserError(
            f"warmup_steps={warmup_steps} must be >= 0 and below the run's {total_steps} steps; "
            "shorten the warm-up or lengthen the run"
        )
    if curve not in CURVES:
        raise UserError(f"optimizer schedule {curve!r} is unknown; {nearest(str(curve), CURVES)}")
    numbers = np.float32(peak), np.int32(warmup_steps), np.int32(total_steps)
    return Partial(functools.partial(_ramped, CURVES[curve]), *numbers)


def _ramped(
    curve: Callable[[jax.Array], jax.Array],
    peak: Any,
    warmup_steps: Any,
    total_steps: Any,
    step: Any,
) -> jax.Array:
    def fallen(step: Any) -> jax.Array:
        return peak * curve(jnp.minimum(step / total_steps, 1.0))

    ramp = fallen(warmup_steps) * step / jnp.maximum(warmup_steps, 1)
    return jnp.where(step < warmup_steps, ramp, fallen(step))


def decay_mask(params: Any) -> Any:
    """Which parameters weight decay (and LARS's trust ratio) applies to: dense and conv kernels.

    Args:
      params: a tree of arrays.

    Returns:
      A tree of the same structure, True where the leaf is named 'kernel' and has two or more axes.
    """

    def is_kernel(path: tuple[Any, ...], leaf: jax.Array) -> bool:
        return getattr(path[-1], "key", None) == "kernel" and leaf.ndim > 1

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def _sgd(config: Any, schedule: Partial) -> optax.GradientTransformation:
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, decay_mask),
        optax.sgd(schedule, config.momentum, config.nesterov),
    )


def _lars(config: Any, schedule: Partial) -> optax.GradientTransformation:
    return optax.lars(
        schedule,
        config.weight_decay,
        weight_decay_mask=decay_mask,
        trust_ratio_mask=decay_mask,
        momentum=config.momentum,
        nesterov=config.nesterov,
    )


def _adamw(config: Any, schedule: Partial) -> optax.GradientTransformation:
    beta1, beta2 = config.betas
    return optax.adamw(
        schedule,
        beta1,
        beta2,
        config.epsilon,
        weight_decay=config.weight_decay,
        mask=decay_mask,
    )


def _adam(config: Any, schedule: Partial) -> optax.GradientTransformation:
    if config.weight_decay:
        raise UserError(
            f"optimizer 'adam' has no weight decay, but weight_decay = {config.weight_decay:g}; "
            "set it to 0 or take 'adamw'"
        )
    beta1, beta2 = config.betas
    return optax.adam(schedule, beta1, beta2, config.epsilon)


_OPTIMIZERS: Mapping[str, Callable[[Any, Partial], optax.GradientTransformation]] = {
    "sgd": _sgd,
    "lars": _lars,
    "adam": _adam,
    "adamw": _adamw,
}
