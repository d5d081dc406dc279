"""Opens the encoder of a run or of an export, on any device."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jax

from cvrl_jax import zoo
from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.description import Description
from cvrl_jax.encoder import Encoder, Variables
from cvrl_jax.export import native, safetensors_file
from cvrl_jax.export.names import by_name, check_same, expected_arrays
from cvrl_jax.methods.parts import part
from cvrl_jax.models import create_model
from cvrl_jax.workdir import Workdir
from data_pipelines.errors import UserError

_FRAMEWISE = ("simclr",)  # methods that show their tower one frame at a time


def load_encoder(path: str, dtype: str = "float32") -> Encoder:
    """See `cvrl_jax.load`."""
    description, variables = open_tower(path)
    return make_encoder(description, variables, dtype, path)


def open_tower(path: str) -> tuple[Description, Variables]:
    """The description and the numpy arrays of what `cvrl_jax.load` opens."""
    found = pathlib.Path(path).expanduser()
    if not found.exists():
        found = zoo.fetch(path)
    if native.is_one(found):
        return native.read(found)
    if found.is_file():
        return safetensors_file.read(found)
    return of_run(find_checkpoint(found))


def make_encoder(description: Description, variables: Variables, dtype: str, where: str) -> Encoder:
    """Builds the tower and checks that the arrays are its own.

    Raises:
      UserError: the tower is unknown, or the arrays are those of another one.
    """
    fields = description.model | {"dtype": dtype}
    tower = create_model(fields.pop("name"), **fields)
    wanted = expected_arrays(tower, description.frames, description.size)
    check_same(
        f"{where}: its arrays are not those of {description.title}",
        wanted,
        by_name(variables),
        "the file is damaged or was changed; export the run again",
    )
    return Encoder(tower, jax.device_put(variables), description)


def of_run(checkpoint: pathlib.Path) -> tuple[Description, Variables]:
    """The video tower in a checkpoint, its running statistics included.

    Raises:
      UserError: the checkpoint is damaged, or holds no tower.
    """
    variables, host = load_variables(checkpoint)
    config, tower = host.get("config"), clip_tower(variables)
    if not config or "params" not in tower:
        raise UserError(f"checkpoint {checkpoint} holds no video tower; give one of a training run")
    facts = {
        "step": int(checkpoint.name),
        "metrics": _metrics(checkpoint),
        "data": {"source": config["data"]["source"], "classes": len(host["classes"])},
        "versions": host["versions"],
    }
    return describe(config, facts), tower


def clip_tower(variables: Variables) -> Variables:
    """The variables of a method's tower for clips; a shared transformer is put in its place."""
    params = variables.get("params", {})
    if "tower" in params:
        return part(variables, "tower")
    tower = part(variables, "video_tower")
    if tower and "encoder" in params:
        tower["params"] = tower["params"] | {"encoder": params["encoder"]}
    return tower


def describe(config: dict[str, Any], facts: dict[str, Any]) -> Description:
    """Describes the video tower of a plain config; `facts` go into its origin."""
    data, evaluation, method = config["data"], config["eval"], config["method"]["name"]
    return Description(
        model=config["model"].get("video", config["model"]),
        frames=evaluation["frames"] or data["frames"],
        stride=data["stride"],
        stride_unit=data["stride_unit"],
        size=evaluation["size"] or data["size"],
        framewise=method in _FRAMEWISE,
        origin={"method": method, **facts, "config": config},
    )


def _metrics(checkpoint: pathlib.Path) -> dict[str, Any]:
    """What the run measured up to the checkpoint, the newest of each; {} where it is not there."""
    metrics: dict[str, Any] = {}
    try:
        rows = Workdir(checkpoint.parent.parent).read_metrics()
    except (OSError, json.JSONDecodeError):
        return {}
    for row in rows:
        if row["step"] <= int(checkpoint.name):
            metrics |= {k: v for k, v in row.items() if not k.startswith(("time/", "step"))}
    return metrics
