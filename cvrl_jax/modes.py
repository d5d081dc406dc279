"""What `--mode` may be: each takes the command line's flags and returns what is printed as JSON.

Imports wait until a mode is chosen and has what it needs, so that a wrong flag is reported without
waiting for JAX.
"""

from __future__ import annotations

import pathlib
import shlex
import sys
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.errors import UserError

Result = dict[str, Any]


def train(flags: Any) -> Result:
    """Trains, or goes on, in --workdir."""
    config, workdir = _config(flags), _workdir(flags)
    from cvrl_jax.parallel import hosts

    with hosts.joined(flags.coordinator, flags.processes, flags.process):
        from cvrl_jax.train import train

        return train(
            config, workdir, resume=flags.resume, overwrite=flags.overwrite, command=_command()
        )


def evaluate(flags: Any) -> Result:
    """Judges a finished run."""
    checkpoint, workdir = _checkpoint(flags), _workdir(flags)
    from cvrl_jax.downstream.evaluate import evaluate_checkpoint

    return evaluate_checkpoint(flags.config, checkpoint, workdir, _command(), flags.overwrite)


def embed(flags: Any) -> Result:
    """Writes one row of features for each video."""
    checkpoint, workdir = _checkpoint(flags), _workdir(flags)
    from cvrl_jax.downstream.embed import embed_checkpoint

    return embed_checkpoint(flags.config, checkpoint, workdir)


def search(flags: Any) -> Result:
    """Finds the nearest of embedded videos."""
    workdir = _workdir(flags)
    from cvrl_jax.search.run import search_collection

    return search_collection(workdir, flags.query, flags.neighbours)


def export(flags: Any) -> Result:
    """Writes a checkpoint for other software."""
    checkpoint = _checkpoint(flags)
    if flags.to is None or flags.output is None:
        raise UserError("--mode=export needs --to=FORMAT and --output=FILE")
    from cvrl_jax.export.write import export_checkpoint

    return export_checkpoint(checkpoint, flags.to, pathlib.Path(flags.output), flags.license)


def describe(flags: Any) -> Result:
    """Counts parameters, and says where they would lie."""
    config = _config(flags)
    from cvrl_jax.describe import describe, state_table
    from cvrl_jax.parallel.describe import sharding_table
    from cvrl_jax.plan.chips import parse_topology

    devices = parse_topology(flags.topology).devices or None if flags.topology else None
    described = describe(config, devices)
    print(sharding_table(state_table(config, devices)), file=sys.stderr)
    return described


def plan(flags: Any) -> Result:
    """Compiles the train step for devices that are not here, and says whether it fits them."""
    if flags.topology is None:
        raise UserError("--mode=plan needs --topology, e.g. --topology=v5e:4x4")
    config, target = _config(flags), pathlib.Path(flags.json)
    from cvrl_jax.plan.chips import parse_topology
    from cvrl_jax.plan.devices import prepare_environment

    topology = parse_topology(flags.topology)
    prepare_environment(topology)  # before JAX looks for devices
    from cvrl_jax.plan.page import summary
    from cvrl_jax.plan.plan import plan

    result = plan(config, topology, target)
    print(summary(result), file=sys.stderr)
    keys = ("fits", "bytes_per_chip", "hbm_bytes", "flops_per_chip", "model_flops_per_chip")
    return {key: result[key] for key in keys} | {"written": str(target)}


MODES = {
    "train": train,
    "eval": evaluate,
    "embed": embed,
    "search": search,
    "export": export,
    "describe": describe,
    "plan": plan,
}


def _config(flags: Any) -> ConfigDict:
    if flags.config is None:
        raise UserError("--config=FILE.py is needed, e.g. --config=configs/cvrl_r3d50.py:tiny")
    return flags.config


def _workdir(flags: Any) -> pathlib.Path:
    if flags.workdir is None:
        raise UserError("--workdir=DIR is needed: the folder of the run")
    return pathlib.Path(flags.workdir)


def _checkpoint(flags: Any) -> pathlib.Path:
    return pathlib.Path(flags.checkpoint) if flags.checkpoint else _workdir(flags)


def _command() -> str:
    return shlex.join(["python", *sys.argv])
