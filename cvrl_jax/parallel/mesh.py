"""The mesh of devices, and how a batch lies on it."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from data_pipelines.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

AXES = ("replica", "data", "model")
BATCH_AXES = ("replica", "data")
"""The axes over which the first axis of a batch is split."""

ALL_DATA = {"replica": 1, "data": -1, "model": 1}
"""All devices along `data`."""


def mesh_shape(sizes: Mapping[str, int], devices: int) -> dict[str, int]:
    """The sizes of the axes, one of which may be given as -1: what the others leave of the devices.

    Args:
      sizes: by axis, each of `AXES`.
      devices: how many there are; all of them are used.

    Raises:
      UserError: they do not multiply to the devices; it names the nearest sizes that do.
    """
    given = {axis: sizes[axis] for axis in AXES}
    fixed = math.prod(size for size in given.values() if size != -1)
    free = [axis for axis, size in given.items() if size == -1]
    right = all(size >= 1 or size == -1 for size in given.values())
    if right and len(free) == 1 and devices % fixed == 0:
        return given | {free[0]: devices // fixed}
    if right and not free and fixed == devices:
        return given
    near = " or ".join(_shown(near) for near in _nearest_shapes(given, devices))
    raise UserError(
        f"config.parallel.mesh = {_shown(given)} does not lay out {devices} devices (one size may "
        f"be -1); nearest valid: {near}"
    )


def _nearest_shapes(given: Mapping[str, int], devices: int) -> list[dict[str, int]]:
    """The two factorisations of the devices nearest to what was asked for, by ratio."""
    divisors = [n for n in range(1, devices + 1) if devices % n == 0]

    def distance(shape: tuple[int, ...]) -> float:
        asked = (max(given[axis], 1) for axis in AXES)
        return sum(
            abs(math.log(size / wish))
            for axis, size, wish in zip(AXES, shape, asked, strict=True)
            if given[axis] != -1
        )

    shapes = (s for s in itertools.product(divisors, repeat=3) if math.prod(s) == devices)
    # Where several are as near, the one that splits the batch most.
    nearest = sorted(shapes, key=lambda s: (distance(s), s[2], s[0]))[:2]
    return [dict(zip(AXES, shape, strict=True)) for shape in nearest]


def _shown(sizes: Mapping[str, int]) -> str:
    return "(" + ", ".join(f"{axis}={sizes[axis]}" for axis in AXES) + ")"


def make_mesh(sizes: Mapping[str, int] = ALL_DATA, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of (replica, data, model), Auto axes.

    Args:
      sizes: see `mesh_shape`.
      devices: to use; None = all there are. Those of a TPU are laid along its torus.

    Raises:
      UserError: see `mesh_shape`.
    """
    devices = jax.devices() if devices is None else list(devices)
    shape = tuple(mesh_shape(sizes, len(devices)).values())
    kinds = (AxisType.Auto,) * 3
    try:
        return jax.make_mesh(shape, AXES, axis_types=kinds, devices=devices)
    except NotImplementedError:  # no axis of the torus has such a size: parts of one must do
        laid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
        return Mesh(laid, AXES, axis_types=kinds)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis split over replica and data."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def in_mesh(mesh: Mesh) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: what the function traces is for `mesh`, which `batch_shards` then knows."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return function(*args, **kwargs)

        return wrapped

    return decorate


def batch_shards(shape: Mapping[str, int] | None = None) -> int:
    """Over how many devices a mesh splits a batch.

    Args:
      shape: sizes by axis; None = those of the mesh in use (1 where none is).
    """
    sizes = jax.sharding.get_abstract_mesh().shape if shape is None else shape
    return math.prod(sizes.get(axis, 1) for axis in BATCH_AXES)


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def check_divisible(batch_size: int, parts: int, field: str, why: str = "") -> None:
    """Raises a UserError with the nearest valid sizes where a batch does not fall into `parts`.

    Args:
      batch_size: examples.
      parts: equal shares wanted.
      field: of the config, for the message.
      why: what the parts are; "" = the devices that share a batch.
    """
    if batch_size % parts or batch_size < 1:
        below = batch_size // parts * parts
        sizes = [str(size) for size in (below, below + parts) if size > 0]
        raise UserError(
            f"{field} = {batch_size} is not divisible by "
            f"{why or f'the {parts} devices that share a batch'}; "
            f"nearest valid: {' or '.join(sizes)}"
        )


def put_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Moves this process's share of a batch to the devices; text stays behind."""
    sharding = batch_sharding(mesh)
    return {
        key: jax.make_array_from_process_local_data(sharding, value)
        for key, value in batch.items()
        if value.dtype.kind != "U"
    }


def share(mesh: Mesh) -> tuple[int, int]:
    """Which part of a batch this process reads: (index, count), as `put_batch` wants it.

    Processes that hold the same rows, with `model` laid across them, read the same part. Where the
    devices of a process are no neighbours on the mesh (a torus of TPUs, perhaps) the examples of a
    batch come to lie in another order than on one host: equal in law, not in numbers.
    """
    sharding, rows = batch_sharding(mesh), math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    held: dict[int, set[int]] = {}
    for device, (part, *_) in sharding.devices_indices_map((rows,)).items():
        held.setdefault(device.process_index, set()).add(part.start or 0)
    parts = sorted({tuple(sorted(starts)) for starts in held.values()})
    return parts.index(tuple(sorted(held[jax.process_index()]))), len(parts)


def local_rows(array: jax.Array) -> np.ndarray:
    """The rows of `put_batch`'s kind that this process holds; all of them where it is alone."""
    if array.is_fully_addressable:
        return np.asarray(array)
    held = {shard.index[0].start or 0: shard.data for shard in array.addressable_shards}
    return np.concatenate([np.asarray(held[start]) for start in sorted(held)])
