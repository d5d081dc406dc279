"""`--to=safetensors`: one file with the tower's arrays by name, its description in the header."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import safetensors
import safetensors.numpy

from cvrl_jax.description import Description
from cvrl_jax.encoder import Encoder, Variables
from cvrl_jax.export.names import Named, as_tree, by_name
from data_pipelines.errors import UserError

KEY = "cvrl_jax"  # of the description in the header


def write(encoder: Encoder, path: pathlib.Path) -> None:
    """Writes the file; names are the paths in the tree of variables, joined by dots."""
    arrays = by_name(jax.device_get(encoder.variables))
    save(path, arrays, {KEY: encoder.description.to_json()})


def read(path: pathlib.Path) -> tuple[Description, Variables]:
    """Reads what `write` wrote.

    Raises:
      UserError: the file is cut off, or something else.
    """
    if path.suffix == ".stablehlo":
        raise UserError(
            f"{path} is a compiled forward pass: open it with {path.with_suffix('.py')}"
        )
    arrays, header = open_file(path)
    if KEY not in header:
        raise UserError(
            f"{path} is a safetensors file, but no export of cvrl_jax; start a run from weights of "
            "other projects with --config.init_from=LIBRARY:FILE, such as torchvision:FILE"
        )
    return Description.from_json(header[KEY], str(path)), as_tree(arrays)


def save(path: pathlib.Path, arrays: Named, header: dict[str, str]) -> None:
    """Writes arrays by name with a header of strings; the tag tells other programs who may read."""
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    # Not `save_file`, which makes a file that only its owner may read.
    path.write_bytes(safetensors.numpy.save(arrays, metadata={"format": "pt"} | header))


def open_file(path: pathlib.Path) -> tuple[Named, dict[str, str]]:
    """Returns (arrays by name, header) of any safetensors file.

    Raises:
      UserError: the file is cut off, or something else.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors ({error}); it is cut off or of another kind: "
            "copy or export it again"
        ) from error
