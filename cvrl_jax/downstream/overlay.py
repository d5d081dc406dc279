"""The config of an evaluation: what it asks for itself, and the rest from the run it judges."""

from __future__ import annotations

import pathlib
from typing import Any

from ml_collections import ConfigDict

from configs import base
from cvrl_jax.config import differences, plain
from data_pipelines.errors import UserError
from data_pipelines.sources.mixture import PART_FIELDS

# Sections in which every config has the same fields; the others depend on the method.
_COMMON = ("data", "augment", "optimizer", "parallel", "eval", "checkpoint", "log")
_OF_CHECKPOINT = ("model", "head", "method")
# Fields of a tower that leave its parameters as they are.
_FREE = ("dtype", "lowering", "remat", "drop_token", "drop_token_shared")


def complete(config: ConfigDict) -> ConfigDict:
    """A copy with the fields that came into base.py after the run, at their defaults."""
    config = config.copy_and_resolve_references()
    usual = base.get_config()
    with config.unlocked():
        for section in _COMMON:
            config[section] = _over(usual[section], config.get(section, ConfigDict()))
        for name, value in usual.items():
            if name not in config:
                config[name] = value
    return config


def on_run(run: ConfigDict, asked: ConfigDict, checkpoint: pathlib.Path) -> ConfigDict:
    """The run's config with what `asked` says of data and evaluation; the network stays its own.

    A field of `asked` that is None is the run's. Where `asked.data.source` is given, all fields
    that say where videos are and which of them are used begin at their defaults, not at the run's;
    how clips are cut (frames, stride, size) stays as in the run.

    Args:
      run: the config that the checkpoint was trained with.
      asked: one of configs/eval/, or a whole experiment.
      checkpoint: for messages.

    Raises:
      UserError: `asked` is an experiment with another network.
    """
    _check_same_network(run, asked, checkpoint)
    config = complete(run)
    with config.unlocked():
        config.name = asked.name
        if asked.get("seed") is not None:
            config.seed = asked.seed
        data = config.data
        if asked.data.source is not None:
            usual = base.get_config().data
            for field in (*PART_FIELDS, "parts"):
                data[field] = usual[field]
        config.data = _over(data, asked.data)
        config.eval = _over(config.eval, asked.eval)
    return config


def _over(below: Any, above: Any) -> ConfigDict:
    """The fields of both; of `above` where it has a value, section by section."""
    merged = below.copy_and_resolve_references()
    with merged.unlocked():
        for name, value in above.items():
            if isinstance(value, ConfigDict) and isinstance(merged.get(name), ConfigDict):
                merged[name] = _over(merged[name], value)
            elif value is not None or name not in merged:
                merged[name] = value
    return merged


def _check_same_network(run: ConfigDict, asked: ConfigDict, checkpoint: pathlib.Path) -> None:
    if "method" not in asked:
        return
    changed = [
        line
        for section in _OF_CHECKPOINT
        for line in differences(plain(run)[section], plain(asked)[section], f"{section}.")
        if line.partition(":")[0].rpartition(".")[2] not in _FREE
    ]
    if asked.method.name != run.method.name or any(c.startswith("model.") for c in changed):
        raise UserError(
            f"--config={asked.name} is {_network(asked)}, but checkpoint {checkpoint} is "
            f"{_network(run)} ({'; '.join(changed[:3])}): the network is the checkpoint's; take a "
            "config of configs/eval/, or leave --config out"
        )


def _network(config: ConfigDict) -> str:
    model = config.model if "name" in config.model else config.model.get("video", ConfigDict())
    return f"method {config.method.name!r} with tower {model.get('name', '?')}"
