"""The files of a folder that transformers wrote: arrays, config, how pixels are normalised."""

from __future__ import annotations

import json
import logging
import pathlib
from typing import Any

from cvrl_jax.export.from_torch import state_dict
from cvrl_jax.export.names import Named
from cvrl_jax.models.normalization import NORMALIZATIONS
from data_pipelines.errors import UserError

# By type of network: mean and standard deviation of the pixels where the folder does not say.
PIXELS = {"videomae": NORMALIZATIONS["imagenet"], "vit": ((0.5,) * 3, (0.5,) * 3)}

log = logging.getLogger(__name__)


def weights(path: pathlib.Path, where: str) -> Named:
    """The arrays of a file, or of a folder: model.safetensors, in parts or not.

    Raises:
      UserError: there are none, or a file is damaged.
    """
    if path.is_file():
        return state_dict(path)
    index = path / "model.safetensors.index.json"
    if index.is_file():
        parts = sorted(set(read_json(index, where).get("weight_map", {}).values()))
        return {k: x for part in parts for k, x in state_dict(path / part).items()}
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return state_dict(path / name)
    raise UserError(f"{where}: there is no model.safetensors")


def read_json(file: pathlib.Path, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
      UserError: there is none; the message begins with `where`.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{where}: there is no readable {file}; save the whole folder") from error
    except ValueError as error:
        raise UserError(f"{file} is no JSON ({error}); download it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} is no JSON object; download it again")
    return found


def pixels(folder: pathlib.Path, kind: str) -> tuple[Any, Any]:
    """Mean and standard deviation of red, green and blue in [0, 1] that the weights expect."""
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        mean, std = PIXELS[kind]
        log.warning("there is no %s: pixels are taken as %s, %s of %s", file, mean, std, kind)
        return mean, std
    said = read_json(file, "config.init_from")
    if not said.get("do_normalize", True):
        return (0.0,) * 3, (1.0,) * 3
    mean, std = PIXELS[kind]
    return said.get("image_mean", mean), said.get("image_std", std)
