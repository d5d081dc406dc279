"""Starting from weights that are there already: `config.init_from`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from cvrl_jax.export.foreign import read_tower, split
from cvrl_jax.export.names import as_tree, by_name, check_same
from cvrl_jax.loading import open_tower
from cvrl_jax.methods import Method, Variables
from cvrl_jax.methods.parts import part
from cvrl_jax.state import TrainState


def load_tower(init_from: str, method: Method, model: dict[str, Any]) -> Variables:
    """The tower's variables, by collection, as numpy arrays.

    Args:
      init_from: what `cvrl_jax.load` opens (a run, a checkpoint, an export), or
        torchvision:FILE or pytorchvideo:FILE.
      method: whose tower they must fit.
      model: the fields of `config.model`, for messages.

    Raises:
      UserError: there is nothing, or another tower than `method` has.
    """
    wanted = by_name(part(jax.eval_shape(method.init, jax.random.key(0)), "tower"))
    library, file = split(init_from)
    if library:
        return as_tree(read_tower(library, file, wanted, model))
    description, variables = open_tower(init_from)
    check_same(
        f"config.init_from={init_from}: the tower there, {description.title}, has other parameters "
        f"than {model['name']!r} of config.model",
        wanted,
        by_name(variables),
        "use the model section of that run's config.json",
    )
    return variables


def with_tower(state: TrainState, tower: Variables) -> TrainState:
    """Replaces the tower's variables; the optimizer's state is still that of a start."""
    variables = dict(state.variables)
    for collection, value in tower.items():
        here = variables[collection]
        placed = jax.tree.map(
            lambda new, old: jax.device_put(new, old.sharding), value, here["tower"]
        )
        variables[collection] = here | {"tower": placed}
    return dataclasses.replace(state, variables=variables)
