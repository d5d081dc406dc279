"""How the training state lies on the devices: a copy on each, or split among them."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cvrl_jax.parallel.mesh import replicated

SMALLEST_BYTES = 1 << 18  # smaller arrays gain nothing: every device keeps a copy


def state_shardings(shapes: Any, mesh: Mesh, fsdp: bool, smallest: int = SMALLEST_BYTES) -> Any:
    """The sharding of each array of a training state.

    With `fsdp` (ZeRO, arXiv 1910.02054; all three stages) an array of parameters, or of the
    optimizer's, is split over the axis `data` along its longest axis that the devices divide. The
    numbers are those of whole copies but for the order of sums; XLA gathers an array where it is
    used. A device then needs about 1/devices of the memory of the state.

    Args:
      shapes: a tree of arrays or `jax.ShapeDtypeStruct`.
      mesh: of (replica, data, model).
      fsdp: whether to split at all.
      smallest: bytes from which on an array is split.

    Returns:
      A tree of `NamedSharding` of the same structure.
    """
    devices = mesh.shape["data"]

    def sharding(leaf: Any) -> NamedSharding:
        if fsdp and leaf.size * leaf.dtype.itemsize >= smallest:
            for axis in sorted(range(leaf.ndim), key=lambda axis: -leaf.shape[axis]):
                if leaf.shape[axis] % devices == 0:
                    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))
        return replicated(mesh)

    return jax.tree.map(sharding, shapes)
