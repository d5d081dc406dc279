"""For which kind of device a function is being traced."""

from __future__ import annotations

import jax


def traced_for() -> str:
    """'cpu', 'tpu' or 'gpu': of the mesh in use, or where there is none, the default backend.

    They differ where a step is compiled for devices that this machine does not have.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


def traced_for_one_device() -> bool:
    """Whether the mesh in use has one device, or there is none."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.empty or mesh.size == 1
