"""What can be changed to make a step fit, cheapest first."""

from __future__ import annotations

from collections.abc import Collection

from ml_collections import ConfigDict

from cvrl_jax.parallel.mesh import batch_shards, mesh_shape
from cvrl_jax.plan.compiled import Figures

WORTH_SPLITTING = 0.1  # share of a chip's memory from which on the state is worth splitting


LAST = "batch_size"
"""The knob that always gives memory."""


def next_knob(
    config: ConfigDict,
    figures: Figures,
    memory: int,
    devices: int,
    spent: Collection[str] = (),
) -> tuple[str, str, ConfigDict] | None:
    """The next thing to try upon all that has been; None = all is tried.

    bfloat16 costs digits, remat and chunks cost arithmetic, FSDP costs communication, a smaller
    batch costs negatives.

    Args:
      config: that does not fit; it is not changed.
      figures: of its step.
      memory: of a chip, bytes.
      devices: of the mesh.
      spent: knobs that brought nothing.

    Returns:
      (name of the knob, what was set, the config with it).
    """
    tried = config.copy_and_resolve_references()
    parallel = tried.parallel
    for field, value in (("dtype", "bfloat16"), ("remat", "block")):
        if field not in spent and (changed := _set(tried, field, value)):
            return field, changed, tried
    kinds = figures.bytes_by_kind
    state = kinds["parameters"] + kinds["statistics"] + kinds["optimizer"]
    shape = mesh_shape(parallel.mesh, devices)
    preset = {"data_parallel": "fsdp", "tensor": "fsdp_tensor"}.get(parallel.preset)
    worth = state > WORTH_SPLITTING * memory and shape["data"] > 1
    if preset and worth and "preset" not in spent:
        parallel.preset = preset
        return "preset", f"config.parallel.preset = {preset}", tried
    rows = config.batch_size // batch_shards(shape) // parallel.accumulate
    if rows % (2 * parallel.chunks) == 0 and "chunks" not in spent:
        room, factor = max(memory - state, 1), 2
        # As if temporaries were those of the chunk alone; where others count, more is tried next.
        while kinds["temporaries"] > room * factor and rows % (2 * factor * parallel.chunks) == 0:
            factor *= 2
        parallel.chunks *= factor
        return "chunks", f"config.parallel.chunks = {parallel.chunks}", tried
    if rows % 2 == 0:
        tried.batch_size //= 2
        parallel.chunks = max(1, parallel.chunks // 2)
        return LAST, f"config.batch_size = {tried.batch_size}", tried
    return None


def towers(config: ConfigDict) -> dict[str, ConfigDict]:
    """The sections of `config.model` that describe a tower, by their names."""
    if "name" in config.model:
        return {"config.model": config.model}
    sections = config.model.items()
    return {f"config.model.{n}": s for n, s in sections if isinstance(s, ConfigDict)}


def _set(tried: ConfigDict, field: str, value: str) -> str:
    """Sets a field of every tower that has it otherwise; returns what was changed."""
    changed = []
    for name, section in towers(tried).items():
        if section.get(field, value) != value:
            section[field] = value
            changed.append(f"{name}.{field} = {value}")
    return ", ".join(changed)
