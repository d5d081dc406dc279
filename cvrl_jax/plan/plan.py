"""Plans a run: compiles its real step for the devices asked for, and what to change if need be."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import logging
import pathlib
from typing import Any

from ml_collections import ConfigDict

from cvrl_jax.describe import state_table
from cvrl_jax.methods import create_method
from cvrl_jax.models import MODELS, TokenTower
from cvrl_jax.parallel.describe import sharding_table, split_over
from cvrl_jax.parallel.mesh import mesh_shape
from cvrl_jax.plan.chips import Topology
from cvrl_jax.plan.compiled import CLASSES, Figures, compile_step, model_flops
from cvrl_jax.plan.devices import devices_of
from cvrl_jax.plan.knobs import LAST, next_knob, towers
from cvrl_jax.plan.page import write_page
from cvrl_jax.plan.roofline import roofline

log = logging.getLogger(__name__)

_NOTHING = 0.99  # of the memory before: a knob that leaves more brought nothing
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "libtpu")


def plan(config: ConfigDict, topology: Topology, target: pathlib.Path) -> dict[str, Any]:
    """Compiles the train step of a config for a topology and writes what it needs.

    Args:
      config: the experiment.
      topology: of devices that need not be here; `prepare_environment` has been called for it.
      target: of the JSON; the page lies beside it, with the ending .html.

    Returns:
      What the JSON holds. Of the config as it is: `fits`, `bytes_per_chip`, `bytes_by_kind`,
      `hbm_bytes`, `flops_per_chip` (None where it does not fit), `model_flops_per_chip`,
      `collectives` (kind -> count, bytes, sent) and `roofline`; `tried`, the same with one thing
      after the other changed, down to the first that fits. What brings nothing is taken back.

    Raises:
      UserError: config and topology do not fit each other, or there is no compiler for it here.
    """
    devices = devices_of(topology)
    shape = mesh_shape(config.parallel.mesh, len(devices))
    arrays = state_table(config, len(devices), CLASSES)
    log.info("\n%s", sharding_table(arrays))
    memory = topology.chip.memory if topology.chip else _memory_here(devices[0])
    asked = asked_flops(config, devices)
    log.info("compiling for %d devices of %s: minutes", len(devices), topology.name)
    figures = compile_step(config, devices, memory)
    tried: list[dict[str, Any]] = []
    changes: list[str] = []
    spent: set[str] = set()
    now, current = config, figures
    while not current.fits and memory is not None:
        knob = next_knob(now, current, memory, len(devices), spent)
        if knob is None:
            break
        name, change, changed = knob
        log.info("%.1f GiB do not fit; trying %s", current.bytes_per_chip / 2**30, change)
        found = compile_step(changed, devices, memory)
        flops = asked if changed.batch_size == config.batch_size else asked_flops(changed, devices)
        shown = _shown(found, topology, flops, changed, len(devices))
        tried.append({"changes": [*changes, change]} | shown)
        if name != LAST and found.bytes_per_chip > _NOTHING * current.bytes_per_chip:
            spent.add(name)
            log.info("%s brings nothing and is taken back", change)
            continue
        changes.append(change)
        now, current = changed, found
    method = create_method(config, CLASSES)
    result = {
        "config": config.name,
        "topology": topology.name,
        "devices": len(devices),
        "mesh": shape,
        "preset": config.parallel.preset,
        "batch_size": config.batch_size,
        "clips_per_example": method.inputs.views,
        "clip": list(method.inputs.clip_shape[1:]),
        "hbm_bytes": memory,
        "chip_source": topology.chip.source if topology.chip else None,
        **_shown(figures, topology, asked, config, len(devices)),
        "tried": tried,
        "arrays": [
            dataclasses.asdict(array) | {"spec": split_over(array), "shape": list(array.shape)}
            for array in arrays
            if array.bytes >= 1 << 20
        ],
        "versions": _versions(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    write_page(target.with_suffix(".html"), result)
    return result


def _shown(
    figures: Figures, topology: Topology, asked: float, config: ConfigDict, devices: int
) -> dict[str, Any]:
    """Figures as JSON."""
    shown: dict[str, Any] = {
        "fits": figures.fits,
        "bytes_per_chip": figures.bytes_per_chip,
        "bytes_by_kind": figures.bytes_by_kind,
        "flops_per_chip": figures.flops,
        "model_flops_per_chip": asked,
        "bytes_accessed_per_chip": figures.bytes_accessed,
        "collectives": {k: dataclasses.asdict(c) for k, c in figures.collectives.items()},
        "compile_seconds": round(figures.compile_seconds, 1),
        "roofline": None,
    }
    chip = topology.chip
    bound = roofline(figures, chip) if chip else None
    if chip is not None and bound is not None:
        clips = config.batch_size * create_method(config, CLASSES).inputs.views
        shown["roofline"] = dataclasses.asdict(bound) | {
            "seconds": bound.seconds,
            "bound_by": bound.bound_by,
            "clips_per_second": clips / bound.seconds,
            "clips_per_second_per_chip": clips / bound.seconds / devices,
            "highest_mfu": asked / chip.flops / bound.seconds,
        }
    return shown


def asked_flops(config: ConfigDict, devices: list[Any]) -> float:
    """FLOPs of a step by the model's own arithmetic, per device."""
    return model_flops(_nothing_twice(config), devices[:1]) / len(devices)


def _memory_here(device: Any) -> int | None:
    """Bytes that a device of this machine may use; None where it does not say, as CPUs do not."""
    return (device.memory_stats() or {}).get("bytes_limit")


def _nothing_twice(config: ConfigDict) -> ConfigDict:
    """The config without what computes anything again, or more, to save memory or its traffic."""
    plain = config.copy_and_resolve_references()
    plain.parallel.update(chunks=1, accumulate=1)
    with plain.unlocked():  # a lowering is no field of a config
        for section in towers(plain).values():
            if "remat" in section:
                section.remat = "none"
            tower = MODELS[section.name].tower
            if "lowering" in tower.__dataclass_fields__:
                section.lowering = "fused" if issubclass(tower, TokenTower) else "direct"
    return plain


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
