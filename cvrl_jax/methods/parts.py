"""A method's variables are those of its parts (tower, head, ...), kept by collection and part.

{"params": {"tower": ..., "head": ...}, "batch_stats": {"tower": ..., "head": ...}}
"""

from __future__ import annotations

import zlib
from typing import Any

import jax
from flax import linen as nn

from cvrl_jax.methods.base import Array, Variables
from cvrl_jax.parallel.chunks import map_chunks


def combine(**parts: Any) -> Variables:
    """Each part's own collections -> collections of parts."""
    variables: Variables = {}
    for name, collections in parts.items():
        for collection, value in collections.items():
            variables.setdefault(collection, {})[name] = value
    return variables


def part(variables: Variables, name: str) -> Variables:
    """The inverse of `combine` for one part."""
    return {collection: value[name] for collection, value in variables.items() if name in value}


def init_part(module: nn.Module, key: Array, x: Any) -> tuple[Any, Any]:
    """Returns (the part's variables, its output for `x`)."""
    output, variables = module.init_with_output(key, x, train=False)
    return variables, output


def train_part(
    module: nn.Module, variables: Variables, name: str, x: Any, valid: Any, key: Array
) -> tuple[Any, Any]:
    """Applies a part in training mode.

    Args:
      module: of the part; called as module(x, train=True, valid=valid).
      variables: of the method.
      name: of the part.
      x: [N, ...].
      valid: bool [N], examples that count in BatchNorm statistics.
      key: of the step; the part's dropout draws from it and `name`.

    Returns:
      (output, the part's new collections but `params`).
    """
    rngs = {"dropout": stream(key, name)}
    return module.apply(
        part(variables, name), x, train=True, valid=valid, mutable=["batch_stats"], rngs=rngs
    )


def train_tower(
    module: nn.Module, variables: Variables, name: str, x: Any, valid: Any, key: Array
) -> tuple[Any, Any]:
    """`train_part` for the large parts: chunk by chunk where the trainer is short of memory.

    See `parallel.chunks`. BatchNorm's statistics are then those of a chunk, and what it keeps is
    their mean.
    """

    def on_rows(rows: Any, rows_key: Array) -> tuple[Any, Any]:
        rows_x, rows_valid = rows
        return train_part(module, variables, name, rows_x, rows_valid, rows_key)

    return map_chunks(on_rows, (x, valid), key)


def eval_part(module: nn.Module, variables: Variables, name: str, x: Any) -> Any:
    """Applies a part in evaluation mode."""
    return module.apply(part(variables, name), x, train=False)


def stream(key: Array, name: str) -> Array:
    """A key for one use of a step's randomness, independent of those of other names."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
