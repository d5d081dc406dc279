"""The real train step of a config, compiled for devices that may not be here, and its figures."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from cvrl_jax.config import validate
from cvrl_jax.gradients import loss_and_gradients
from cvrl_jax.layout import rules_of, step_options
from cvrl_jax.methods import create_method
from cvrl_jax.optim import create_optimizer
from cvrl_jax.parallel.mesh import batch_sharding, batch_shards, in_mesh, make_mesh
from cvrl_jax.parallel.sharding import Placement, placements
from cvrl_jax.plan.arithmetic import repeated_flops, traced_flops, unseen_flops
from cvrl_jax.plan.collectives import Collective, collectives
from cvrl_jax.plan.hlo import Program
from cvrl_jax.state import abstract_state, make_train_step
from data_pipelines.spec import InputSpec

CLASSES = 400  # of a classifier, since no data is looked at

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = r"([\d.]+)([KMGT]?)B?"
_TOO_LARGE = (
    re.compile(rf"\({_SIZE}\) exceeds available HBM \({_SIZE}\)"),
    re.compile(rf"Used {_SIZE} of {_SIZE} hbm", re.IGNORECASE),
)


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a compiled step needs, per chip and step.

    Attributes:
      fits: whether the compiler found room for it.
      bytes_by_kind: parameters, statistics (all other collections), optimizer, batch, padding (of
        these in the chip's layout), temporaries (activations among them) and code.
      flops: that the chip does; None where it does not fit, like all that follow.
      bytes_accessed: of its memory.
      collectives: by kind.
      compile_seconds: that it took.
    """

    fits: bool
    bytes_by_kind: dict[str, int]
    flops: float | None = None
    bytes_accessed: float | None = None
    collectives: dict[str, Collective] = dataclasses.field(default_factory=dict)
    compile_seconds: float = 0.0

    @property
    def bytes_per_chip(self) -> int:
        """Of memory, all kinds together."""
        return sum(self.bytes_by_kind.values())


def compile_step(config: ConfigDict, devices: list[Any], memory: int | None) -> Figures:
    """Compiles the train step of a config; allocates nothing on the devices.

    Args:
      config: the experiment.
      devices: to lay its mesh over.
      memory: bytes that a device has, where the compiler does not say no by itself.

    Raises:
      UserError: the config is wrong for as many devices.
    """
    validate(config, len(devices))
    mesh = make_mesh(config.parallel.mesh, devices)
    method = create_method(config, CLASSES)
    optimizer, schedule = create_optimizer(config.optimizer, config.steps, config.batch_size)
    rules = rules_of(config)
    step = make_train_step(
        method, optimizer, schedule, config.seed, mesh, rules, **step_options(config)
    )
    batch = abstract_batch(method.inputs, config.batch_size, mesh)
    state = abstract_state(method, optimizer, mesh, rules)
    kinds = _bytes_of_state(placements(state, dict(mesh.shape), rules))
    kinds["batch"] = sum(x.size * x.dtype.itemsize for x in batch.values()) // batch_shards(
        mesh.shape
    )
    began = time.monotonic()
    traced = step.trace(state, batch)
    lowered = traced.lower(lowering_platforms=(_platform(devices),))
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        needed = _too_large(str(error))
        if needed is None:
            raise
        kinds["temporaries"] = needed
        return Figures(False, kinds, compile_seconds=time.monotonic() - began)
    seconds = time.monotonic() - began
    held, cost = compiled.memory_analysis(), compiled.cost_analysis()
    kinds["padding"] = held.argument_size_in_bytes - sum(kinds.values())
    kinds["temporaries"] = held.temp_size_in_bytes
    kinds["outputs"] = held.output_size_in_bytes - held.alias_size_in_bytes
    kinds["code"] = held.generated_code_size_in_bytes
    program = Program(compiled.as_text())
    figures = Figures(
        fits=True,
        bytes_by_kind=kinds,
        flops=cost["flops"] + repeated_flops(program) + unseen_flops(traced.jaxpr),
        bytes_accessed=cost["bytes accessed"] + program.repeated_bytes(),
        collectives=collectives(program),
        compile_seconds=seconds,
    )
    fits = memory is None or figures.bytes_per_chip <= memory
    return dataclasses.replace(figures, fits=fits)


def model_flops(config: ConfigDict, devices: list[Any]) -> int:
    """Of the products and convolutions that value and gradient of the loss ask for, per step.

    Counted in the traced function of the whole batch, with nothing recomputed for memory's sake.

    Args:
      config: the experiment, one in which nothing is recomputed (`remat`, `chunks`).
      devices: whose kind decides how convolutions and attention are written.
    """
    mesh = make_mesh(devices=devices[:1])
    method = create_method(config, CLASSES)
    batch = abstract_batch(method.inputs, config.batch_size, mesh)
    variables = jax.eval_shape(method.init, jax.random.key(0))

    @in_mesh(mesh)
    def gradients(variables: Any, batch: Any) -> Any:
        return loss_and_gradients(method, variables, batch, jax.random.key(0))

    return traced_flops(jax.make_jaxpr(gradients)(variables, batch))


def abstract_batch(spec: InputSpec, size: int, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The arrays of a batch that methods see, sharded, without their contents.

    Args:
      spec: what is delivered.
      size: examples.
      mesh: over which they are spread.
    """
    arrays: dict[str, tuple[tuple[int, ...], Any]] = {
        "video": (spec.clip_shape, jnp.uint8),
        "valid": ((), jnp.bool_),
        "label": ((), jnp.int32),
        "index": ((), jnp.int32),
    }
    if spec.audio:
        arrays["audio"] = (spec.views, spec.audio.samples), jnp.float32
        arrays["audio_valid"] = (spec.views,), jnp.bool_
    if spec.text:
        arrays["text"] = (spec.text.sentences, spec.text.tokens), jnp.int32
    sharding = batch_sharding(mesh)
    return {
        name: jax.ShapeDtypeStruct((size, *shape), dtype, sharding=sharding)
        for name, (shape, dtype) in arrays.items()
    }


def _bytes_of_state(placed: list[Placement]) -> dict[str, int]:
    kinds = {"parameters": 0, "statistics": 0, "optimizer": 0}
    for placement in placed:
        if placement.path.startswith("variables/params/"):
            kind = "parameters"
        else:
            kind = "statistics" if placement.path.startswith("variables/") else "optimizer"
        kinds[kind] += placement.bytes_per_device
    return kinds


def _platform(devices: list[Any]) -> str:
    platform = devices[0].platform
    return "cuda" if platform == "gpu" else platform


def _too_large(message: str) -> int | None:
    """Bytes of temporaries that a compiler found no room for; None where that was not the error."""
    for pattern in _TOO_LARGE:
        if found := pattern.search(message):
            return math.ceil(float(found[1]) * _UNITS[found[2]])
    return None
