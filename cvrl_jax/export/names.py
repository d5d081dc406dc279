"""Arrays by name, and whether two sets of them are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from data_pipelines.errors import UserError

Named = dict[str, np.ndarray]


def by_name(variables: Any) -> dict[str, Any]:
    """{"params": {"stem": {"conv": {"kernel": x}}}} -> {"params.stem.conv.kernel": x}."""
    return flatten_dict(variables, sep=".")


def as_tree(named: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `by_name`."""
    return unflatten_dict(dict(named), sep=".")


def expected_arrays(tower: Any, frames: int, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What a tower keeps, by name; allocates nothing."""
    clip = jax.ShapeDtypeStruct((1, frames, size, size, 3), np.float32)
    return by_name(jax.eval_shape(lambda x: tower.init(jax.random.key(0), x, False), clip))


def check_same(what: str, wanted: Mapping[str, Any], found: Mapping[str, Any], fix: str) -> None:
    """Compares names and shapes.

    Args:
      what: begins the message.
      wanted: arrays, or shapes, by name.
      found: likewise.
      fix: ends the message.

    Raises:
      UserError: lists every kind of difference, and the first names of each.
    """
    shapes = {
        f"{name} {list(found[name].shape)} instead of {list(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if tuple(wanted[name].shape) != tuple(found[name].shape)
    }
    differences = {
        "missing": wanted.keys() - found.keys(),
        "unexpected": found.keys() - wanted.keys(),
        "of another shape": shapes,
    }
    told = [f"{kind}: {listed(names)}" for kind, names in differences.items() if names]
    if told:
        raise UserError(f"{what}; {'; '.join(told)}; {fix}")


def listed(names: Any, most: int = 8) -> str:
    """The first names in order, and how many there are."""
    names = sorted(names)
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
