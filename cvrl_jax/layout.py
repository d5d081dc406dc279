"""How a run lies on its devices: what `config.parallel` asks for, checked before anything else."""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from cvrl_jax.methods import Method
from cvrl_jax.methods.towers import towers_of
from cvrl_jax.parallel.mesh import batch_shards, check_divisible, mesh_shape
from cvrl_jax.parallel.rules import Rules, create_rules
from cvrl_jax.parallel.sharding import nearest_parts
from data_pipelines.errors import UserError


def rules_of(config: ConfigDict) -> Rules:
    """The rules by which the state is split.

    Raises:
      UserError: the preset or a rule is wrong.
    """
    return create_rules(config.parallel.preset, config.parallel.rules)


def step_options(config: ConfigDict) -> dict[str, int]:
    """Length of the run and how its step goes through a batch: keywords of `make_train_step`."""
    parallel = config.parallel
    return {
        "steps": config.steps,
        "chunks": parallel.chunks,
        "accumulate": parallel.accumulate,
    }


def check_layout(config: ConfigDict, method: Method, devices: int) -> dict[str, int]:
    """Checks that mesh, batch and method fit each other.

    Args:
      config: the experiment.
      method: built from it.
      devices: of the machine, or machines.

    Returns:
      The sizes of the mesh by axis.

    Raises:
      UserError: they do not; names the nearest valid sizes, or what to do instead.
    """
    parallel = config.parallel
    for field in ("chunks", "accumulate"):
        if parallel[field] < 1:
            raise UserError(f"config.parallel.{field} = {parallel[field]}: must be at least 1")
    sizes = mesh_shape(parallel.mesh, devices)
    shards, parts = batch_shards(sizes), parallel.chunks * parallel.accumulate
    check_divisible(config.batch_size, shards, "config.batch_size")
    why = f"{shards} devices times {parts} parts (config.parallel.chunks and .accumulate)"
    check_divisible(config.batch_size, shards * parts, "config.batch_size", why)
    rules_of(config)
    if "tensor" in parallel.preset:
        _check_heads(method, sizes["model"], devices)
    if parallel.accumulate > 1 and method.compares_examples:
        raise UserError(
            f"config.parallel.accumulate = {parallel.accumulate}: method {config.method.name!r} "
            "compares the examples of a batch, and a part of it has fewer negatives; set "
            f"config.parallel.chunks = {parallel.accumulate} instead, whose loss sees them all"
        )
    return sizes


def _check_heads(method: Any, parts: int, devices: int) -> None:
    for name, tower in towers_of(method).items():
        heads = getattr(tower, "heads", parts)
        if heads % parts:
            raise UserError(
                f"config.parallel.mesh.model = {parts} does not divide the {heads} attention heads "
                f"of the {name}; {nearest_parts(heads, devices, parts)}"
            )
