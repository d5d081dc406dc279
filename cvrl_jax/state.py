"""The training state, how it is made and the one jitted step that moves it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh, NamedSharding
from jax.tree_util import Partial

from cvrl_jax.gradients import loss_and_gradients
from cvrl_jax.methods.base import Batch, Method, Variables
from cvrl_jax.models.precision import check_kept
from cvrl_jax.parallel.mesh import batch_sharding, in_mesh, local_rows, put_batch, replicated
from cvrl_jax.parallel.rules import Rules
from cvrl_jax.parallel.sharding import state_shardings

Metrics = dict[str, jax.Array]

MODALITIES = ("video", "audio", "audio_valid", "text")  # what of a batch a network may see


@struct.dataclass
class TrainState:
    """Everything that training changes on the device; a plain pytree.

    Attributes:
      step: int32 [], updates done.
      variables: all collections of the method, `params` among them.
      opt_state: the optimizer's.
    """

    step: jax.Array
    variables: Variables
    opt_state: Any


def create_state(
    method: Method,
    optimizer: optax.GradientTransformation,
    seed: int,
    mesh: Mesh,
    rules: Rules = (),
) -> TrainState:
    """Initialises the state on the devices; the same numbers for any number of them."""
    shardings = _shardings(method, optimizer, mesh, rules)
    return jax.jit(_init(method, optimizer), out_shardings=shardings)(_key_data(seed))


def state_shapes(method: Method, optimizer: optax.GradientTransformation) -> TrainState:
    """The shapes and types of the state; allocates nothing."""
    shapes = jax.eval_shape(_init(method, optimizer), _key_data(0))
    check_kept(shapes)
    return shapes


def abstract_state(
    method: Method, optimizer: optax.GradientTransformation, mesh: Mesh, rules: Rules = ()
) -> TrainState:
    """The shapes, types and shardings of the state; allocates nothing.

    Args:
      method: whose state.
      optimizer: likewise.
      mesh: the devices.
      rules: how arrays are split over them, see `parallel.rules`; () = a copy on each.
    """
    shapes = state_shapes(method, optimizer)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(shapes, mesh, rules),
    )


def _shardings(
    method: Method, optimizer: optax.GradientTransformation, mesh: Mesh, rules: Rules
) -> Any:
    """Of the state: one for all its arrays, or a tree of them."""
    if not rules:
        return replicated(mesh)
    return jax.tree.map(lambda leaf: leaf.sharding, abstract_state(method, optimizer, mesh, rules))


def _init(method: Method, optimizer: optax.GradientTransformation) -> Callable[[Any], TrainState]:
    def init(key_data: Any) -> TrainState:
        variables = method.init(jax.random.wrap_key_data(key_data))
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            variables=variables,
            opt_state=optimizer.init(variables["params"]),
        )

    return init


def _key_data(seed: int) -> np.ndarray:
    """Of the key of a seed: an argument of programs, which are compiled once for all seeds."""
    return np.asarray(jax.random.key_data(jax.random.key(seed)))


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """The jitted update of a run: (state, batch) -> (state, metrics); the state is donated.

    Seed, schedule and number of steps are arguments of the program and no part of it: runs that
    differ in these alone share one.

    Attributes:
      jitted: of (state, batch, run).
      run: these numbers, as a pytree on the host.
      place: of them, on the devices.
    """

    jitted: Any
    run: dict[str, Any]
    place: NamedSharding

    @functools.cached_property
    def _placed(self) -> dict[str, Any]:
        return jax.device_put(self.run, self.place)

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return self.jitted(state, batch, self._placed)

    def trace(self, state: TrainState, batch: Any) -> Any:
        """As that of a jitted function, for arrays or their shapes."""
        run = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.place), self.run
        )
        return self.jitted.trace(state, batch, run)


def make_train_step(
    method: Method,
    optimizer: optax.GradientTransformationExtraArgs,
    schedule: Partial,
    seed: int,
    mesh: Mesh,
    rules: Rules = (),
    *,
    steps: int,
    chunks: int = 1,
    accumulate: int = 1,
) -> TrainStep:
    """Builds the jitted update.

    The randomness of a step is `fold_in(key(seed), step)`, so that a resumed run repeats it.

    Args:
      method: what is learned.
      optimizer: of its parameters; is given `schedule` as an argument.
      schedule: learning rate by step, a pytree, see `optim.warmup_cosine`.
      seed: of the steps' randomness.
      mesh: the devices.
      rules: how the state is split over them, see `parallel.rules`.
      steps: length of the run.
      chunks: see `loss_and_gradients`.
      accumulate: likewise.
    """

    @in_mesh(mesh)
    def train_step(
        state: TrainState, batch: Batch, run: dict[str, Any]
    ) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.wrap_key_data(run["key"]), state.step)
        params = state.variables["params"]
        (loss, aux), grads = loss_and_gradients(
            method, state.variables, batch, key, chunks=chunks, accumulate=accumulate
        )
        updates, opt_state = optimizer.update(
            grads, state.opt_state, params, schedule=run["schedule"]
        )
        step = state.step + 1
        variables = method.after_update(
            state.variables | aux.collections | {"params": optax.apply_updates(params, updates)},
            jnp.minimum(step / run["steps"], 1.0),
        )
        metrics = {
            "loss": loss,
            "learning_rate": run["schedule"](state.step),
            "gradient_norm": optax.tree.norm(grads),
            "invalid_examples": jnp.sum(~batch["valid"] & (batch["index"] >= 0)),  # not padding
        }
        metrics |= aux.metrics | collapse_monitors(aux.features, batch["valid"])
        return TrainState(step, variables, opt_state), metrics

    shardings = _shardings(method, optimizer, mesh, rules)
    whole = replicated(mesh)
    jitted = jax.jit(
        train_step,
        in_shardings=(shardings, batch_sharding(mesh), whole),
        out_shardings=(shardings, whole),
        donate_argnums=0,
    )
    run = {"key": _key_data(seed), "schedule": schedule, "steps": np.int32(steps)}
    return TrainStep(jitted, run, whole)


def collapse_monitors(features_BxVxD: jax.Array, valid_B: jax.Array) -> Metrics:
    """Cheap signs of collapse on the features of a training batch.

    Returns:
      `feature_std`: mean over dimensions of the standard deviation of L2-normalised features, times
        sqrt(D): 1 for isotropic features, 0 for collapsed ones. `alignment`: mean squared distance
        between the two views of a video (only with two views; Wang & Isola 2020, eq. 4).
    """
    f = jax.lax.stop_gradient(features_BxVxD.astype(jnp.float32))
    f = f / (jnp.linalg.norm(f, axis=-1, keepdims=True) + 1e-12)
    weight = valid_B / jnp.maximum(valid_B.sum(), 1)
    mean = jnp.einsum("b,bvd->vd", weight, f)
    variance = jnp.einsum("b,bvd->vd", weight, (f - mean) ** 2)
    monitors = {"feature_std": jnp.sqrt(variance).mean() * f.shape[-1] ** 0.5}
    if f.shape[1] > 1:
        monitors["alignment"] = weight @ ((f[:, 0] - f[:, 1]) ** 2).sum(-1)
    return monitors


def make_embed(method: Method, mesh: Mesh) -> Callable[[Variables, dict[str, np.ndarray]], dict]:
    """Builds `embed(variables, host batch) -> features on the host`, jitted over the mesh.

    Of the batch only what a network sees is used; this process's devices must divide its first
    axis. Of several processes each embeds a batch of its own, of equal shape, at the same time.
    """
    jitted = jax.jit(
        in_mesh(mesh)(method.embed),
        in_shardings=(None, batch_sharding(mesh)),  # variables stay where they are
        out_shardings=batch_sharding(mesh),
    )

    def embed(variables: Variables, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen = {key: batch[key] for key in MODALITIES if key in batch}
        return jax.tree.map(local_rows, jitted(variables, put_batch(seen, mesh)))

    return embed
