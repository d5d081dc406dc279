"""What can be changed to make a step fit, cheapest first."""

from __future__ import annotations

from ml_collections import ConfigDict

from cvrl_jax.parallel.mesh import batch_shards, mesh_shape
from cvrl_jax.plan.compiled import Figures

WORTH_SPLITTING = 0.1  # share of a chip's memory from which on the state is worth splitting


def next_knob(
    config: ConfigDict, figures: Figures, memory: int, devices: int
) -> tuple[str, ConfigDict] | None:
    """The next thing to try upon all that has been: (what was set, config); None = all is tried.

    bfloat16 costs digits, remat and chunks cost arithmetic, FSDP costs communication, a smaller
    batch costs negatives.

    Args:
      config: that does not fit; it is not changed.
      figures: of its step.
      memory: of a chip, bytes.
      devices: of the mesh.
    """
    tried = config.copy_and_resolve_references()
    parallel = tried.parallel
    if changed := _set(tried, "dtype", "bfloat16") or _set(tried, "remat", "block"):
        return changed, tried
    kinds = figures.bytes_by_kind
    state = kinds["parameters"] + kinds["statistics"] + kinds["optimizer"]
    shape = mesh_shape(parallel.mesh, devices)
    preset = {"data_parallel": "fsdp", "tensor": "fsdp_tensor"}.get(parallel.preset)
    if preset and state > WORTH_SPLITTING * memory and shape["data"] > 1:
        parallel.preset = preset
        return f"config.parallel.preset = {preset}", tried
    rows = config.batch_size // batch_shards(shape) // parallel.accumulate
    if rows % (2 * parallel.chunks) == 0:
        room, factor = max(memory - state, 1), 2
        # As if temporaries were those of the chunk alone; where others count, more is tried next.
        while kinds["temporaries"] > room * factor and rows % (2 * factor * parallel.chunks) == 0:
            factor *= 2
        parallel.chunks *= factor
        return f"config.parallel.chunks = {parallel.chunks}", tried
    if rows % 2 == 0:
        tried.batch_size //= 2
        parallel.chunks //= 2
        return f"config.batch_size = {tried.batch_size}", tried
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
