"""Weights of other projects as a tower's arrays: `--config.init_from=LIBRARY:FILE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cvrl_jax.export import from_huggingface, from_tensorflow, from_torch
from cvrl_jax.export.names import Named

# (library, file, wanted, fields of config.model) -> arrays by our names
_READERS: dict[str, Callable[[str, str, Mapping[str, Any], dict[str, Any]], Named]] = {
    "torchvision": from_torch.read,
    "pytorchvideo": from_torch.read,
    "huggingface": from_huggingface.read,
    "tensorflow": from_tensorflow.read,
}
FOREIGN = tuple(_READERS)


def split(init_from: str) -> tuple[str, str]:
    """'torchvision:FILE' -> ('torchvision', 'FILE'); anything else -> ('', init_from)."""
    library, colon, file = init_from.partition(":")
    return (library, file) if colon and library in FOREIGN else ("", init_from)


def read_tower(library: str, file: str, wanted: Mapping[str, Any], model: dict[str, Any]) -> Named:
    """A tower's arrays from weights of another library.

    Args:
      library: one of `FOREIGN`.
      file: its weights: a state dict (torchvision, pytorchvideo), a folder or its model.safetensors
        (huggingface), the prefix of a checkpoint (tensorflow).
      wanted: shapes by our names.
      model: the fields of `config.model`.

    Returns:
      float32 arrays by our names.

    Raises:
      UserError: the file cannot be read, or names and shapes are not those of the tower. All of
        them are listed but for what no tower has, such as a classifier: the log names it.
    """
    return _READERS[library](library, file, wanted, model)
