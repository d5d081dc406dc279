"""`--to=native`: a folder with the tower's arrays by Orbax and its description as JSON."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from cvrl_jax.description import Description
from cvrl_jax.encoder import Encoder, Variables
from data_pipelines.errors import UserError, first_line

_ARRAYS = "variables"
_DESCRIPTION = "encoder.json"


def is_one(path: pathlib.Path) -> bool:
    """Whether `path` is such a folder."""
    return (path / _DESCRIPTION).is_file()


def write(encoder: Encoder, folder: pathlib.Path) -> None:
    """Makes the folder."""
    folder.mkdir()
    # Orbax names its arrays by the tree; everything is float32 as it was trained.
    ocp.save(str(folder.resolve() / _ARRAYS), jax.device_get(encoder.variables))
    (folder / _DESCRIPTION).write_text(encoder.description.to_json() + "\n", encoding="utf-8")


def read(folder: pathlib.Path) -> tuple[Description, Variables]:
    """Reads what `write` wrote, as numpy arrays on any machine.

    Raises:
      UserError: something of it is missing or damaged.
    """
    file = folder / _DESCRIPTION
    description = Description.from_json(file.read_text(encoding="utf-8"), str(file))
    arrays = str((folder / _ARRAYS).resolve())
    try:
        metadata = ocp.metadata(arrays).metadata
        empty = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), metadata)
        return description, ocp.load(arrays, empty)
    except Exception as error:  # damaged files fail in many ways
        raise UserError(
            f"{folder}: its arrays cannot be read ({first_line(error)[:200]}); copy the whole "
            "folder again, or export the run again"
        ) from error
