"""The towers of a method: built from `config.model`, found among its variables.

A method of one tower has it as the part `tower`; one of several modalities has `<modality>_tower`
of each. Towers that share their transformer have it as the part `encoder`, kept once.
"""

from __future__ import annotations

from typing import Any

from flax import linen as nn
from ml_collections import ConfigDict

from cvrl_jax import models
from cvrl_jax.methods.base import Array, Variables
from cvrl_jax.methods.parts import init_part, part, stream
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

MODALITIES = ("video", "audio", "text")


def create_tower(config: ConfigDict) -> nn.Module:
    """Builds the one tower that `config.model` describes."""
    fields = config.model.to_dict()
    if "name" not in fields:
        raise UserError(f"config.model needs a name; {nearest('', models.MODELS)}")
    return models.create_model(fields.pop("name"), **fields)


def create_towers(config: ConfigDict) -> tuple[dict[str, Any], bool]:
    """Builds the tower of each modality that has a section in `config.model`.

    Returns:
      (towers by modality, of which `video` is one, and whether they share their transformer).

    Raises:
      UserError: a section is missing or unknown, or towers that share a transformer differ in it.
    """
    sections = config.model.to_dict()
    shared = sections.pop("shared", False)
    method = f"method {config.method.name!r}"
    towers = {}
    for modality, fields in sections.items():
        where = f"config.model.{modality}"
        if modality not in MODALITIES:
            raise UserError(f"{where} is no section of {method}; {nearest(modality, MODALITIES)}")
        if not isinstance(fields, dict) or "name" not in fields:
            raise UserError(f"{where} must be a section that names a tower in {where}.name")
        towers[modality] = models.create_model(fields.pop("name"), **fields)
    if "video" not in towers or len(towers) < 2:
        raise UserError(f"{method} needs config.model.video and config.model.audio or .text")
    if shared:
        _check_shared(towers)
    return towers, shared


def _check_shared(towers: dict[str, Any]) -> None:
    for modality, tower in towers.items():
        if not isinstance(tower, models.TokenTower):
            raise UserError(f"config.model.shared: the {modality} tower has no transformer")
        for field, value in tower.stack.items():
            of_video = towers["video"].stack[field]
            if value != of_video:
                raise UserError(
                    f"config.model.shared: config.model.{modality}.{field} = {value!r}, but "
                    f"config.model.video.{field} = {of_video!r}: one transformer serves all towers"
                )


def init_towers(
    towers: dict[str, Any], shared: bool, inputs: dict[str, Array], key: Array
) -> tuple[dict[str, Variables], dict[str, Array]]:
    """Initialises the towers of several modalities.

    Args:
      towers: by modality.
      shared: whether they share their transformer, which is then the first one's.
      inputs: an example of each modality.
      key: a typed PRNG key.

    Returns:
      (the parts by name, the features of the example by modality).
    """
    parts: dict[str, Variables] = {}
    features = {}
    for modality, tower in towers.items():
        name = f"{modality}_tower"
        variables, features[modality] = init_part(tower, stream(key, name), inputs[modality])
        if shared:
            params = dict(variables["params"])
            parts.setdefault("encoder", {"params": params["encoder"]})
            del params["encoder"]
            variables = variables | {"params": params}
        parts[name] = variables
    return parts, features


def with_shared_encoder(variables: Variables) -> Variables:
    """The variables with the shared transformer, if there is one, in its place in each tower."""
    params = variables["params"]
    if "encoder" not in params:
        return variables
    whole = {
        name: value | {"encoder": params["encoder"]}
        for name, value in params.items()
        if name.endswith("_tower")
    }
    return variables | {"params": params | whole}


def towers_of(method: Any) -> dict[str, Any]:
    """The towers of a method by the names of their parts, whichever the method."""
    if hasattr(method, "towers"):
        return {f"{modality}_tower": tower for modality, tower in method.towers.items()}
    return {"tower": method.tower}


def clip_tower(variables: Variables) -> Variables:
    """The variables of a method's tower for clips, whichever the method."""
    name = "tower" if "tower" in variables["params"] else "video_tower"
    return part(with_shared_encoder(variables), name)
