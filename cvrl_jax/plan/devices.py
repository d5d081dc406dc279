"""The devices of a topology, most of which this machine does not have."""

from __future__ import annotations

import os
from typing import Any

from cvrl_jax.plan.chips import Topology
from data_pipelines.errors import UserError, first_line


def prepare_environment(topology: Topology) -> None:
    """Keeps JAX on the CPU, and libtpu quiet; to be called before JAX is first used."""
    if topology.platform == "gpu":
        return
    os.environ["JAX_PLATFORMS"] = "cpu"
    if topology.platform == "tpu":
        # No metadata server is asked, no TPU looked for, and no other planner waited for.
        os.environ |= {
            "TPU_SKIP_MDS_QUERY": "1",
            "TPU_ACCELERATOR_TYPE": topology.accelerator_type,
            "TPU_WORKER_HOSTNAMES": "localhost",
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            "TPU_MIN_LOG_LEVEL": "3",
            "TPU_STDERR_LOG_LEVEL": "3",
            # Programs for devices that are not here can be kept, but not read again.
            "JAX_ENABLE_COMPILATION_CACHE": "false",
        }
    elif topology.devices:
        import jax

        jax.config.update("jax_num_cpu_devices", topology.devices)


def devices_of(topology: Topology) -> list[Any]:
    """Devices to lay a mesh over.

    Raises:
      UserError: the compiler for them is not installed, or there are not as many.
    """
    import jax
    from jax.experimental import topologies

    if topology.platform == "tpu":
        try:
            # Two cores of a v4 chip are one device, as they are on the real ones.
            core = {"chip_config_name": "megacore"} if topology.kind == "v4" else {}
            described = topologies.get_topology_desc(topology.name, platform="tpu", **core)
        except Exception as error:  # of a plugin; all it says is in its message
            missing = "not installed" in str(error)
            advice = "pip install -e '.[plan]' brings the compiler" if missing else "other sizes?"
            raise UserError(f"--topology={topology.name}: {first_line(error)}; {advice}") from error
        return list(described.devices)
    try:
        found = jax.devices(topology.platform)
    except RuntimeError as error:
        raise UserError(
            f"--topology={topology.name}: JAX finds no {topology.platform} here "
            f"({first_line(error)}); a TPU can be planned for without one"
        ) from error
    if topology.devices > len(found):
        raise UserError(
            f"--topology={topology.name}: there are {len(found)} devices here; write "
            f"{topology.platform}:{len(found)}"
        )
    return found[: topology.devices or len(found)]
