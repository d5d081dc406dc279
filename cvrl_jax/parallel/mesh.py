"""The mesh of devices and the two shardings that data-parallel training needs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from data_pipelines.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

AXES = ("replica", "data", "model")
BATCH_AXES = ("replica", "data")
"""The axes over which the first axis of a batch is split."""


def make_mesh() -> Mesh:
    """All devices along `data`: a mesh (1, devices, 1) of (replica, data, model), Auto axes."""
    return jax.make_mesh((1, jax.device_count(), 1), AXES, axis_types=(AxisType.Auto,) * 3)


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


def batch_shards() -> int:
    """Over how many devices the mesh in use splits a batch; 1 where none is in use."""
    sizes = jax.sharding.get_abstract_mesh().shape
    return math.prod(sizes.get(axis, 1) for axis in BATCH_AXES)


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def check_divisible(batch_size: int, field: str) -> None:
    """Raises a UserError with the nearest valid sizes where the devices do not divide a batch."""
    devices = jax.device_count()
    if batch_size % devices or batch_size < 1:
        below = batch_size // devices * devices
        sizes = [str(size) for size in (below, below + devices) if size > 0]
        raise UserError(
            f"{field} = {batch_size} is not divisible by the {devices} devices; "
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
