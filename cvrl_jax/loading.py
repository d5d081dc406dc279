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
from cvrl_jax.methods.towers import clip_tower
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
    config = host.get("config")
    if not config or not {"tower", "video_tower"} & variables.get("params", {}).keys():
        raise UserError(f"checkpoint {checkpoint} holds no video tower; give one of a training run")
    facts = {
        "step": int(checkpoint.name),
        "metrics": _metrics(checkpoint),
        "data": {"source": config["data"]["source"], "classes": len(host["classes"])}
        | host.get("census", {})
        | {"unreadable": len(host.get("bad", {}).get("bad", ()))},
        "versions": host["versions"],
    }
    return describe(config, facts), clip_tower(variables)


def describe(config: dict[str, Any], facts: dict[str, Any]) -> Description:
    """Describes the video tower of a plain config; `facts` go into its origin."""
    data, evaluation, method = config["data"], config["eval"], config["method"]["name"]
    model = config["model"]
    return Description(
        model=model if "name" in model else model["video"],  # of the towers of several modalities
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
