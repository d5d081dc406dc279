"""How the training state lies on the devices: a copy on each, or split among them by rules."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from cvrl_jax.parallel.rules import Rules
from data_pipelines.errors import UserError

SMALLEST_BYTES = 1 << 18  # `fsdp` leaves smaller arrays whole: splitting them gains nothing


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where one array of the state lies.

    Attributes:
      path: its name, collections and modules joined by slashes.
      shape: of the whole.
      dtype: name of its type.
      spec: by axis, the mesh axes that split it.
      why: the rule that chose, and what it found.
      bytes: of the whole.
      bytes_per_device: of the part on each device.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    spec: PartitionSpec
    why: str
    bytes: int
    bytes_per_device: int


def placements(
    shapes: Any, sizes: Mapping[str, int], rules: Rules, smallest: int = SMALLEST_BYTES
) -> list[Placement]:
    """Where each array of a state lies, in the order of `jax.tree.leaves`.

    The numbers of training are those of whole copies but for the order of sums; XLA gathers an
    array where it is used whole.

    Args:
      shapes: a tree of arrays or `jax.ShapeDtypeStruct`.
      sizes: of the mesh's axes.
      rules: see `rules.py`; an array that none fits stays whole.
      smallest: bytes from which on `fsdp` splits an array.

    Raises:
      UserError: an axis is to be split among devices that do not divide it, or a rule of the config
        fits no array.
    """
    fitted = set()
    placed = []
    for key_path, leaf in jax.tree_util.tree_flatten_with_path(shapes)[0]:
        path = jax.tree_util.keystr(key_path, simple=True, separator="/")
        rule = next((rule for rule in rules if rule.fits(path, leaf.ndim)), None)
        axes: list[tuple[str, ...]] = [()] * leaf.ndim
        why = "no rule: whole"
        itemsize = _itemsize(leaf.dtype)
        if rule is not None:
            fitted.add(rule)
            why = rule.text
            if rule.axes is not None:
                axes = list(rule.axes)
                _check_divides(path, leaf.shape, axes, sizes, why)
            if rule.fsdp:
                why += _split_longest(axes, leaf.shape, sizes["data"], itemsize, smallest)
        parts = math.prod(sizes[name] for names in axes for name in names)
        placed.append(
            Placement(
                path=path,
                shape=tuple(leaf.shape),
                dtype=str(leaf.dtype),
                spec=_spec(axes),
                why=why,
                bytes=leaf.size * itemsize,
                bytes_per_device=leaf.size * itemsize // parts,
            )
        )
    for rule in rules:
        if rule.own and rule not in fitted:
            raise UserError(
                f"config.parallel.rules: {rule.text!r} fits no array of the state; --mode=describe "
                "prints their names"
            )
    return placed


def state_shardings(shapes: Any, mesh: Any, rules: Rules, smallest: int = SMALLEST_BYTES) -> Any:
    """The sharding of each array of a training state: a tree of `NamedSharding`.

    Args:
      shapes: a tree of arrays or `jax.ShapeDtypeStruct`.
      mesh: of (replica, data, model).
      rules: as in `placements`, whose errors it raises.
      smallest: likewise.
    """
    placed = placements(shapes, dict(mesh.shape), rules, smallest)
    shardings = [NamedSharding(mesh, placement.spec) for placement in placed]
    return jax.tree.unflatten(jax.tree.structure(shapes), shardings)


def _itemsize(dtype: Any) -> int:
    return getattr(dtype, "itemsize", 4)


def _spec(axes: Sequence[tuple[str, ...]]) -> PartitionSpec:
    entries = [None if not n else n[0] if len(n) == 1 else n for n in axes]
    while entries and entries[-1] is None:
        entries.pop()
    return PartitionSpec(*entries)


def _split_longest(
    axes: list[tuple[str, ...]], shape: Sequence[int], devices: int, itemsize: int, smallest: int
) -> str:
    """Splits, in place, the longest whole axis over `data`; returns what there is to say of it."""
    held = math.prod(shape) * itemsize
    if devices == 1 or any("data" in names for names in axes):
        return ""
    if held < smallest:
        return f" (whole: below {smallest >> 10} KB)" if not any(axes) else ""
    for axis in sorted(range(len(shape)), key=lambda axis: -shape[axis]):
        if not axes[axis] and shape[axis] % devices == 0:
            axes[axis] = ("data",)
            return f" (axis {axis})"
    return f" (no axis that {devices} devices divide)"


def _check_divides(
    path: str,
    shape: Sequence[int],
    axes: Sequence[tuple[str, ...]],
    sizes: Mapping[str, int],
    rule: str,
) -> None:
    for axis, names in enumerate(axes):
        parts = math.prod(sizes[name] for name in names)
        if shape[axis] % parts:
            raise UserError(
                f"config.parallel.mesh: {'+'.join(names)} = {parts} does not divide axis {axis} of "
                f"{path} {list(shape)} (rule {rule!r}); "
                f"{nearest_parts(shape[axis], math.prod(sizes.values()), parts)}"
            )


def nearest_parts(length: int, devices: int, wanted: int) -> str:
    """What divides a length and the number of devices, next to what does not, as advice."""
    shared = math.gcd(length, devices)
    divisors = [n for n in range(1, shared + 1) if shared % n == 0]
    near = [max((n for n in divisors if n < wanted), default=None)]
    near.append(min((n for n in divisors if n > wanted), default=None))
    return f"nearest valid: {' or '.join(str(n) for n in near if n is not None)}"
